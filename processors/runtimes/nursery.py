"""Where runners come from: the zygote that is there when it is needed, and a Node.js process started ahead."""

import asyncio
from pathlib import Path
from typing import Self

from processors.runtimes.commands import Commands, zygote_command
from processors.runtimes.confinement import Layers, Level
from processors.runtimes.contract import Code
from processors.runtimes.isolation import layers_for
from processors.runtimes.runner import Runner
from processors.runtimes.zygote import Zygote


class Nursery:
    """Entered: runners can be had. Left: all of them are gone."""

    def __init__(self, node: Path | None, isolation: Level) -> None:
        self._commands = Commands(node)
        self._isolation = isolation
        self._layers: Layers
        self._zygote: Zygote
        self._renewal = asyncio.Lock()

    async def __aenter__(self) -> Self:
        """Errors: `ConfigError` if the machine has not what `Level.STRICT` needs; `RunnerUnavailable`."""
        self._layers = await layers_for(self._isolation)
        self._zygote = await Zygote.start(zygote_command(self._layers))
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._zygote.close()

    async def runner_for(self, code: Code) -> Runner:
        """Ready to run. Errors: `LoadFailed`, the function's fault; `RunnerUnavailable`; `NodeMissing`."""
        launch = await self._commands.of(code)
        runner = await Runner.boot(await self._living_zygote(), launch)
        try:
            await runner.load(code)
        except BaseException:
            await runner.kill()
            raise
        return runner

    async def _living_zygote(self) -> Zygote:
        async with self._renewal:
            if self._zygote.is_gone:
                await self._zygote.close()
                self._zygote = await Zygote.start(zygote_command(self._layers))
            return self._zygote
