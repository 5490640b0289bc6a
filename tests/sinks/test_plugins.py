"""Kinds of sinks that other packages bring along: a real one, and broken ones."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hookmill.errors import ConfigError
from hookmill.log.sqlite import SqliteLog
from hookmill.registry import Sink
from hookmill.topics import TopicNames
from sinks.open import check_sink, describe_sink, open_sink
from sinks.options import Surroundings
from tests.processes import ROOT
from tests.sinks.messages import event

EXAMPLE = ROOT / "examples" / "third-party-sink"
DEADLINE_S = 250


def sink_of(kind: str, **options: object) -> Sink:
    return Sink("mine", kind, events=True, objects=True, options=options)  # type: ignore[arg-type]


def complaint(sink: Sink) -> str:
    with pytest.raises(ConfigError) as caught:
        check_sink(sink)
    return str(caught.value)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example package in it, as pip installs it."""
    target = tmp_path_factory.mktemp("site")
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    options = ["--no-deps", "--no-build-isolation", "--no-index", "--target", str(target)]
    subprocess.run([*pip, *options, str(EXAMPLE)], check=True, timeout=DEADLINE_S)
    return target


def offer(folder: Path, package: str, kind: str, code: str) -> None:
    """A package `package` that offers the kind by what is called `Options` in its code."""
    (folder / f"{package}.py").write_text(code)
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[hookmill.sinks]\n{kind} = {package}:Options\n")


async def test_an_installed_package_brings_a_kind_along(
    installed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(installed))
    sink = sink_of("tsv", path="out.tsv")
    around = Surroundings(tmp_path, SqliteLog(tmp_path / "log"), TopicNames())

    async with open_sink(sink, around) as opened:
        await opened.write([event("m1", event="Paid")])

    assert (tmp_path / "out.tsv").read_text().startswith("pipedrive\tm1\t{")
    assert describe_sink(sink, tmp_path) == f"events and objects to tsv {tmp_path / 'out.tsv'}"
    assert complaint(sink_of("tsv", file="x")) == 'Sink "mine": option "file" does not exist; tsv has path.'
    assert complaint(sink_of("tsv", path="")) == 'Sink "mine": path must be the name of a file.'
    assert complaint(sink_of("abacus")).endswith("webhook, tsv.")


def test_a_package_runs_our_contract_where_it_is_installed(installed: Path, tmp_path: Path) -> None:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{installed}{os.pathsep}{ROOT}",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",  # the suite needs none
    }
    options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path)]  # not our own settings
    command = [sys.executable, "-m", "pytest", *options, str(EXAMPLE / "tests")]

    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=DEADLINE_S)

    assert done.returncode == 0, done.stdout + done.stderr
    assert "5 passed" in done.stdout


def test_without_the_package_its_kind_does_not_exist() -> None:
    assert complaint(sink_of("tsv", path="x")).startswith('Sink "mine": kind "tsv" does not exist; there are sqlite,')


def test_a_package_that_cannot_be_imported_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, "brittle", "brittle", "import a_package_that_nobody_has\n")
    monkeypatch.syspath_prepend(str(tmp_path))

    text = complaint(sink_of("brittle"))

    assert text.startswith('Sink "mine": kind "brittle" of package brittle cannot be loaded: ModuleNotFoundError')
    assert "a_package_that_nobody_has" in text
    check_sink(sink_of("sqlite"))


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("Options = 5\n", "odd:Options must be a class of options, a msgspec.Struct."),
        ("class Options: ...\n", "odd:Options must be a class of options, a msgspec.Struct."),
        ("import msgspec\nclass Options(msgspec.Struct): ...\n", "odd:Options has no method check()."),
        ("", "cannot be loaded: AttributeError"),
    ],
)
def test_a_package_whose_entry_point_is_no_kind_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: str, text: str
) -> None:
    offer(tmp_path, "odd", "odd", code)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "odd", raising=False)

    assert text in complaint(sink_of("odd"))


def test_two_packages_of_one_kind_are_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, "first", "twice", "")
    offer(tmp_path, "second", "twice", "")
    monkeypatch.syspath_prepend(str(tmp_path))

    expected = 'Sink "mine": kind "twice" is offered by package first and package second: uninstall all but one.'
    assert complaint(sink_of("twice")) == expected


def test_a_package_cannot_take_the_place_of_a_kind_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    offer(tmp_path, "usurper", "sqlite", "")
    monkeypatch.syspath_prepend(str(tmp_path))

    expected = 'Sink "mine": kind "sqlite" is Hookmill\'s own, and offered by package usurper too: uninstall that.'
    assert complaint(sink_of("sqlite")) == expected
    check_sink(sink_of("stdout"))
