"""Webhooks and what stages make of them, put on the log by hand; and what the books say of it."""

import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from hookmill.codec import InvocationReport, encode
from hookmill.records import NewRecord
from hookmill.topics import Topic
from processors.inputs import GROUP, WEBHOOK_TOPICS
from redelivery.books import Range, Readers, read_books
from redelivery.books_file import BooksFile, Line
from redelivery.mover import GROUP as MOVER_GROUP
from tests.redelivery.installation import Installation

STATES = ("received", "delivered", "dropped", "dead", "waiting", "in_flight", "missing", "repeated")


@dataclass(frozen=True)
class Account:
    """What the books say: counts of all lines together that are not 0, and names."""

    counts: dict[str, int]
    missing: dict[str, str]
    """Why, by request id."""
    doubled: list[str]
    lines: list[Line] = field(repr=False)


async def account(installation: Installation, source: str | None = None) -> Account:
    """Of everything that was received."""
    readers, everything = Readers(GROUP, WEBHOOK_TOPICS), Range(0, 1 << 62, source)
    with tempfile.TemporaryDirectory() as folder, BooksFile(Path(folder) / "books") as books:
        await read_books(installation.log, installation.names, readers, everything, books)
        lines = books.lines()
        counts = Counter({state: sum(getattr(line, state) for line in lines) for state in STATES})
        missing = {each.request_id: each.why for each in books.missing()}
        return Account(dict(+counts), missing, [each.request_id for each in books.doubled()], lines)


def record(request_id: str, value: bytes = b"{}", source: str = "shop", **said: str) -> NewRecord:
    """`_` in the names of headers stands for `-`."""
    headers = {"format": "1", "request-id": request_id, "source": source, "stage": "function", **said}
    return NewRecord(value, headers=tuple((name.replace("_", "-"), text.encode()) for name, text in headers.items()))


def report(request_id: str, what_next: str, events: int = 0, objects: int = 0, source: str = "shop") -> NewRecord:
    made = InvocationReport(request_id, source, "0123", "ok", 1.5, 1, 0, events, objects, what_next)
    return record(request_id, encode(made), source)


async def pass_everything(installation: Installation) -> None:
    """Function stage and mover have committed all there is."""
    names = installation.names
    delays = [topic for topic in Topic if topic.value.startswith("delay.")]
    for group, topics in ((GROUP, WEBHOOK_TOPICS), (MOVER_GROUP, delays)):
        full = [names.full(topic) for topic in topics]
        async with installation.log.reader(full, group=names.group(group)) as reader:
            while len(reader.assignment()) < len(full) * names.partitions:
                await reader.poll(0.05)
            await reader.commit(await reader.end_positions())
