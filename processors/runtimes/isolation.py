"""Isolation: how much the operator asks for, and how much this machine gives."""

import asyncio
import subprocess

from hookmill.errors import ConfigError
from hookmill.telemetry import get_logger
from processors.runtimes import metrics
from processors.runtimes.confinement import Layers, Level, available
from processors.runtimes.errors import RunnerUnavailable

log = get_logger(__name__)

_OFF = Layers(no_new_privs=False, rlimits=True, landlock_abi=0, seccomp=False)
"""Limits on memory and on what is written are limits of a function, whatever the level."""


async def layers_for(level: Level) -> Layers:
    """The layers that runners are to apply, told to the operator.

    Errors: `ConfigError` if `Level.STRICT` is asked for and a layer is missing; `RunnerUnavailable`.
    """
    offered = await _offered() if level is not Level.OFF else _OFF
    missing = offered.missing()
    if level is Level.STRICT and missing:
        raise ConfigError(
            f"Isolation is strict, and this machine lacks {', '.join(missing)}. "
            f'Functions run without with processors.isolation "{Level.BEST_EFFORT}".'
        )
    tell = log.info if not missing else log.warning
    tell("runner.isolation", asked_for=str(level), landlock_abi=offered.landlock_abi, missing=list(missing))
    metrics.set_isolation(level, offered)
    return offered


async def _offered() -> Layers:
    try:
        return await asyncio.to_thread(available)
    except (OSError, subprocess.SubprocessError) as error:
        raise RunnerUnavailable(f"What this machine offers for isolation cannot be told: {error}") from error
