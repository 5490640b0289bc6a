"""The embedded engine's `Log`."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

from hookmill.log.contract import RebalanceListener
from hookmill.log.sqlite.arrivals import Arrivals
from hookmill.log.sqlite.groups import committed_positions
from hookmill.log.sqlite.housekeeping import forget
from hookmill.log.sqlite.membership import LeaseTimes
from hookmill.log.sqlite.reader import SqliteReader
from hookmill.log.sqlite.sender import SqliteSender
from hookmill.log.sqlite.topic_file import create_topic, open_topic
from hookmill.records import TopicPartition
from hookmill.topics import TopicSpec


class SqliteLog:
    """The log in a folder. Its senders and readers belong to one event loop; other processes open it for themselves."""

    def __init__(
        self, folder: Path, *, lease_times: LeaseTimes | None = None, housekeeping_interval_s: float = 60.0
    ) -> None:
        """`lease_times` must be the same in all processes; every open sender does the housekeeping of the folder."""
        self._folder = folder
        self._lease_times = lease_times or LeaseTimes()
        self._housekeeping_interval_s = housekeeping_interval_s
        self._arrivals = Arrivals()

    @property
    def description(self) -> str:
        """See `Log.description`."""
        return f"embedded log in {self._folder}"

    async def ensure_topics(self, specs: Sequence[TopicSpec]) -> Sequence[str]:
        """See `Log.ensure_topics`."""
        return await asyncio.to_thread(self._ensure_topics, specs)

    async def committed(self, group: str, topics: Sequence[str]) -> Mapping[TopicPartition, int]:
        """See `Log.committed`."""
        return await asyncio.to_thread(committed_positions, self._folder, group, topics)

    async def forget(self, positions: Mapping[TopicPartition, int]) -> None:
        """See `Log.forget`."""
        await asyncio.to_thread(forget, self._folder, positions)

    def sender(self) -> SqliteSender:
        """See `Log.sender`."""
        return SqliteSender(self._folder, self._arrivals, self._housekeeping_interval_s)

    def reader(
        self,
        topics: Sequence[str],
        *,
        group: str | None,
        listener: RebalanceListener | None = None,
        from_end: bool = False,
    ) -> SqliteReader:
        """See `Log.reader`."""
        return SqliteReader(self._folder, topics, group, listener, from_end, self._arrivals, self._lease_times)

    def _ensure_topics(self, specs: Sequence[TopicSpec]) -> list[str]:
        said = []
        for spec in specs:
            if create_topic(self._folder, spec):
                said.append(f"Created topic {spec.name}.")
            else:
                said += self._differences(spec)
        return said

    def _differences(self, asked: TopicSpec) -> list[str]:
        topic = open_topic(self._folder, asked.name, synchronous="NORMAL")
        topic.database.close()
        return [
            f"Topic {asked.name} has {name} {there}, not {wanted}; left as it is."
            for name in (field.name for field in fields(TopicSpec))
            if (there := getattr(topic.spec, name)) != (wanted := getattr(asked, name))
        ]
