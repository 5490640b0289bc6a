"""What a sink is to its worker: batches of messages in, durable when `write` returns."""

from collections.abc import Collection, Sequence
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

import msgspec

from hookmill.codec import JsonValue, ObjectWrite
from hookmill.errors import FailureKind, HookmillError


class SinkUnavailable(HookmillError):
    """The destination cannot take anything now: the worker keeps the batch, backs off and writes it again.

    `retry_after_s` is what the destination asked for; the worker waits no shorter.
    """

    kind = FailureKind.DEPENDENCY

    def __init__(self, text: str, retry_after_s: float = 0.0) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(text)


class RecordRejected(HookmillError):
    """The destination refuses single messages of the batch; the others of the batch are not written.

    `rejected` maps the index in the batch to the reason. The worker takes those out and writes the rest again. Those
    that are `retriable` too may fare better later: they come again by the delay topics, as often as webhooks do. The
    others are refused for good.
    """

    kind = FailureKind.FINAL

    def __init__(self, rejected: dict[int, str], retriable: Collection[int] = ()) -> None:
        self.rejected = rejected
        self.retriable = frozenset(retriable)
        super().__init__(f"{len(rejected)} messages refused, the first because {next(iter(rejected.values()))}")


class Event(msgspec.Struct, frozen=True):
    """One event: who sent it, its id, and the message as the Segment Spec has it (`type`, `event`, `userId`, ...)."""

    source: str
    message_id: str
    message: dict[str, JsonValue]
    raw: bytes
    """The message as JSON text, exactly as on the topic."""
    generation: int = 0
    """Above 0 for what a recompute made: it takes the place of the same event of a lower one, where a sink can."""


class SourcedObject(msgspec.Struct, frozen=True):
    """One object write and its source."""

    source: str
    write: ObjectWrite
    raw: bytes
    """The write as JSON text, exactly as on the topic."""


Message = Event | SourcedObject


class Sink(Protocol):
    """A destination. One worker calls it, one call at a time; batches may repeat and may come out of order.

    An async context manager: entering connects and prepares (errors: `SinkUnavailable`, `ConfigError`), leaving closes.
    """

    async def write(self, batch: Sequence[Message]) -> None:
        """The whole batch is durable, each event once by its id, each object property by the greatest version.

        A write with `deleted` takes away what older writes to the object set, also those that are still to come.

        Events and objects may be mixed, as the sink's filter allows. All or nothing as far as the destination can; a
        batch written twice leaves the same state as once.

        Errors: `SinkUnavailable`; `RecordRejected`. Anything else is a bug of the sink: it is left and entered again,
        and a message on which it fails alone comes again like one that is refused and retriable.
        """
        ...

    async def __aenter__(self) -> Self: ...
    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@runtime_checkable
class Checkable(Protocol):
    """What a sink may offer beside: `hookmill sink check` asks it; other sinks it only enters and leaves."""

    async def check(self) -> Sequence[str]:
        """What the sink lacks at its destination, a sentence each with the next step; empty when it lacks nothing.

        Called on a sink that is not entered, maybe while another process uses the destination. What `write` would do is
        tried as far as nothing of it stays. Errors: as of entering.
        """
        ...
