"""What is posted as a sample."""

from pathlib import Path

import pytest

from console.samples import SendError, choose_sample, post_sample
from hookmill.errors import ConfigError


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose source `shop` has two examples."""
    examples = tmp_path / "sources" / "shop" / "examples"
    examples.mkdir(parents=True)
    (examples / "a.json").write_text('{"body": {"n": 1}, "headers": {"X-Kind": "a"}}')
    (examples / "b.json").write_text('{"body": [2], "query": {"q": "1"}}')
    return tmp_path


def test_the_first_example_is_taken_unless_one_is_named(project: Path) -> None:
    first = choose_sample(project, "shop", None, None)
    named = choose_sample(project, "shop", "b", None)

    assert first.headers == {"Content-Type": "application/json", "X-Kind": "a"}
    assert named.query == {"q": "1"}


def test_a_body_file_is_posted_as_it_is(project: Path) -> None:
    raw = project / "raw"
    raw.write_bytes(b"\xff\x00")

    assert choose_sample(project, "shop", None, raw).body == b"\xff\x00"


def test_an_unknown_example_is_refused_with_those_that_exist(project: Path) -> None:
    with pytest.raises(ConfigError, match="no example 'c'; it has: a, b"):
        choose_sample(project, "shop", "c", None)


def test_a_source_without_examples_is_refused(project: Path) -> None:
    with pytest.raises(ConfigError, match="has no examples"):
        choose_sample(project, "other", None, None)


async def test_a_receiver_that_is_away_is_named(project: Path) -> None:
    sample = choose_sample(project, "shop", None, None)

    with pytest.raises(SendError, match=r"http://127\.0\.0\.1:1 could not be reached"):
        await post_sample("http://127.0.0.1:1", "t", sample)
