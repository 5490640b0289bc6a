"""The layers that attacks are tried against, and the table of what they let through."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec

from processors.runtimes.confinement import Layers, available, files_of_node

HERE: Final = Path(__file__).parent
DEADLINE_S: Final = 250
NOBODY: Final = 65_534

NOTHING: Final = Layers(no_new_privs=False, rlimits=False, landlock_abi=0, seccomp=False)
BARE: Final = Layers(no_new_privs=True, rlimits=True, landlock_abi=0, seccomp=False)
COLUMNS: Final = {
    "off": Layers(no_new_privs=False, rlimits=True, landlock_abi=0, seccomp=False),
    "neither": BARE,
    "Landlock 1": Layers(no_new_privs=True, rlimits=True, landlock_abi=1, seccomp=False),
    "Landlock 7": Layers(no_new_privs=True, rlimits=True, landlock_abi=7, seccomp=False),
    "seccomp": Layers(no_new_privs=True, rlimits=True, landlock_abi=0, seccomp=True),
    "strict": Layers(no_new_privs=True, rlimits=True, landlock_abi=7, seccomp=True),
}
"""Of the table: level off, four kernels that lack something at level best-effort, and all layers."""


class Run(msgspec.Struct):
    """What one user's attacks came to: names by language, and those that got through by layers."""

    attacks: dict[str, list[str]]
    let_through: dict[str, dict[str, list[str]]]


def users() -> dict[str, int | None]:
    """Who attacks; `None` keeps the user of the tests."""
    return {"root": None, "unprivileged": NOBODY} if os.getuid() == 0 else {"unprivileged": None}


def layer_sets() -> dict[str, Layers]:
    """The columns that this kernel can show, nothing at all, and every complete set."""
    abi = available().landlock_abi
    complete = {complete_with(version): all_layers(version) for version in range(1, abi + 1)}
    shown = {name: layers for name, layers in COLUMNS.items() if layers.landlock_abi <= abi}
    return {"nothing": NOTHING, **shown, **complete}


def all_layers(abi: int) -> Layers:
    """Complete, with the rules of this version of Landlock."""
    return Layers(no_new_privs=True, rlimits=True, landlock_abi=abi, seccomp=True)


def complete_with(abi: int) -> str:
    """The name of that set."""
    return f"all layers, Landlock {abi}"


@cache
def run_as(user: str, node: str) -> Run:
    """All attacks against all sets of layers, once per test run."""
    order = {
        "uid": users()[user],
        "node": node,
        "node_files": files_of_node(node),
        "layers": {name: asdict(layers) for name, layers in layer_sets().items()},
    }
    ended = subprocess.run(
        [sys.executable, "-I", str(HERE / "launch.py")],
        input=json.dumps(order),
        capture_output=True,
        text=True,
        env={"TOKEN": "an environment worth reading"},
        start_new_session=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return msgspec.json.decode(ended.stdout, type=Run)


def table(run: Run) -> str:
    """In Markdown: a row per attack, P for Python and J for JavaScript where it gets through."""
    names = list(dict.fromkeys([*run.attacks["python"], *run.attacks["javascript"]]))
    rows = [["attack", *COLUMNS], ["---"] * (1 + len(COLUMNS))]
    rows += [[name, *(_cell(run, column, name) for column in COLUMNS)] for name in names]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


def read_table(lines: Sequence[str]) -> dict[tuple[str, str], str]:
    """The cells of a table as `table` makes it, by attack and column."""
    cells: dict[tuple[str, str], str] = {}
    for line in lines:
        name, *row = (cell.strip() for cell in line.strip().strip("|").split("|"))
        if name not in ("attack", "---"):
            cells |= {(name, column): cell for column, cell in zip(COLUMNS, row, strict=True)}
    return cells


def _cell(run: Run, column: str, name: str) -> str:
    through: Mapping[str, Any] = run.let_through[column]
    letters = [letter for language, letter in (("python", "P"), ("javascript", "J")) if name in through[language]]
    return " ".join(letters) or "-"
