"""Where runners come from: the zygote that is there when it is needed, and a Node.js process started ahead."""

import asyncio
import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Self

import msgspec

from hookmill.egress.guard import Egress
from processors.runtimes.commands import Commands, Launch, zygote_command
from processors.runtimes.confinement import Layers, Level
from processors.runtimes.contract import Code
from processors.runtimes.errors import RunnerUnavailable
from processors.runtimes.isolation import layers_for
from processors.runtimes.runner import Runner
from processors.runtimes.zygote import Zygote


class Nursery:
    """Entered: runners can be had. Left: all of them are gone.

    From the first function in JavaScript on there is one Node.js process more than needed, that has no function yet:
    the next one is ready in a fifth of the time. A fork for Python needs no such thing.
    """

    def __init__(self, node: Path | None, isolation: Level, egress: Egress, packages: Mapping[str, Path]) -> None:
        self._packages = packages
        self._commands = Commands(node)
        self._isolation = isolation
        self._egress = egress
        self._layers: Layers
        self._zygote: Zygote
        self._renewal = asyncio.Lock()
        self._spare: asyncio.Task[Runner] | None = None

    async def __aenter__(self) -> Self:
        """Errors: `ConfigError` if the machine has not what `Level.STRICT` needs; `RunnerUnavailable`."""
        self._layers = await layers_for(self._isolation)
        self._zygote = await Zygote.start(zygote_command(self._layers))
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._spare is not None:
            self._spare.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                spare = await self._take_spare()
                if spare is not None:
                    await spare.kill()
        await self._zygote.close()
        await self._egress.__aexit__()

    async def runner_for(self, code: Code) -> Runner:
        """Ready to run. Errors: `LoadFailed`, the function's fault; `RunnerUnavailable`; `NodeMissing`."""
        packages = self._packages.get(code.language)
        if code.site is None and packages is not None:
            code = msgspec.structs.replace(code, site=str(packages))
        launch = await self._commands.of(code)
        spare = await self._take_spare() if launch.is_shared else None
        runner = spare or await self._boot(launch)
        try:
            await runner.load(code, self._egress)
        except BaseException:
            await runner.kill()
            raise
        # Only now, so that it does not slow down the one that is waited for.
        if launch.is_shared and self._spare is None:
            self._spare = asyncio.create_task(self._boot(launch), name="spare runner")
        return runner

    async def _take_spare(self) -> Runner | None:
        if self._spare is None:
            return None
        spare, self._spare = self._spare, None
        try:
            runner = await spare
        except RunnerUnavailable:
            return None
        if runner.has_ended:
            await runner.kill()
            return None
        return runner

    async def _boot(self, launch: Launch) -> Runner:
        return await Runner.boot(await self._living_zygote(), launch)

    async def _living_zygote(self) -> Zygote:
        async with self._renewal:
            if self._zygote.is_gone:
                await self._zygote.close()
                self._zygote = await Zygote.start(zygote_command(self._layers))
            return self._zygote
