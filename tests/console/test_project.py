"""Project folders: what is read, what is refused and how it is said."""

import re
from pathlib import Path

import pytest

from console.project import load_project
from console.starter import create_project
from hookmill.errors import ConfigError
from hookmill.registry import Only

SOURCE = 'function = "function.js"\n'
SINKS = '[warehouse]\nkind = "sqlite"\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A valid project with one source."""
    source = tmp_path / "sources" / "shop"
    source.mkdir(parents=True)
    (source / "source.toml").write_text(SOURCE)
    (source / "function.js").write_text("async function onRequest() {}")
    (tmp_path / "sinks.toml").write_text(SINKS)
    return tmp_path


def test_a_source_without_options_has_the_defaults(folder: Path) -> None:
    (source,) = load_project(folder).sources

    assert (source.slug, source.name, source.timeout_ms, source.max_body_bytes) == ("shop", "shop", 1_000, None)
    assert (source.function.language, source.function.file_name) == ("javascript", "function.js")


def test_a_source_may_want_fewer_retries_but_not_more_than_there_are(folder: Path) -> None:
    for retries in (0, 5):
        (folder / "sources" / "shop" / "source.toml").write_text(f"{SOURCE}retries = {retries}\n")
        (source,) = load_project(folder).sources
        assert source.entity([]).retries == retries

    for wrong in (-1, 6):
        (folder / "sources" / "shop" / "source.toml").write_text(f"{SOURCE}retries = {wrong}\n")
        with pytest.raises(ConfigError, match=f"retries is {wrong}"):
            load_project(folder)


def test_secret_settings_are_settings_that_exist(folder: Path) -> None:
    source_file = folder / "sources" / "shop" / "source.toml"
    source_file.write_text(f'{SOURCE}secret_settings = ["key"]\n[settings]\nkey = "s3cret"\n')
    (source,) = load_project(folder).sources
    assert source.entity([]).secret_settings == ("key",)

    source_file.write_text(f'{SOURCE}secret_settings = ["key"]\n[settings]\nother = "s3cret"\n')
    with pytest.raises(ConfigError, match="secret_settings names 'key'"):
        load_project(folder)


def test_a_source_may_say_by_what_it_is_ordered_and_whether_its_failures_park(folder: Path) -> None:
    source_file = folder / "sources" / "shop" / "source.toml"
    source_file.write_text(f'{SOURCE}order_by = "/order/id"\n')
    [source] = load_project(folder).sources
    assert (source.entity([]).order_by, source.entity([]).parks) == ("/order/id", False)

    source_file.write_text(f'{SOURCE}order_by = "header:X-Order"\non_failure = "park"\n')
    [source] = load_project(folder).sources
    assert (source.entity([]).order_by, source.entity([]).parks) == ("header:X-Order", True)


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ('order_by = "order.id"', r"order_by is 'order.id': .* write header:NAME, query:NAME or a JSON pointer"),
        ('order_by = ""', r"order_by is '': .* write header:NAME"),
        ("order_by = 7", r"order_by is 7: Input should be a valid string"),
        ('order_by = "/id"\non_failure = "stop"', r"on_failure is 'stop': Input should be 'pass' or 'park'"),
        ('on_failure = "park"', r'source.toml: .*on_failure = "park" needs order_by'),
        ('order_by = "/id"\nretries = 6', r"retries is 6: .* less than or equal to 5"),
        ('order_by = "/id"\nretries = -1', r"retries is -1: .* greater than or equal to 0"),
    ],
)
def test_wrong_options_of_order_and_retries_are_named(folder: Path, options: str, complaint: str) -> None:
    (folder / "sources" / "shop" / "source.toml").write_text(f"{SOURCE}{options}\n")

    with pytest.raises(ConfigError, match=complaint):
        load_project(folder)


def test_a_complaint_about_a_whole_file_does_not_show_its_settings(folder: Path) -> None:
    source_file = folder / "sources" / "shop" / "source.toml"
    source_file.write_text(f'{SOURCE}on_failure = "park"\n[settings]\nkey = "s3cret"\n')

    with pytest.raises(ConfigError) as raised:
        load_project(folder)

    assert "s3cret" not in str(raised.value)


def test_a_source_may_say_where_the_delivery_id_of_its_provider_is(folder: Path) -> None:
    for selector in ("header:X-GitHub-Delivery", "query:id", "/data/0/a~1b"):
        (folder / "sources" / "shop" / "source.toml").write_text(f'{SOURCE}delivery_id = "{selector}"\n')
        (source,) = load_project(folder).sources
        assert source.entity([]).delivery_id == selector

    for wrong in ("X-GitHub-Delivery", "header:", "header:two words", "query:", "", "/a~2"):
        (folder / "sources" / "shop" / "source.toml").write_text(f'{SOURCE}delivery_id = "{wrong}"\n')
        with pytest.raises(ConfigError, match=r"delivery_id is .* write header:NAME, query:NAME or a JSON pointer"):
            load_project(folder)


def test_a_sink_has_the_options_of_its_kind(folder: Path) -> None:
    (folder / "sinks.toml").write_text('[w]\nkind = "sqlite"\nobjects = false\npath = "x.db"\n')

    (sink,) = load_project(folder).sinks

    assert (sink.name, sink.kind, sink.events, sink.objects, sink.options) == (
        "w",
        "sqlite",
        True,
        False,
        {"path": "x.db"},
    )


def test_a_sink_may_want_only_some_messages(folder: Path) -> None:
    (folder / "sinks.toml").write_text(
        '[w]\nkind = "sqlite"\n[w.only]\nsources = ["shop"]\ntypes = ["track"]\n'
        'events = ["Paid"]\ncollections = ["a"]\n'
    )

    (sink,) = load_project(folder).sinks

    assert sink.only == Only(sources=("shop",), types=("track",), events=("Paid",), collections=("a",))


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"There is no project folder .*nowhere.*hookmill init"):
        load_project(tmp_path / "nowhere")


def test_a_folder_that_is_no_project_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="is not a project"):
        load_project(tmp_path)


def test_a_project_without_sources_is_refused(tmp_path: Path) -> None:
    (tmp_path / "sources").mkdir()

    with pytest.raises(ConfigError, match="holds no source"):
        load_project(tmp_path)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("function = \nx = 1", "is not valid TOML: Invalid value (at line 1, column 12)"),
        ("", "function is missing"),
        (SOURCE + "colour = 1", "colour is not an option"),
        (SOURCE + "timeout_ms = 0", "timeout_ms is 0"),
        (SOURCE + "max_body_bytes = 2097153", "max_body_bytes is 2097153"),
        ('function = "../../etc/passwd"', "must be a file beside it"),
        ('function = "function.rb"', "must end in .js, .ts or .py"),
        ('function = "other.js"', "cannot be read: No such file"),
        ("\xff", "is not valid TOML"),
    ],
)
def test_a_bad_source_file_is_refused_by_its_name(folder: Path, text: str, complaint: str) -> None:
    path = folder / "sources" / "shop" / "source.toml"
    path.write_bytes(text.encode("latin-1"))

    with pytest.raises(ConfigError, match=re.escape(complaint)) as refused:
        load_project(folder)

    assert "source.toml" in str(refused.value)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("[w", "is not valid TOML"),
        ("[w]", "w.kind is missing"),
        ('[w]\nkind = "oracle"', "oracle"),
        ('[w]\nkind = "sqlite"\ncolour = 1', "colour"),
        ('["a b"]\nkind = "sqlite"', "sink name [a b]"),
        ('[w]\nkind = "sqlite"\nonly.types = ["tracks"]', "w.only.types.0 is 'tracks'"),
        ('[w]\nkind = "sqlite"\nonly.event = ["Paid"]', "w.only.event is not an option"),
        ('[w]\nkind = "sqlite"\nonly.sources = ["shpo"]', '[w.only] names source "shpo", which is not here'),
    ],
)
def test_a_bad_sinks_file_is_refused_by_its_name(folder: Path, text: str, complaint: str) -> None:
    (folder / "sinks.toml").write_text(text)

    with pytest.raises(ConfigError, match=re.escape(complaint)) as refused:
        load_project(folder)

    assert "sinks.toml" in str(refused.value)


def test_a_missing_sinks_file_is_refused(folder: Path) -> None:
    (folder / "sinks.toml").unlink()

    with pytest.raises(ConfigError, match=r"sinks.toml is missing"):
        load_project(folder)


def test_a_slug_that_is_none_is_refused(folder: Path) -> None:
    (folder / "sources" / "shop").rename(folder / "sources" / "My Shop")

    with pytest.raises(ConfigError, match="a slug has lower-case letters"):
        load_project(folder)


def test_the_starter_project_is_a_project(tmp_path: Path) -> None:
    create_project(tmp_path / "new")

    assert [source.slug for source in load_project(tmp_path / "new").sources] == ["hello"]


def test_the_starter_writes_nothing_over(folder: Path) -> None:
    with pytest.raises(ConfigError, match=r"sinks.toml exists"):
        create_project(folder)

    assert (folder / "sinks.toml").read_text() == SINKS
    assert not (folder / "sources" / "hello").exists()


def test_the_hosts_a_function_may_call_come_with_its_source(folder: Path) -> None:
    allow = '[network]\nallow = ["api.example.com", "*.example.org:8443"]\n'
    (folder / "sources" / "shop" / "source.toml").write_text(SOURCE + allow)

    (source,) = load_project(folder).sources

    assert source.entity(()).network == ("api.example.com", "*.example.org:8443")


def test_a_source_without_network_may_call_nobody(folder: Path) -> None:
    (source,) = load_project(folder).sources

    assert source.entity(()).network == ()


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ('allow = ["https://api.example.com/path"]', r'network\.allow .*"https://api\.example\.com/path" is no host'),
        ('allow = ["*"]', r'network\.allow .*"\*" is no host'),
        ('allow = "api.example.com"', r"network\.allow"),
        ('deny = ["api.example.com"]', r"network\.deny is not an option"),
    ],
)
def test_a_network_table_that_cannot_be_read_is_refused(folder: Path, table: str, complaint: str) -> None:
    (folder / "sources" / "shop" / "source.toml").write_text(f"{SOURCE}[network]\n{table}\n")

    with pytest.raises(ConfigError, match=complaint):
        load_project(folder)
