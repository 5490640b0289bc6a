"""`hookmill trace`, as a command, on both engines of the log."""

import asyncio
import json
import time

from hookmill.codec import FunctionError, HttpRequest, InvocationReport, ObjectWrite, encode
from hookmill.ids import new_request_id
from hookmill.log.contract import RecordReader
from hookmill.records import NewRecord
from hookmill.registry import Sink, publish
from hookmill.topics import Topic
from tests.processes import run_hookmill
from tests.redelivery.installation import Installation


def record(request_id: str, value: bytes = b"{}", **said: str) -> NewRecord:
    headers = {"format": "1", "request-id": request_id, "source": "shop", **said}
    return NewRecord(value, headers=tuple((name.replace("_", "-"), text.encode()) for name, text in headers.items()))


def report(
    request_id: str, status: str, what_next: str, delivery: int, error: FunctionError | None = None
) -> NewRecord:
    made = InvocationReport(request_id, "shop", "0123", status, 1.5, delivery, 0, 1, 1, what_next, error)
    return record(request_id, encode(made))


def trace(installation: Installation, request_id: str, *arguments: str) -> tuple[int, str]:
    return run_hookmill("trace", request_id, *arguments, env=installation.environment)


def steps(installation: Installation, request_id: str) -> list[tuple[str, str]]:
    code, output = trace(installation, request_id, "--json")
    assert code == 0, output
    return [(step["topic"], step["what"]) for step in map(json.loads, output.splitlines())]


async def read_to_the_end(reader: RecordReader) -> None:
    """The group has committed everything there is."""
    async with reader:
        async with asyncio.timeout(60):
            while not (ends := await reader.end_positions()):
                await reader.poll(0.1)
            await reader.commit(ends)


async def fill(installation: Installation, request_id: str) -> None:
    http = encode(HttpRequest("POST", "https://hooks.example/", []))
    error = FunctionError("TypeError", "no total", 3)
    await installation.send(Topic.WEBHOOKS, record(request_id, b"{...}", http=http.decode()), record("another"))
    await installation.send(Topic.INVOCATIONS, report(request_id, "error", "retry", 1, error))
    await installation.send(
        Topic.DELAY_5S,
        record(
            request_id, not_before=str(1_795_521_600_000), delivery_count="2", error_class="TypeError", error="no total"
        ),
    )
    await installation.send(Topic.WEBHOOKS_REDELIVERY, record(request_id, delivery_count="2"))
    await installation.send(Topic.INVOCATIONS, report(request_id, "ok", "delivered", 2))
    write = encode(ObjectWrite("orders", "17", (0, 0, 0, 0, 0), "m-2", "2026-11-24T12:00:00.000Z"))
    await installation.send(Topic.EVENTS, record(request_id, b'{"type": "track"}', message_id="m-1"))
    await installation.send(Topic.OBJECTS, record(request_id, write, message_id="m-2"))


def test_the_life_of_a_webhook_is_told_in_its_order(installation: Installation) -> None:
    request_id = new_request_id()

    async def prepare() -> None:
        names, log = installation.names, installation.log
        sinks = [
            Sink("stream", "jsonl", events=True, objects=False),
            Sink("warehouse", "sqlite", events=True, objects=True),
        ]
        await publish(log, names.full(Topic.REGISTRY), sinks)
        await fill(installation, request_id)
        webhooks = [names.full(Topic.WEBHOOKS), names.full(Topic.WEBHOOKS_REDELIVERY)]
        await read_to_the_end(log.reader(webhooks, group=names.group("processors")))
        await read_to_the_end(log.reader([names.full(Topic.EVENTS)], group=names.group("sinks.stream")))

    asyncio.run(prepare())

    assert steps(installation, request_id) == [
        ("webhooks", "received: POST https://hooks.example/, 5 bytes for source shop"),
        (
            "invocations",
            "delivery 1: error in 1.5 ms, 1 events, 1 objects, version 0123 -> retry (TypeError: no total)",
        ),
        ("delay.5s", "waits until 2026-11-24T12:00:00Z for delivery 2, after TypeError: no total"),
        ("webhooks.redelivery", "back for delivery 2"),
        ("invocations", "delivery 2: ok in 1.5 ms, 1 events, 1 objects, version 0123 -> delivered"),
        ("events", "event track (m-1): in stream; not yet in warehouse"),
        ("objects", "object orders 17 (m-2): not yet in warehouse"),
    ]


def test_a_webhook_nobody_has_run_yet_waits_for_the_function_stage(installation: Installation) -> None:
    request_id = new_request_id()
    asyncio.run(installation.send(Topic.WEBHOOKS, record(request_id)))

    assert steps(installation, request_id) == [
        ("webhooks", "received: 2 bytes for source shop; waits for the function stage")
    ]


def test_a_dead_letter_is_the_end_until_it_is_redriven(installation: Installation) -> None:
    request_id = new_request_id()
    letter = record(
        request_id, stage="function", delivery_count="6", error_class="TypeError", error="no total", source="shop"
    )
    asyncio.run(installation.send(Topic.DEAD_LETTERS, letter))
    (before,) = steps(installation, request_id)
    code, output = run_hookmill("dlq", "redrive", "--all", "--yes", env=installation.environment)
    assert code == 0, output

    after = steps(installation, request_id)

    letter_id = before[1].split()[2]
    assert before[1] == f"dead letter {letter_id} of function after 6 deliveries: TypeError: no total"
    assert [what for _, what in after] == [
        before[1],
        f"back for delivery 1, redrive of {letter_id}; waits for the function stage",
        f"dead letter {letter_id} is redriven",
    ]


def test_an_id_that_the_log_does_not_have_and_a_time_that_is_none_are_told(installation: Installation) -> None:
    unknown, said = trace(installation, "no-such-request")
    nonsense, why = trace(installation, "no-such-request", "--since", "yesterday")
    later, nothing = trace(installation, new_request_id(), "--since", time.strftime("%Y-%m-%d"))

    assert (unknown, nonsense, later) == (78, 78, 78)
    assert "'no-such-request'" in said
    assert '"yesterday" is no time' in why
    assert "look further back" in nothing
