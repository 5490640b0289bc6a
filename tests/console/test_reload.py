"""Reload on save: which files a running `hookmill dev` looks at."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from console.reload import Reloader
from hookmill.lifecycle import running
from tests.console.projects import make_project, npm_tool
from tests.contracts.reading import eventually
from tests.processes import Process, started, wait_until
from tests.redelivery.installation import install

FILES = {
    "sources/shop/source.toml": 'function = "function.ts"\n',
    "sources/shop/function.ts": (
        "import { label } from '../../shared/label'\nimport names from './names.json'\n"
        "async function onRequest(): Promise<void> { console.log(label, names) }\n"
    ),
    "sources/shop/names.json": "[1]",
    "shared/label.ts": "export const label: string = 'a'\n",
}


@pytest.fixture
def dev(tmp_path: Path) -> Process:
    folder = make_project(tmp_path / "project", FILES)
    path = f"{npm_tool('esbuild').parent}{os.pathsep}{os.environ['PATH']}"
    return Process(["dev", str(folder), "--port", "0"], tmp_path / "dev", env={"PATH": path})


def test_files_that_a_function_imports_are_looked_at(dev: Process, tmp_path: Path) -> None:
    project = tmp_path / "project"

    with started(dev):
        for reloads, (name, text) in enumerate(
            [("shared/label.ts", "export const label = 'b'\n"), ("sources/shop/names.json", "[2]")], start=1
        ):
            (project / name).write_text(text)
            wait_until(lambda count=reloads: dev.stderr.count("Reloaded source/shop") == count, 60, f"reload of {name}")
        (project / "shared" / "label.ts").write_text("export const label: string b\n")
        wait_until(lambda: "shared/label.ts:1:27:" in dev.stderr, 60, "a complaint")
        dev.stop()

    assert "Not reloaded, the version before goes on." in dev.stderr
    assert "export const label: string b" in dev.stderr


async def test_what_is_saved_as_soon_as_the_start_is_over_is_reloaded(tmp_path: Path) -> None:
    code = "def on_request(request, settings):\n    pass\n"
    files = {"sources/shop/source.toml": 'function = "function.py"\n', "sources/shop/function.py": code}
    project = make_project(tmp_path / "project", files)
    installation = await install(tmp_path / "data", None)
    said = io.StringIO()
    reloader = Reloader(
        project, installation.log, installation.names, installation.config.processors, Console(file=said)
    )

    async def is_reloaded() -> bool:
        return "Reloaded source/shop" in said.getvalue()

    async with running([reloader]):
        (project / "sources" / "shop" / "function.py").write_text(f"{code}# saved\n")
        await eventually(is_reloaded, "the function is published")
