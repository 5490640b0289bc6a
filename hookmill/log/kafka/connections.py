"""Repairs of aiokafka's connections: what it loses track of."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from typing import Any
from weakref import WeakSet

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

Method = Callable[..., Any]

_made: ContextVar["WeakSet[AIOKafkaConnection] | None"] = ContextVar("_made", default=None)


@contextlib.contextmanager
def closing_if_failed() -> Iterator[None]:
    """When the block fails, the connections made in it are closed: aiokafka 0.14 leaves its first one open when it is
    cancelled before the broker has told of the cluster."""
    made: WeakSet[AIOKafkaConnection] = WeakSet()
    token = _made.set(made)
    try:
        yield
    except BaseException:
        for connection in made:
            connection.close()
        raise
    finally:
        _made.reset(token)


def _telling_that_it_is_made(connect: Method) -> Method:
    @functools.wraps(connect)
    async def call(self: AIOKafkaConnection) -> Any:
        result = await connect(self)
        if (made := _made.get()) is not None:
            made.add(self)
        return result

    return call


def _refusing_when_closed(send: Method) -> Method:
    """For a moment after a connection broke its owner does not know. uvloop then raises a `RuntimeError`, which
    aiokafka 0.14 does not expect (its issue 1038): it ended consumers when their broker was restarted."""

    @functools.wraps(send)
    def call(self: AIOKafkaConnection, *arguments: Any, **options: Any) -> Any:
        if self._writer is not None and self._writer.transport.is_closing():
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {self.host}:{self.port} closed")
        return send(self, *arguments, **options)

    return call


_REPAIRS = {
    "connect": _telling_that_it_is_made,
    "send": _refusing_when_closed,
    "_send_sasl_token": _refusing_when_closed,
}


@functools.cache
def repair_connections() -> None:
    """Once per process, before the first client is made."""
    for name, repair in _REPAIRS.items():
        setattr(AIOKafkaConnection, name, repair(getattr(AIOKafkaConnection, name)))
