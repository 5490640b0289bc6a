"""The check of a sink: whether its destination can be reached and would take what comes, without giving it anything."""

import asyncio
from collections.abc import Sequence
from typing import Final

from hookmill.errors import ConfigError
from hookmill.registry import Sink as SinkDefinition
from sinks.contract import Checkable, SinkUnavailable
from sinks.open import open_sink
from sinks.options import Surroundings

_TIMEOUT_S: Final = 60.0


async def what_is_missing(definition: SinkDefinition, around: Surroundings) -> Sequence[str]:
    """What stands between the sink and its destination, a sentence each; empty when nothing does."""
    try:
        async with asyncio.timeout(_TIMEOUT_S):
            sink = open_sink(definition, around)
            if isinstance(sink, Checkable):
                return await sink.check()
            async with sink:
                return ()
    except TimeoutError:
        return (f"It did not answer within {_TIMEOUT_S:g} s.",)
    except (SinkUnavailable, ConfigError) as error:
        return (str(error),)
