"""The function stage as a service of a process with other services."""

import asyncio
from typing import Final

from hookmill.config import Config
from processors.app import StageApp, create_app
from processors.stage import PoolMaker, process_pool


class FunctionStage:
    """Runs the Faust app in the loop that is already there: no banner, no signal handlers, no logging of its own."""

    name: Final = "function-stage"

    def __init__(self, config: Config, make_pool: PoolMaker = process_pool) -> None:
        self._config = config
        self._make_pool = make_pool
        self._app: StageApp | None = None

    async def start(self) -> None:
        """Webhooks are being read. Errors: of the log, of the registry, of the pool."""
        app = create_app(lambda: self._config, self._make_pool)
        try:
            await app.start()
        except BaseException:
            await app.stop()
            raise
        self._app = app
        # One watcher for the whole life: cancelling the wait of mode 0.7.1 leaves tasks behind.
        self._watcher = asyncio.create_task(app.wait_until_stopped(), name=self.name)

    async def wait(self) -> None:
        """Raises what crashed the app."""
        assert self._app is not None
        await asyncio.shield(self._watcher)
        if self._app.crash_reason is not None:
            raise self._app.crash_reason

    async def stop(self) -> None:
        """Work in hand is done or left, what is done is committed, everything is closed."""
        assert self._app is not None
        await self._app.stop()
        await self._watcher
