"""News within the process: who waits for a topic hears of a commit at once, without looking at the file."""

import asyncio
from collections import defaultdict
from collections.abc import Iterable


class Arrivals:
    """Events to set when a topic got records. Used on one event loop."""

    def __init__(self) -> None:
        self._waiting: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    def watch(self, topics: Iterable[str], event: asyncio.Event) -> None:
        """`event` is set at each commit to one of the topics, until `forget`."""
        for topic in topics:
            self._waiting[topic].add(event)

    def forget(self, topics: Iterable[str], event: asyncio.Event) -> None:
        """`event` is left alone."""
        for topic in topics:
            self._waiting[topic].discard(event)

    def announce(self, topic: str) -> None:
        """The topic has new records."""
        for event in self._waiting[topic]:
            event.set()
