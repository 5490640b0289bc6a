"""Project folders for tests, from texts; and the tools of npm that some need."""

import os
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.processes import ROOT

NPM_BIN = ROOT / "requirements" / "npm" / "node_modules" / ".bin"


def make_project(folder: Path, files: Mapping[str, str]) -> Path:
    """A project with these files; a `sinks.toml` is added."""
    for name, text in {"sinks.toml": '[w]\nkind = "sqlite"\n', **files}.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder


def npm_tool(name: str) -> Path:
    """A program of `requirements/npm`. Without `make test`'s set-up the test is skipped; in CI it fails."""
    tool = NPM_BIN / name
    if not tool.exists():
        message = f"{tool} is missing: make test installs it"
        if "CI" in os.environ:
            pytest.fail(message)
        pytest.skip(message)
    return tool
