"""Parked webhooks in the books and in traces, and what a dropped dead letter tells them."""

import asyncio
import json

from hookmill import headers
from hookmill.parked import Spot, Why, entry_key, parked_record, read_entry, unparked_record
from hookmill.records import NewRecord, Record
from hookmill.topics import Topic
from redelivery.letters import Letter, read_letter
from redelivery.redrive import drop
from tests.processes import run_hookmill
from tests.redelivery.bookkeeping import account, pass_everything, record, report
from tests.redelivery.installation import Installation


def parked(request_id: str, number: int, why: Why = Why.QUEUED, told_by: str = "", **said: str) -> NewRecord:
    """The entry of webhook `number` of partition 0."""
    return parked_record(Spot(0, number), why, b"{}", b"shop\0a", record(request_id, **said).headers, 0, told_by)


def unparked(request_id: str, number: int, told_by: str = "") -> NewRecord:
    return unparked_record(entry_key(Spot(0, number), told_by), 0, request_id, "shop")


def test_what_is_parked_waits_and_what_is_parked_no_more_does_not(installation: Installation) -> None:
    async def fill() -> None:
        await installation.send(Topic.WEBHOOKS, *map(record, ("failed", "behind", "gone on", "back", "dead", "lost")))
        await installation.send(Topic.INVOCATIONS, report("failed", "retry"), report("gone on", "delivered"))
        await installation.send(Topic.INVOCATIONS, report("dead", "dead"), report("lost", "retry"))
        await installation.send(Topic.DEAD_LETTERS, record("dead"))
        await pass_everything(installation)
        await installation.send(
            Topic.WEBHOOKS_PARKED,
            parked("failed", 1),
            parked("failed", 1, Why.FAILED),
            parked("behind", 2),
            parked("gone on", 3),
            unparked("gone on", 3),
            parked("back", 4, Why.RETURNED, "2-7"),
            parked("dead", 5, Why.DEAD),
            parked("lost", 6),
            parked("lost", 6, Why.DROPPED, "dropped-0-1"),
            unparked("lost", 6),
        )

    asyncio.run(fill())
    books = asyncio.run(account(installation))

    assert books.counts == {"received": 6, "delivered": 1, "dead": 1, "waiting": 3, "missing": 1}
    assert list(books.missing) == ["lost"]


def test_a_trace_tells_why_a_webhook_is_parked(installation: Installation) -> None:
    async def fill() -> None:
        failure = {
            "error_class": "TypeError",
            "error": "no total",
            "delivery_count": "2",
            "not_before": "1795521600000",
        }
        await installation.send(
            Topic.WEBHOOKS_PARKED,
            parked("r-1", 1),
            parked("r-1", 1, Why.FAILED, **failure),
            parked("r-1", 1, Why.DEAD),
            parked("r-1", 1, Why.RETURNED, "2-7", redrive_of="0-1", delivery_count="1"),
            unparked("r-1", 1),
        )

    asyncio.run(fill())
    code, output = run_hookmill("trace", "r-1", "--since", "1h", "--json", env=installation.environment)

    waits = "parked: waits until 2026-11-24T12:00:00Z for delivery 2, after TypeError: no total"
    told = [step["what"] for step in map(json.loads, output.splitlines())]
    assert code == 0, output
    assert sorted(told) == sorted(
        [
            "parked: waits for those of its ordering key before it, or for its source",
            f"{waits}; those of its ordering key wait behind it",
            "parked as a dead letter: those of its ordering key wait until it is redriven or dropped",
            "parked: back for delivery 1, redrive of 0-1",
            "parked no more",
        ]
    )


def test_only_dead_letters_that_hold_others_up_tell_them_that_they_are_dropped(installation: Installation) -> None:
    names = installation.names

    async def drop_all() -> list[Record]:
        origin = f"{names.full(Topic.WEBHOOKS)}:3:42"
        holding = record("r-1", origin=origin, holds_on="1")
        forged = record("r-2", origin="elsewhere:3:42", holds_on="1")
        far = record("r-3", origin=origin, holds_on="999")
        plain = record("r-4", origin=origin)
        letters = (holding, forged, far, plain)
        keyed = [NewRecord(each.value, b"shop\0a", each.headers, 0) for each in letters]
        await installation.send(Topic.DEAD_LETTERS, *keyed)
        found = [read_letter(each) for each in await installation.records(Topic.DEAD_LETTERS)]
        await drop(installation.log, names, [each for each in found if isinstance(each, Letter)], lambda count: None)
        return await installation.records(Topic.WEBHOOKS_PARKED)

    [news] = asyncio.run(drop_all())

    entry = read_entry(news)
    assert entry is not None
    assert (entry.why, entry.spot, entry.queue, news.partition) == (Why.DROPPED, Spot(3, 42), b"shop\0a", 1)
    assert dict(news.headers)[headers.REQUEST_ID] == b"r-1"
