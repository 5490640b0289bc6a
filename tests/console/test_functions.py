"""Functions as they are published: what is read, what belongs to a version, what the function can import."""

import re
from pathlib import Path

import pytest

from console.project import load_project
from console.trial import try_sources
from hookmill.config import ProcessorsConfig
from hookmill.errors import ConfigError
from tests.console.projects import make_project

PYTHON = {
    "sources/shop/source.toml": 'function = "function.py"\ntimeout_ms = 10000\n',
    "sources/shop/function.py": (
        "import segment\n"
        "from helpers import name_of\n"
        "from shared.money import euros\n"
        "def on_request(request, settings):\n"
        "    order = request.json()\n"
        "    segment.set(collection='orders', id=name_of(order), properties={'value': euros(order['cents'])})\n"
    ),
    "sources/shop/helpers.py": "def name_of(order):\n    return order['name']\n",
    "shared/money.py": "def euros(cents):\n    return cents / 100\n",
    "sources/shop/examples/a.json": '{"body": {"name": "x", "cents": 150}}',
    "sources/shop/examples/b.json": '{"body": {"cents": 150}}',
}


def test_helper_modules_of_python_come_with_the_function(tmp_path: Path) -> None:
    (source,) = load_project(make_project(tmp_path, PYTHON)).sources

    assert source.function.modules == {
        "helpers.py": PYTHON["sources/shop/helpers.py"],
        "shared/money.py": PYTHON["shared/money.py"],
    }


async def test_a_python_function_imports_its_helpers(tmp_path: Path) -> None:
    project = load_project(make_project(tmp_path, PYTHON))

    (trial,) = await try_sources(project.sources, ProcessorsConfig())
    (_, good), (_, bad) = trial.results

    assert good.objects[0]["properties"] == {"value": 1.5}
    assert bad.report.error is not None
    assert (bad.report.error.kind, bad.report.error.line) == ("KeyError", 6)
    assert 'File "helpers.py", line 2, in name_of' in bad.report.error.stack


@pytest.mark.parametrize("file", ["sources/shop/helpers.py", "shared/money.py", "sources/shop/function.py"])
def test_a_change_of_any_file_of_a_function_is_a_new_version(tmp_path: Path, file: str) -> None:
    folder = make_project(tmp_path, PYTHON)
    (before,) = load_project(folder).sources

    (folder / file).write_text(PYTHON[file] + "# changed\n")
    (after,) = load_project(folder).sources

    assert before.function.version != after.function.version


def test_hidden_files_are_no_modules(tmp_path: Path) -> None:
    hidden = {"sources/shop/.cache/x.py": "", "sources/shop/.#function.py": ""}

    (source,) = load_project(make_project(tmp_path, {**PYTHON, **hidden})).sources

    assert sorted(source.function.modules) == ["helpers.py", "shared/money.py"]


def test_two_folders_of_the_name_shared_are_refused(tmp_path: Path) -> None:
    folder = make_project(tmp_path, {**PYTHON, "sources/shop/shared/x.py": ""})

    with pytest.raises(ConfigError, match=re.escape("sources/shop/shared hides ")):
        load_project(folder)


def test_a_module_that_is_no_text_is_refused_by_its_name(tmp_path: Path) -> None:
    folder = make_project(tmp_path, PYTHON)
    (folder / "shared" / "money.py").write_bytes(b"\xff")

    with pytest.raises(ConfigError, match=r"shared/money\.py is not UTF-8 text"):
        load_project(folder)


def test_plain_javascript_is_published_byte_for_byte(tmp_path: Path) -> None:
    code = "// import is not at the start of a line\r\nexported = 1\nasync function onRequest() {}\n"
    folder = make_project(tmp_path, {"sources/a/source.toml": 'function = "function.js"', "sources/a/function.js": ""})
    (folder / "sources" / "a" / "function.js").write_bytes(code.encode())

    (source,) = load_project(folder).sources

    assert source.function.code == code
