"""Ten functions as people write them, in both languages: the same webhooks become the same records.

Each folder has `function.js`, `function.py` and `webhooks.json`: settings, six webhooks, and how each ends. Payloads
are our own, in the shapes that the services send.
"""

import json
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import pytest_asyncio

from hookmill import codec
from hookmill.codec import HttpRequest, InvocationReport
from hookmill.records import NewRecord, Record
from hookmill.registry import Function, Source
from hookmill.topics import Topic
from processors.processor import RecordProcessor
from processors.runtimes.pool import ProcessPool
from tests.processors.parts import NAMES, KeepingSender, on_slow_lane, registry_of, span_of, webhook_record

pytestmark = pytest.mark.asyncio(loop_scope="module")

FOLDER = Path(__file__).parent
PORTS = sorted(path.parent.name for path in FOLDER.glob("*/webhooks.json"))
FILES = {"javascript": "function.js", "python": "function.py"}


class Port(NamedTuple):
    settings: dict[str, Any]
    webhooks: list[dict[str, Any]]


class Sent(NamedTuple):
    """A record without what names the function's file; numbers by value, since 1 and 1.0 are one number in JSON."""

    topic: str
    key: bytes | None
    headers: list[tuple[str, bytes | None]]
    value: Any


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[ProcessPool]:
    # One runner: zuora counts in a variable of its module, which each process has for itself.
    async with ProcessPool(node=None, max_runners=1, idle_s=60) as pool:
        yield pool


def read_port(name: str) -> Port:
    return Port(**json.loads((FOLDER / name / "webhooks.json").read_text()))


def record_of(source: str, offset: int, webhook: dict[str, Any]) -> Record:
    body = webhook["text"] if "text" in webhook else json.dumps(webhook["body"], ensure_ascii=False)
    url = f"https://in.example/v1/webhooks{webhook.get('query', '')}"
    http = HttpRequest("POST", url, list(webhook.get("headers", {}).items()))
    return webhook_record(offset, source=source, value=body.encode(), http=codec.encode(http))


async def run_port(pool: ProcessPool, name: str, language: str) -> KeepingSender:
    port = read_port(name)
    file_name = FILES[language]
    function = Function(name, f"{language}-1", language, file_name, (FOLDER / name / file_name).read_text())
    source = Source(
        name, name, token_hashes=(), function_version=function.version, settings=port.settings, timeout_ms=10_000
    )
    sender = KeepingSender()
    processor = RecordProcessor(registry_of(function, source), pool, sender, NAMES, now_s=lambda: 1_800_000_000)
    records = [record_of(name, offset, each) for offset, each in enumerate(port.webhooks)]
    # On the slow lane all of them run, however long the first takes on a busy machine.
    await processor.process(span_of(*map(on_slow_lane, records)))
    return sender


def number(text: str) -> int | float:
    value = float(text)
    return int(value) if value.is_integer() else value


# Objects as pairs: the order of the keys counts.
parse = partial(json.loads, parse_float=number, object_pairs_hook=list)


def sent_by(sender: KeepingSender) -> list[Sent]:
    return [
        Sent(topic, record.key, shared_headers(record), parse(record.value or b""))
        for topic, records in sorted(sender.sent.items())
        if topic not in {NAMES.full(Topic.INVOCATIONS), NAMES.full(Topic.DEAD_LETTERS)}
        for record in records
    ]


def shared_headers(record: NewRecord) -> list[tuple[str, bytes | None]]:
    return [header for header in record.headers if header[0] not in {"function", "function-version"}]


def end_of(report: InvocationReport) -> dict[str, Any]:
    if report.error is not None:
        error = {"class": report.error.kind, "message": report.error.message}
        return {"status": report.status, "error": error}
    return {"status": report.status, "events": report.events, "objects": report.objects}


@pytest.mark.parametrize("name", PORTS)
async def test_both_languages_make_the_same_records_of_the_same_webhooks(pool: ProcessPool, name: str) -> None:
    javascript = await run_port(pool, name, "javascript")
    python = await run_port(pool, name, "python")

    assert sent_by(python) == sent_by(javascript)
    assert [end_of(report) for report in python.reports()] == [end_of(report) for report in javascript.reports()]
    lines = [[line.text for line in report.logs] for report in python.reports()]
    assert lines == [[line.text for line in report.logs] for report in javascript.reports()]


@pytest.mark.parametrize("name", PORTS)
async def test_each_webhook_ends_as_it_should(pool: ProcessPool, name: str) -> None:
    sender = await run_port(pool, name, "python")

    assert {report.request_id: end_of(report) for report in sender.reports()} == {
        f"{name}-{offset}": webhook["expect"] for offset, webhook in enumerate(read_port(name).webhooks)
    }


async def test_there_are_ten_functions_and_sixty_webhooks() -> None:
    assert len(PORTS) == 10
    assert sum(len(read_port(name).webhooks) for name in PORTS) == 60


async def test_reports_tell_the_time_on_the_processor(pool: ProcessPool) -> None:
    sender = await run_port(pool, "stripe", "python")

    assert all(report.cpu_ms for report in sender.reports())
