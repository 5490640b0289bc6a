"""How the zygote and the runners of each language are started."""

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

import msgspec

from processors.runtimes.confinement import Layers
from processors.runtimes.confinement.node import reads_of_node
from processors.runtimes.contract import Code
from processors.runtimes.ledger import MAX_BYTES
from processors.runtimes.limits import HEAP_MB
from processors.runtimes.node import NodeProgram, find_node

_FOLDER: Final = Path(__file__).parent
# -I and -S: neither the environment, nor the folder of the caller, nor installed packages, ours among them, are on the
# search path of user code; what is, is the folder that holds the harness alone.
_ZYGOTE_START: Final = "import sys; sys.path += sys.argv[1:3]; from hookmill_runtime.zygote import main; main()"
_CHANNEL_AND_LEDGER: Final = ("3", "4")
"""Descriptors of every runner, as `hookmill_runtime.zygote` has them."""
_NODE_DATA_MB: Final = 1_024
"""A second line behind the watch on resident memory, which looks ten times a second. A guess: far above it."""
_NEWER_NODE_DATA_MB: Final = 3_072
"""From Node.js 21 on the engine reserves address space that counts; 24 does not start below 2 GB (RUNTIMES 2.3)."""


def zygote_command(layers: Layers) -> list[str]:
    """The zygote, whose forks apply these layers. The descriptor of the control socket is to follow."""
    options = ["-I", "-S", "-X", "utf8", "-c", _ZYGOTE_START]
    told = msgspec.json.encode(asdict(layers)).decode()
    return [sys.executable, *options, str(_FOLDER / "python"), str(_FOLDER), _folder_of_orjson(), told]


class Launch(msgspec.Struct, frozen=True):
    """How a fork of the zygote becomes a runner, and what it may still do: see `confinement.Profile`."""

    argv: Sequence[str]
    """The program; empty for Python, which the zygote is already."""
    executes: Sequence[str]
    reads: Sequence[str]
    """For Python on top of its own library."""
    memory_mb: int
    file_bytes: int = MAX_BYTES
    is_shared: bool = False
    """Other functions start so, too: a runner may be started before it is known for which."""


class Commands:
    """How runners start, by language; Node.js is looked for once, when first needed."""

    def __init__(self, node: Path | None) -> None:
        self._configured = node
        self._node: NodeProgram | None = None

    async def of(self, code: Code) -> Launch:
        """How a runner of this function starts. Errors: `NodeMissing`; `RunnerUnavailable`."""
        if code.language == "python":
            return Launch((), (), () if code.site is None else (code.site,), HEAP_MB["python"])
        self._node = self._node or await find_node(self._configured)
        return _launch_of_node(self._node, code.site)


def _launch_of_node(node: NodeProgram, site: str | None) -> Launch:
    folder = _FOLDER / "javascript"
    heap_mb = str(HEAP_MB["javascript"])
    return Launch(
        argv=(str(node.path), "--no-warnings", str(folder / "supervisor.cjs"), *_CHANNEL_AND_LEDGER, heap_mb),
        executes=node.files,
        reads=(str(folder), *reads_of_node(), *(() if site is None else (site,))),
        is_shared=site is None,
        memory_mb=_NODE_DATA_MB if node.version <= 20 else _NEWER_NODE_DATA_MB,
    )


def _folder_of_orjson() -> str:
    found = importlib.util.find_spec("orjson")
    return str(Path(found.origin).parent.parent) if found is not None and found.origin is not None else ""
