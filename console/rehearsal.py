"""The rehearsal of a replay: its webhooks through the functions, and what comes beside what was delivered. Nothing is
sent."""

import contextlib
import json
import sqlite3
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Final, NamedTuple

from hookmill import headers
from hookmill.codec import InvocationReport, JsonValue, decode_report
from hookmill.config import ProcessorsConfig
from hookmill.egress.guard import Egress
from hookmill.log import Log
from hookmill.records import NewRecord, Record
from hookmill.registry import Function, Source
from hookmill.retry import RetryPolicy
from hookmill.topics import Topic, TopicNames
from processors.code import code_of
from processors.failure import Failure
from processors.results import Results
from processors.runtimes.confinement import Level
from processors.runtimes.contract import Code, Invocation, RunnerPool, Status
from processors.runtimes.errors import RunnerUnavailable
from processors.runtimes.pool import ProcessPool
from processors.webhook import Webhook, read_invocation, read_webhook
from redelivery.replay import taken_webhooks
from redelivery.replay_plan import ReplayPlan
from redelivery.scan import CLOCK_SKEW_MS, Scan

_MAX_RUNNERS: Final = 4
_RUNNER_IDLE_S: Final = 5.0
_TOPICS: Final = {Topic.EVENTS: "event", Topic.OBJECTS: "object"}
_MADE_BY_US: Final = frozenset({"messageId", "receivedAt", "version"})
_SCHEMA: Final = """
CREATE TABLE delivered (
    request_id TEXT, kind TEXT, message_id TEXT, generation INTEGER, value BLOB,
    PRIMARY KEY (request_id, kind, message_id)
) WITHOUT ROWID
"""
_PUT: Final = """
INSERT INTO delivered VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE
SET generation = excluded.generation, value = excluded.value WHERE excluded.generation >= generation
"""

_Key = tuple[str, str]
"""`event` or `object`, and the message id."""
_Fields = dict[str, JsonValue]


class Verb(StrEnum):
    """What a message would do."""

    APPEARS = "+"
    CHANGES = "~"
    VANISHES = "-"


class Difference(NamedTuple):
    """One message that is not as it was; `leaves` are paths with the old and the new JSON text, or `None`."""

    verb: Verb
    name: str
    leaves: Sequence[tuple[str, str | None, str | None]] = ()


class Rehearsed(NamedTuple):
    """What came of one webhook. A webhook that failed differs in nothing: what was delivered stays."""

    request_id: str
    received_at: str
    report: InvocationReport
    differences: Sequence[Difference]
    same: int


async def rehearse(
    log: Log, names: TopicNames, config: ProcessorsConfig, plan: ReplayPlan, source: Source, function: Function
) -> AsyncIterator[Rehearsed]:
    """Every webhook of the plan has run. Errors: `RunnerUnavailable`, `NodeMissing`, of the log."""
    egress = Egress(allow_private=config.allow_private_network)
    async with (
        _open_delivered(log, names, plan) as delivered,
        ProcessPool(config.node, _MAX_RUNNERS, _RUNNER_IDLE_S, Level(config.isolation), egress) as pool,
    ):
        code = code_of(source, function)
        async for records in taken_webhooks(log, plan):
            webhooks = [read_webhook(_as_replayed(plan, record)) for record in records]
            for results, webhook in await _run(pool, code, source, function, webhooks):
                yield _compare(webhook, results, delivered.of(webhook.request_id))


class _Delivered:
    """What was delivered of the source, by request id, in a scratch file that SQLite deletes by itself."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("", isolation_level=None)
        self._database.execute(_SCHEMA)

    def close(self) -> None:
        self._database.close()

    def put(self, kind: str, records: Sequence[Record]) -> None:
        """Of repetitions the highest generation counts, and of one generation the last."""
        self._database.execute("BEGIN")
        self._database.executemany(_PUT, (_row(kind, record) for record in records))
        self._database.execute("COMMIT")

    def of(self, request_id: str) -> dict[_Key, _Fields]:
        rows = self._database.execute(
            "SELECT kind, message_id, value FROM delivered WHERE request_id = ?", [request_id]
        )
        return {(kind, message_id): _fields(value) for kind, message_id, value in rows}


def _row(kind: str, record: Record) -> tuple[str, str, str, int, bytes]:
    return (
        headers.text_header(record.headers, headers.REQUEST_ID),
        kind,
        headers.text_header(record.headers, headers.MESSAGE_ID),
        headers.generation(record.headers),
        record.value or b"",
    )


@contextlib.asynccontextmanager
async def _open_delivered(log: Log, names: TopicNames, plan: ReplayPlan) -> AsyncIterator[_Delivered]:
    """Filled with what the topics have now. Messages are never older than their webhooks."""
    with contextlib.closing(_Delivered()) as delivered:
        topics = {names.full(topic): kind for topic, kind in _TOPICS.items()}
        own = (headers.SOURCE, plan.source.encode())
        async with Scan(log, list(topics)) as scan:
            async for span in scan.spans(await scan.starts_at(plan.from_ms - CLOCK_SKEW_MS), scan.ends):
                delivered.put(
                    topics[span.partition.topic], [record for record in span.records if own in record.headers]
                )
        yield delivered


def _as_replayed(plan: ReplayPlan, record: Record) -> Record:
    """The webhook as the function stage would read it, but for all sinks: so outputs are where they usually are."""
    asked = headers.with_headers(plan.replayed(record).headers, {headers.REPLAY_TO: b""})
    return Record(record.topic, record.partition, record.offset, record.timestamp_ms, record.key, record.value, asked)


async def _run(
    pool: RunnerPool, code: Code, source: Source, function: Function, webhooks: Sequence[Webhook]
) -> Sequence[tuple[Results, Webhook]]:
    settled = {webhook.record.offset: _results(source, webhook) for webhook in webhooks}
    runnable: list[tuple[Webhook, Invocation]] = []
    for webhook in webhooks:
        invocation = read_invocation(webhook)
        if isinstance(invocation, Failure):
            settled[webhook.record.offset].fail(webhook, None, invocation)
        else:
            runnable.append((webhook, invocation))
    outcomes = await pool.run(code, [invocation for _, invocation in runnable])
    for (webhook, _), outcome in zip(runnable, outcomes, strict=True):
        if outcome.status is Status.INFRA:
            raise RunnerUnavailable(outcome.error.message if outcome.error else "No runner could be had.")
        settled[webhook.record.offset].settle(webhook, function, outcome)
    return [(settled[webhook.record.offset], webhook) for webhook in webhooks]


def _results(source: Source, webhook: Webhook) -> Results:
    return Results(source.id, RetryPolicy(0), lambda: webhook.received_at_us // 1_000)


def _compare(webhook: Webhook, results: Results, old: Mapping[_Key, _Fields]) -> Rehearsed:
    (report,) = results.records[Topic.INVOCATIONS]
    told = decode_report(report.value or b"")
    new = {key: fields for topic, kind in _TOPICS.items() for key, fields in _made(kind, results.records[topic])}
    has_failed = told.next not in ("delivered", "dropped")
    differences = [] if has_failed else list(_differences(old, new))
    changed = sum(difference.verb is not Verb.VANISHES for difference in differences)
    return Rehearsed(webhook.request_id, webhook.received_at, told, differences, len(new) - changed)


def _made(kind: str, records: Sequence[NewRecord]) -> Iterator[tuple[_Key, _Fields]]:
    for record in records:
        yield (kind, headers.text_header(record.headers, headers.MESSAGE_ID)), _fields(record.value or b"")


def _differences(old: Mapping[_Key, _Fields], new: Mapping[_Key, _Fields]) -> Iterator[Difference]:
    for key, fields in new.items():
        if key not in old:
            yield Difference(Verb.APPEARS, _name(key, fields))
        elif leaves := _changed_leaves(old[key], fields):
            yield Difference(Verb.CHANGES, _name(key, fields), leaves)
    for key, fields in old.items():
        if key not in new:
            yield Difference(Verb.VANISHES, _name(key, fields))


def _changed_leaves(old: _Fields, new: _Fields) -> list[tuple[str, str | None, str | None]]:
    before, after = dict(_leaves(old)), dict(_leaves(new))
    return [
        (path, before.get(path), after.get(path))
        for path in sorted(before.keys() | after.keys())
        if before.get(path) != after.get(path)
    ]


def _leaves(value: JsonValue, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _leaves(part, f"{path}.{name}" if path else name)
    else:
        yield path, json.dumps(value, ensure_ascii=False)


def _fields(value: bytes) -> _Fields:
    """What the function said in the message; a value that is no object has none."""
    try:
        fields = json.loads(value)  # the standard library's: it keeps integers of any size
    except ValueError:
        return {}
    if not isinstance(fields, dict):
        return {}
    return {name: part for name, part in fields.items() if name not in _MADE_BY_US}


def _name(key: _Key, fields: _Fields) -> str:
    kind, message_id = key
    names = ("type", "event") if kind == "event" else ("collection", "id")
    said = " ".join(str(fields[name]) for name in names if name in fields)
    return f"{kind} {said} ({message_id})"
