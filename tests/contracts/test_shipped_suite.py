"""The suite that we ship to whoever writes a sink, on sinks of our own; and that it finds what it is there for."""

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec
import pytest

from sinks.contract import Event, Message, Sink
from sinks.streams.jsonl import JsonLines
from sinks.testing import MergingSinkContract, SinkContract
from sinks.warehouses.sqlite import SqliteWarehouse
from tests.sinks.database import query, rows


class TestJsonLines(SinkContract):
    @pytest.fixture(autouse=True)
    def _destination(self, tmp_path: Path) -> None:
        self.file = tmp_path / "out.jsonl"

    def sink(self) -> Sink:
        return JsonLines(self.file)

    def delivered(self) -> Collection[str]:
        lines = [msgspec.json.decode(line) for line in self.file.read_bytes().splitlines()]
        return [line["id"] if "collection" in line else line["messageId"] for line in lines]


class TestSqlite(MergingSinkContract):
    @pytest.fixture(autouse=True)
    def _destination(self, tmp_path: Path) -> None:
        self.file = tmp_path / "w.db"

    def sink(self) -> Sink:
        return SqliteWarehouse(self.file)

    def delivered(self) -> Collection[str]:
        names = [name for (name,) in query(self.file, "SELECT name FROM sqlite_master WHERE name LIKE 'shop__%'")]
        found = [name for name in names if name in ("shop__tracks", "shop__deals")]
        return [key for name in found for key in rows(self.file, name)]

    def row(self, object_id: str) -> Mapping[str, object] | None:
        return rows(self.file, "shop__deals").get(object_id)


class _Forgetful:
    """A sink that keeps one batch at a time."""

    def __init__(self, kept: list[str]) -> None:
        self._kept = kept

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    async def write(self, batch: Sequence[Message]) -> None:
        self._kept[:] = [message.message_id if isinstance(message, Event) else message.write.id for message in batch]


def test_a_sink_that_loses_batches_is_found_out() -> None:
    kept: list[str] = []

    class Suite(SinkContract):
        def sink(self) -> Sink:
            return _Forgetful(kept)

        def delivered(self) -> Collection[str]:
            return kept

    Suite().test_what_was_written_is_at_the_destination()
    with pytest.raises(AssertionError):
        Suite().test_batches_are_of_any_size_and_order()
