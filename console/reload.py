"""Reload on save: the project is read and published again after each change of its files."""

import asyncio
from pathlib import Path

from rich.console import Console
from watchfiles import Change, awatch

from console.apply import apply_project
from console.examples import EXAMPLES
from console.functions import LANGUAGES, SHARED
from console.project import SINKS_FILE, SOURCES, load_project
from hookmill.config import ProcessorsConfig
from hookmill.errors import HookmillError
from hookmill.log import Log
from hookmill.topics import TopicNames


class Reloader:
    """Publishes the project after each change; says what cannot be, and the old version stays. A service."""

    name = "reload"

    def __init__(self, folder: Path, log: Log, names: TopicNames, config: ProcessorsConfig, screen: Console) -> None:
        self._folder = folder
        self._log = log
        self._names = names
        self._config = config
        self._screen = screen
        self._stopping = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Watching."""
        self._watcher = asyncio.create_task(self._watch(), name=self.name)
        await asyncio.sleep(0)  # its first step, in which the files come under watch

    async def wait(self) -> None:
        """Raises when watching is no longer possible."""
        assert self._watcher is not None
        await asyncio.shield(self._watcher)

    async def stop(self) -> None:
        """No longer watching; a reload under way is given up."""
        self._stopping.set()
        if self._watcher is not None:
            self._watcher.cancel()
            await asyncio.gather(self._watcher, return_exceptions=True)

    async def _watch(self) -> None:
        watched = (self._folder / name for name in (SOURCES, SHARED, SINKS_FILE))
        async for changes in awatch(
            *(path for path in watched if path.exists()),
            stop_event=self._stopping,
            watch_filter=_is_source,
            ignore_permission_denied=True,
        ):
            await self._reload({Path(path) for _, path in changes})

    async def _reload(self, paths: set[Path]) -> None:
        try:
            # In a thread: bundling waits for a process, and the stages run in this loop.
            project = await asyncio.to_thread(load_project, self._folder)
            applied = await apply_project(project, self._log, self._names, self._config)
        except HookmillError as error:
            self._say(f"Not reloaded, the version before goes on.\n{error}")
            return
        for name in applied.published:
            self._say(f"Reloaded {name}")
        for name in applied.removed:
            self._say(f"Removed {name}")
        if any(path.name == SINKS_FILE for path in paths):
            self._say(f"Changes of {SINKS_FILE} take effect at the next start.")

    def _say(self, text: str) -> None:
        self._screen.print(text)


def _is_source(change: Change, path: str) -> bool:
    """Editors leave swap files and Python caches beside what they save; JSON may be imported, but examples are not."""
    name = Path(path).name
    is_example = Path(path).parent.name == EXAMPLES
    return name.endswith((*LANGUAGES, ".json", ".toml")) and not name.startswith((".", "#")) and not is_example
