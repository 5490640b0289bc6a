"""The books, and `hookmill audit` that prints them: on logs made by hand, on both engines."""

import asyncio
import json
from pathlib import Path

from hookmill.topics import Topic
from tests.processes import run_hookmill
from tests.redelivery.bookkeeping import account, pass_everything, record, report
from tests.redelivery.installation import Installation, install


def test_each_webhook_is_in_one_place_and_the_books_balance(installation: Installation) -> None:
    async def fill() -> None:
        webhooks = ("ok", "repeated", "repeated", "dropped", "dead", "given up", "retried", "redriven")
        await installation.send(Topic.WEBHOOKS, *map(record, webhooks))
        await installation.send(
            Topic.INVOCATIONS,
            *(report(name, "delivered", 1, 1) for name in ("ok", "repeated", "repeated", "retried", "redriven")),
            *(report(name, "dead") for name in ("dead", "given up", "redriven")),
            *(report(name, "retry") for name in ("retried", "waiting")),
            report("dropped", "dropped"),
        )
        made = [record(name, message_id=name) for name in ("ok", "repeated", "repeated", "retried", "redriven")]
        await installation.send(Topic.EVENTS, *made)
        await installation.send(Topic.OBJECTS, *made)
        await installation.send(Topic.DELAY_5S, record("retried"))
        await installation.send(Topic.WEBHOOKS_REDELIVERY, record("retried"), record("redriven"))
        await installation.send(Topic.DEAD_LETTERS, *map(record, ("dead", "given up", "redriven")))
        await pass_everything(installation)
        await installation.send(Topic.WEBHOOKS, record("waiting"))
        await pass_everything(installation)
        await installation.send(Topic.DELAY_5S, record("waiting"))
        await installation.send(Topic.WEBHOOKS, record("in flight"), record("other", source="crm"))
        letters = {dict(each.headers)["request-id"]: each for each in await installation.records(Topic.DEAD_LETTERS)}
        for name, how in ((b"given up", "dropped"), (b"redriven", "redriven")):
            place = f"{letters[name].partition}-{letters[name].offset}"
            await installation.send(Topic.DEAD_LETTERS, record(name.decode(), b"", settles=place, settled=how))

    asyncio.run(fill())

    all_sources, shop = asyncio.run(account(installation)), asyncio.run(account(installation, "shop"))

    where = {"delivered": 4, "dropped": 2, "dead": 1, "waiting": 1, "repeated": 1}
    assert shop.counts == {"received": 9, **where, "in_flight": 1}
    assert all_sources.counts == {"received": 10, **where, "in_flight": 2}
    assert [(line.source, line.hour_ms % 3_600_000) for line in shop.lines] == [("shop", 0)] * len(shop.lines)
    assert {line.source for line in all_sources.lines} == {"shop", "crm"}


def test_every_webhook_that_is_nowhere_is_named_with_what_was_last_known_of_it(installation: Installation) -> None:
    async def fill() -> None:
        names = ("ok", "no report", "no delay", "not moved", "no letter", "not redriven", "one event", "no object")
        await installation.send(Topic.WEBHOOKS, *map(record, names))
        await installation.send(
            Topic.INVOCATIONS,
            report("ok", "delivered"),
            *(report(name, "retry") for name in ("no delay", "not moved")),
            *(report(name, "dead") for name in ("no letter", "not redriven")),
            report("one event", "delivered", events=2),
            report("no object", "delivered", objects=1),
            report("no report", "delivered", source="crm"),
        )
        await installation.send(Topic.EVENTS, record("one event", message_id="m"))
        await installation.send(Topic.DELAY_5S, record("not moved"))
        await installation.send(Topic.DEAD_LETTERS, record("not redriven"))
        [letter] = await installation.records(Topic.DEAD_LETTERS)
        place = f"{letter.partition}-{letter.offset}"
        settlement = record("not redriven", b"", settles=place, settled="redriven")
        await installation.send(Topic.DEAD_LETTERS, settlement)
        await installation.send(Topic.WEBHOOKS_REDELIVERY, record("not redriven", redrive_of=place))
        await pass_everything(installation)

    asyncio.run(fill())

    books = asyncio.run(account(installation))
    code, table = run_hookmill("audit", env=installation.environment)
    json_code, lines = run_hookmill("audit", "--json", env=installation.environment)

    lost = "it was to be delivered again, and neither waits nor came"
    dead = "it was a dead letter, and is neither there nor delivered"
    assert books.counts == {"received": 8, "delivered": 1, "missing": 7}
    assert books.missing == {
        "no report": "the function stage has passed it, and no report tells how it ended",
        "no delay": lost,
        "not moved": lost,
        "no letter": dead,
        "not redriven": dead,
        "one event": "of 2 events and 0 objects, the log has 1 and 0",
        "no object": "of 0 events and 1 objects, the log has 0 and 0",
    }
    assert (code, json_code) == (1, 1)
    webhooks = {dict(each.headers)["request-id"]: each for each in asyncio.run(installation.records(Topic.WEBHOOKS))}
    place = f"{webhooks[b'no report'].topic} {webhooks[b'no report'].partition}:{webhooks[b'no report'].offset}"
    assert f"missing: no report  shop  {place}  the function stage has passed it" in table
    assert "The books do not balance: 7 webhooks are missing, 0 messages doubled." in table
    said = [json.loads(line) for line in lines.splitlines()]
    assert {each["request_id"]: each["why"] for each in said if each["kind"] == "missing"} == books.missing
    assert sum(each["received"] for each in said if each["kind"] == "line") == 8


def test_a_message_with_two_contents_is_named_and_one_that_is_only_repeated_is_not(installation: Installation) -> None:
    async def fill() -> None:
        await installation.send(
            Topic.WEBHOOKS, *map(record, ("fickle", "repeated", "copied", "redeployed", "replayed"))
        )
        names = ("fickle", "repeated", "copied", "redeployed", "replayed")
        await installation.send(Topic.INVOCATIONS, *(report(name, "delivered", 1) for name in names))
        one, two = b'{"n": 1}', b'{"n": 2}'
        await installation.send(
            Topic.EVENTS,
            record("fickle", one, message_id="m", origin="webhooks:0:0"),
            record("fickle", two, message_id="m", origin="webhooks:0:0"),
            record("repeated", one, message_id="m", origin="webhooks:0:1"),
            record("repeated", one, message_id="m", origin="webhooks:0:1"),
            record("copied", one, message_id="m", origin="webhooks:0:2"),
            record("copied", two, message_id="m", origin="webhooks:0:3"),
            record("redeployed", one, message_id="m", function_version="1"),
            record("redeployed", two, message_id="m", function_version="2"),
            record("replayed", one, message_id="m"),
            record("replayed", two, message_id="m", generation="1"),
        )
        await pass_everything(installation)

    asyncio.run(fill())

    books = asyncio.run(account(installation))
    code, table = run_hookmill("audit", env=installation.environment)

    assert (books.doubled, books.missing) == (["fickle"], {})
    assert books.counts == {"received": 5, "delivered": 5}
    assert code == 1
    assert "doubled: fickle  shop  " in table


def test_a_webhook_that_was_edited_is_where_its_last_edition_is(installation: Installation) -> None:
    async def fill() -> None:
        await installation.send(Topic.WEBHOOKS, record("first"), record("lost"))
        await installation.send(Topic.INVOCATIONS, *(report(name, "dead") for name in ("first", "second", "lost")))
        await installation.send(Topic.DEAD_LETTERS, *map(record, ("first", "second", "lost")))
        letters = {
            dict(each.headers)["request-id"].decode(): f"{each.partition}-{each.offset}"
            for each in await installation.records(Topic.DEAD_LETTERS)
        }
        for old, new in (("second", "third"), ("first", "second"), ("lost", "lost again")):
            settlement = record(old, b"", settles=letters[old], settled="redriven")
            await installation.send(Topic.DEAD_LETTERS, settlement)
            await installation.send(Topic.WEBHOOKS_REDELIVERY, record(new, redrive_of=letters[old]))
        await installation.send(Topic.INVOCATIONS, report("third", "delivered"))
        await pass_everything(installation)

    asyncio.run(fill())

    books = asyncio.run(account(installation))

    assert books.counts == {"received": 2, "delivered": 1, "missing": 1}
    assert books.missing.keys() == {"lost"}


def test_what_cannot_be_read_is_no_reason_to_stop(installation: Installation) -> None:
    """Headers of foreign producers: ids that are missing or absurd, reports that are none."""

    async def fill() -> None:
        absurd = "9" * 30
        await installation.send(Topic.WEBHOOKS, record(""), record("\x00", source="\x00"), record("bad report"))
        await installation.send(Topic.INVOCATIONS, record("bad report", b"not JSON"), record("bad report", b""))
        await installation.send(
            Topic.WEBHOOKS_REDELIVERY,
            *(record("x", redrive_of=place) for place in ("", "1", "a-b", f"{absurd}-1", f"1-{absurd}")),
        )
        await installation.send(Topic.DEAD_LETTERS, record("", b"", settles=f"{absurd}-1", settled="dropped"))
        await installation.send(Topic.DELAY_5S, record("no stage", stage="\x00"))
        await pass_everything(installation)

    asyncio.run(fill())

    books = asyncio.run(account(installation))

    assert books.counts == {"received": 3, "missing": 3}


def test_ranges_that_hold_nothing_or_cannot_be_accounted_for_are_told(tmp_path: Path) -> None:
    installation = asyncio.run(install(tmp_path / "data", None))
    asyncio.run(installation.send(Topic.WEBHOOKS, record("now")))

    def said(*arguments: str) -> tuple[int, str]:
        return run_hookmill("audit", *arguments, env=installation.environment)

    code, nothing = said("--source", "nobody")
    later, too_late = said("--since", "now", "--until", "1h")
    nonsense, why = said("--until", "tomorrow")
    old, gone = said("--since", "8d")

    assert (code, "No webhook was received" in nothing) == (0, True)
    assert (later, "The range is empty" in too_late) == (78, True)
    assert (nonsense, '"tomorrow" is no time' in why) == (78, True)
    assert (old, "for 7 days" in gone) == (78, True)
    assert "No webhook was received" in said("--until", "30m")[1]
    code, balanced = said("--since", "1h")
    assert (code, "The books balance." in balanced) == (0, True)
