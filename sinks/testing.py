"""The contract of sinks as tests, for whoever writes one: pytest collects a subclass of one of the two classes.

class TestMine(SinkContract):
    @pytest.fixture(autouse=True)
    def _destination(self, tmp_path):
        self.file = tmp_path / "out"

    def sink(self):
        return MySink(self.file)

    def delivered(self):
        return ids_in(self.file)
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from hookmill.codec import JsonValue, ObjectWrite, encode
from sinks.contract import Event, Message, RecordRejected, Sink, SourcedObject

T = TypeVar("T")

RECEIVED_AT = "2026-11-23T10:00:00.000Z"
HOSTILE: dict[str, JsonValue] = {
    "quote": "'; DROP TABLE deals; --\"",
    "nul": "a\x00b",
    "line": "a\r\nb",
    "emoji": "🎉",
    "big": 2**63 - 1,
    "fraction": 0.1,
    "long": "x" * 100_000,
    "list": [1, "a", None],
    "nested": {"a": {"b": {"c": True}}},
    "nothing": None,
    "": "no name",
    "Nämé with spaces": 1,
}


def make_event(message_id: str, *, name: str = "Paid", source: str = "shop", **properties: JsonValue) -> Event:
    """A track call as sinks get it."""
    message: dict[str, JsonValue] = {
        "type": "track",
        "event": name,
        "messageId": message_id,
        "userId": "u1",
        "timestamp": RECEIVED_AT,
        "receivedAt": RECEIVED_AT,
        "properties": properties,
    }
    return Event(source, message_id, message, encode(message))


def make_write(
    object_id: str,
    order: int,
    properties: Mapping[str, JsonValue] | None,
    *,
    collection: str = "deals",
    source: str = "shop",
) -> SourcedObject:
    """An object write as sinks get it, newer than those of a smaller `order`; without properties a deletion."""
    body = ObjectWrite(
        collection=collection,
        id=object_id,
        version=(1_764_000_000_000_000 + order, 0, order, 0, 0),
        message_id=f"m-{collection}-{object_id}-{order}",
        received_at=RECEIVED_AT,
        properties=dict(properties or {}),
        deleted=properties is None,
    )
    return SourcedObject(source, body, encode(body))


class SinkContract:
    """What every sink keeps. Each test has a destination of its own, empty at the start."""

    def sink(self) -> Sink:
        """A sink to the destination of the test, not entered. Called more than once for one destination."""
        raise NotImplementedError

    def delivered(self) -> Collection[str]:
        """What the destination has: ids of events (`message_id`) and of objects (`write.id`)."""
        raise NotImplementedError

    def test_what_was_written_is_at_the_destination(self) -> None:
        batch: list[Message] = [make_event("e1", amount=5), make_write("o1", 1, {"title": "A"})]
        batch.append(make_event("e2", amount=6))

        self.write(batch)

        assert set(self.delivered()) == {"e1", "e2", "o1"}

    def test_a_batch_may_come_again(self) -> None:
        """After a crash, and after the worker heard nothing of a write that succeeded."""
        batch: list[Message] = [make_event("e1"), make_write("o1", 1, {"title": "A"})]

        self.write(batch, batch)
        self.write(batch)

        assert set(self.delivered()) == {"e1", "o1"}

    def test_batches_are_of_any_size_and_order(self) -> None:
        many: list[Message] = [make_event(f"e{n}", number=n) for n in range(2_000)]
        late = make_write("o1", 1, {"title": "old"})

        self.write([make_write("o1", 2, {"title": "new"})], many, [late])

        assert set(self.delivered()) == {"o1", *(f"e{n}" for n in range(2_000))}

    def test_a_message_is_taken_as_it_is_or_refused_by_itself(self) -> None:
        """`RecordRejected` names it by index and writes nothing of the batch; what is left is written then."""
        batch: list[Message] = [make_event("e1"), make_event("e2", **HOSTILE)]
        batch += [make_write("o1", 1, HOSTILE), make_write("o2", 1, {})]

        left = self.run(lambda sink: self._accepted(sink, batch))

        assert {"e1", "o2"} <= set(left)
        assert set(self.delivered()) == set(left)

    def test_an_open_sink_is_closed_by_leaving_it(self) -> None:
        for number in range(3):
            self.write([make_event(f"e{number}")])

        assert set(self.delivered()) == {"e0", "e1", "e2"}

    def write(self, *batches: Sequence[Message]) -> None:
        """A worker lived as long as these batches."""

        async def work(sink: Sink) -> None:
            for batch in batches:
                await sink.write(batch)

        self.run(work)

    def run(self, work: Callable[[Sink], Coroutine[Any, Any, T]]) -> T:
        """What the work with an open sink returns."""

        async def opened() -> T:
            async with self.sink() as sink:
                return await work(sink)

        return asyncio.run(opened())

    async def _accepted(self, sink: Sink, batch: Sequence[Message]) -> list[str]:
        left = list(batch)
        while refused := await _refused(sink, left):
            assert refused.keys() <= set(range(len(left))), "an index that the batch does not have"
            assert all(refused.values()), "a reason for each"
            left = [message for index, message in enumerate(left) if index not in refused]
        return [message.message_id if isinstance(message, Event) else message.write.id for message in left]


async def _refused(sink: Sink, batch: Sequence[Message]) -> Mapping[int, str]:
    """What the sink rejects of the batch; nothing when it has written it."""
    try:
        await sink.write(batch)
    except RecordRejected as error:
        return error.rejected
    return {}


class MergingSinkContract(SinkContract):
    """What a sink keeps besides that holds one row per object, as warehouses do."""

    def row(self, object_id: str) -> Mapping[str, object] | None:
        """The properties of an object of source `shop` and collection `deals`, without nulls; `None` without a row."""
        raise NotImplementedError

    def test_writes_merge_by_property_and_version(self) -> None:
        self.write(
            [make_write("o1", 3, {"value": "3", "stage": None})],
            [make_write("o1", 1, {"value": "1", "stage": "new", "title": "A"}), make_write("o1", 2, {"value": "2"})],
        )

        assert self._is("o1", value="3", title="A")

    def test_a_deletion_holds_against_older_writes(self) -> None:
        self.write(
            [make_write("o1", 1, {"title": "A"}), make_write("o2", 1, {"title": "B", "value": "1"})],
            [make_write("o1", 3, None), make_write("o2", 2, None)],
            [make_write("o1", 2, {"title": "late"}), make_write("o2", 3, {"value": "3"})],
        )

        assert self.row("o1") is None
        assert self._is("o2", value="3")

    def _is(self, object_id: str, **properties: str) -> bool:
        """The row has these properties, and no others but what the sink adds to every row."""
        row = self.row(object_id) or {}
        known = {"value", "stage", "title"}
        return {name: value for name, value in row.items() if name in known} == properties
