"""The Faust agent that works on spans."""

from collections.abc import Awaitable, Callable
from typing import Any, cast

import faust
from faust.types import AgentT, ChannelT, StreamT

from hookmill.records import Span


def span_agent(
    app: faust.App, name: str, channel: ChannelT[Any], work: Callable[[Span], Awaitable[None]]
) -> AgentT[Any]:
    """An agent that calls `work` with each span of the channel; an exception stops the process.

    `noack()`: Faust would count a span as done when its iteration ends, an exception included (RELIABILITY F1, F2).
    What is done is known to the stage alone.
    """

    @app.agent(channel, name=name)
    async def functions(spans: StreamT[Any]) -> None:
        by_hand = cast(faust.Stream[Span], spans).noack()
        async for span in by_hand:
            await work(span)

    return functions
