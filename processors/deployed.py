"""What is deployed: the source and the function that a webhook is to run on, as the registry has them now."""

import asyncio
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from hookmill.registry import Function, Registry, Source
from processors.failure import Failure, Reason

REGISTRY_GRACE_S: Final = 3.0
"""How long a fresh webhook waits for its source to become known: receiver and function stage follow the registry each
on their own, with polls of up to 0.5 s, so a webhook sent right after a deployment may be ahead of it."""

_REGISTRY_LOOK_S: Final = 0.05


class Deployed(NamedTuple):
    """A source, and the version of its function that is to run."""

    source: Source
    function: Function


class Deployments:
    """Looks up what is deployed."""

    def __init__(self, registry: Registry, now_s: Callable[[], float] = time.time) -> None:
        self._registry = registry
        self._now_s = now_s

    async def find(self, source_id: str, version: str, newest_us: int) -> Deployed | Failure:
        """The source with the version that a replay asks for, or with its own for an empty one.

        `newest_us`: when the newest of its webhooks was received. Counted from there, so that a backlog of a removed
        source does not wait span by span.
        """
        newest_s = newest_us / 1_000_000
        looks = round(min(newest_s + REGISTRY_GRACE_S - self._now_s(), REGISTRY_GRACE_S) / _REGISTRY_LOOK_S)
        found = self._look_up(source_id, version)
        while isinstance(found, Failure) and looks > 0 and source_id:
            await asyncio.sleep(_REGISTRY_LOOK_S)
            looks -= 1
            found = self._look_up(source_id, version)
        return found

    def _look_up(self, source_id: str, version: str) -> Deployed | Failure:
        source = self._registry.sources.get(source_id)
        if source is None:
            return Failure.of(Reason.UNKNOWN_SOURCE, f"Source {source_id[:100]!r} is not deployed.")
        version = version or source.function_version
        function = self._registry.functions.get((source_id, version))
        if function is None:
            return Failure.of(
                Reason.NO_FUNCTION,
                f"Source {source_id!r} is to run version {version[:100]!r}, which the registry does not have.",
            )
        return Deployed(source, function)
