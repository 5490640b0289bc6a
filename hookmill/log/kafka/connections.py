"""A repair of aiokafka's connections: one that the event loop has closed is lost, whatever the loop says of writing."""

import functools
from collections.abc import Callable
from typing import Any

from aiokafka.conn import AIOKafkaConnection, CloseReason
from aiokafka.errors import KafkaConnectionError

Send = Callable[..., Any]


def _refusing_when_closed(send: Send) -> Send:
    """For a moment after a connection broke its owner does not know. uvloop then raises a `RuntimeError`, which
    aiokafka 0.14 does not expect (its issue 1038): it ended consumers when their broker was restarted."""

    @functools.wraps(send)
    def call(self: AIOKafkaConnection, *arguments: Any, **options: Any) -> Any:
        if self._writer is not None and self._writer.transport.is_closing():
            self.close(reason=CloseReason.CONNECTION_BROKEN)
            raise KafkaConnectionError(f"Connection at {self.host}:{self.port} closed")
        return send(self, *arguments, **options)

    return call


def repair_connections() -> None:
    """Once per process, before the first client is made."""
    for name in ("send", "_send_sasl_token"):
        send = getattr(AIOKafkaConnection, name)
        if not hasattr(send, "__wrapped__"):
            setattr(AIOKafkaConnection, name, _refusing_when_closed(send))
