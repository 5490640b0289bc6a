"""What one invocation gathers: messages and log lines. Closed when the handler settles."""

from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from . import codec
from .load import Limits
from .plain import NotJson

if TYPE_CHECKING:
    from .logs import LogBook


class TooLarge(Exception):
    """The output exceeds its limits."""


class Collector:
    """The messages of one invocation, in the order of the calls."""

    def __init__(self, index: int, limits: Limits, logs: "LogBook") -> None:
        self.index = index
        """Of the invocation in its batch."""
        self._limits = limits
        self.logs = logs
        self.unfinished: dict[str, str] = {}
        """Printed text without its line end, by level."""
        self.events: list[dict[str, Any]] = []
        self.objects: list[dict[str, Any]] = []
        self.is_closed = False
        self.excess: TooLarge | None = None
        """Why the output is too large, once it is; a function that catches it is refused all the same."""

    def reserve(self, more: int = 1) -> None:
        """There is room for so many more messages. Errors: `TooLarge`."""
        if len(self.events) + len(self.objects) + more > self._limits.messages:
            self._refuse(f"The function sent more than {self._limits.messages} messages.")

    def encode(self) -> tuple[bytes, bytes]:
        """Events and objects as comma-separated JSON, as they are now: changes after the call count.

        Errors: `TooLarge`; `TypeError` for what JSON has no form for.
        """
        if self.excess is not None:
            raise self.excess
        self.reserve(0)  # user code can put messages into the lists, too
        self._room = self._limits.output_bytes
        events = [self._encode(event, self._limits.event_bytes) for event in self.events]
        objects = [self._encode(item, self._limits.output_bytes) for item in self.objects]
        return b",".join(events), b",".join(objects)

    def close(self) -> None:
        """From here on helpers raise."""
        self.is_closed = True
        for level, rest in self.unfinished.items():
            if rest:
                self.logs.add(level, rest)

    def _encode(self, message: object, limit: int) -> bytes:
        if not isinstance(message, dict):  # user code can put anything into the list
            raise TypeError(f"A message is a dict, not of type {type(message).__name__}.")
        try:
            content = codec.dumps(message)
        except NotJson as error:
            helper = message.get("type", "delete" if message.get("deleted") else "set")
            raise TypeError(f"segment.{helper}: {error}.") from None
        self._room -= len(content)
        if len(content) > limit:
            what = f"A message of type {message['type']}" if "type" in message else "An object"
            self._refuse(f"{what} of {len(content)} bytes exceeds the limit of {limit} bytes.")
        if self._room < 0:
            self._refuse(f"The messages exceed the limit of {self._limits.output_bytes} bytes.")
        return content

    def _refuse(self, message: str) -> None:
        self.excess = TooLarge(message)
        raise self.excess


current: ContextVar[Collector] = ContextVar("collector")
"""Of the invocation that the running code belongs to; tasks it started inherit it."""
