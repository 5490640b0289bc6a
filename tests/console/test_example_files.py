"""The format of `examples/*.json`."""

import re
from pathlib import Path

import pytest

from console.examples import Sample, load_example
from hookmill.errors import ConfigError


def example_file(folder: Path, text: str) -> Path:
    path = folder / "x.json"
    path.write_text(text)
    return path


def sample_of(folder: Path, text: str) -> Sample:
    return load_example(example_file(folder, text)).sample


def test_a_json_body_is_sent_as_json_text(tmp_path: Path) -> None:
    sample = sample_of(tmp_path, '{"body": {"name": "Grün"}}')

    assert sample.body == '{\n  "name": "Grün"\n}'.encode()
    assert sample.headers == {"Content-Type": "application/json"}
    assert (sample.method, sample.url) == ("POST", "https://hooks.example/")


def test_a_body_of_null_is_a_body(tmp_path: Path) -> None:
    assert sample_of(tmp_path, '{"body": null}').body == b"null"


def test_a_content_type_of_the_file_wins_however_it_is_written(tmp_path: Path) -> None:
    sample = sample_of(tmp_path, '{"body": 1, "headers": {"content-type": "application/vnd.shop+json"}}')

    assert sample.headers == {"content-type": "application/vnd.shop+json"}


def test_a_text_body_is_sent_as_it_is(tmp_path: Path) -> None:
    sample = sample_of(tmp_path, '{"body_text": "a=1&b=%C3%BC", "headers": {"X-A": "b"}}')

    assert (sample.body, sample.headers) == (b"a=1&b=%C3%BC", {"X-A": "b"})


def test_a_base64_body_may_hold_any_bytes(tmp_path: Path) -> None:
    assert sample_of(tmp_path, '{"body_base64": "/wAK"}').body == b"\xff\x00\n"


def test_method_path_and_query_make_the_request(tmp_path: Path) -> None:
    sample = sample_of(tmp_path, '{"method": "PUT", "path": "/a/b", "query": {"q": "x y"}, "body_text": ""}')

    assert (sample.method, sample.url) == ("PUT", "https://hooks.example/a/b?q=x+y")


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("{", "the file: Invalid JSON"),
        ("[]", "the file: "),
        ("{}", "the file: an example has one of body, body_text and body_base64"),
        ('{"body": 1, "body_text": ""}', "the file: an example has one of body, body_text and body_base64"),
        ('{"body": 1, "colour": 2}', "colour is not a field of an example"),
        ('{"body": 1, "expect": {"event": []}}', "expect.event is not a field of an example"),
        ('{"body": 1, "expect": {"status": "fine"}}', "expect.status: "),
        ('{"body": 1, "expect": {"events": [1]}}', "expect.events.0: "),
        ('{"body": 1, "path": "a"}', "path: "),
        ('{"body_base64": "?"}', "body_base64: is not base64"),
    ],
)
def test_a_bad_example_is_refused_by_its_name(tmp_path: Path, text: str, complaint: str) -> None:
    path = example_file(tmp_path, text)

    with pytest.raises(ConfigError, match=re.escape(f"{path}: {complaint}")):
        load_example(path)
