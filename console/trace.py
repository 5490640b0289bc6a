"""`hookmill trace`: the life of one webhook, put together from the topics."""

import json
import time
import uuid
from collections.abc import AsyncIterator, Collection, Mapping
from contextlib import nullcontext
from typing import Annotated, Final, NamedTuple

import msgspec
from cyclopts import Parameter
from rich.console import Console

from console.command import Common, run_async
from console.reports import printable
from console.times import parse_time, show_time
from hookmill import headers
from hookmill.codec import decode_http, decode_report
from hookmill.config import Config
from hookmill.errors import ConfigError
from hookmill.lifecycle import ExitCode
from hookmill.log import Log, open_log
from hookmill.parked import Why
from hookmill.records import Record, TopicPartition
from hookmill.registry import RegistryView, Sink
from hookmill.retry import DELAY_TOPICS
from hookmill.topics import Topic
from processors.inputs import GROUP as FUNCTION_GROUP
from redelivery.letters import Letter, read_letter
from redelivery.scan import CLOCK_SKEW_MS, Scan

_UUID7: Final = 7
_TO_FUNCTIONS: Final = (Topic.WEBHOOKS, Topic.WEBHOOKS_SLOW, Topic.WEBHOOKS_REDELIVERY, Topic.WEBHOOKS_REPLAY)
_TO_SINKS: Final = (Topic.EVENTS, Topic.OBJECTS, Topic.EVENTS_REDELIVERY, Topic.OBJECTS_REDELIVERY)
_TOPICS: Final = (
    *_TO_FUNCTIONS,
    *DELAY_TOPICS,
    Topic.INVOCATIONS,
    *_TO_SINKS,
    Topic.DEAD_LETTERS,
    Topic.WEBHOOKS_PARKED,
)


class Step(NamedTuple):
    """One thing that happened to the webhook; `order` breaks ties of the clock in the direction of the data."""

    at_ms: int
    order: int
    topic: str
    place: str
    what: str


def trace(
    request_id: str,
    *,
    since: Annotated[str | None, Parameter(help="Look from here on; else from the time in the request id.")] = None,
    as_json: Annotated[bool, Parameter(name="--json", negative=(), help="A line of JSON per step.")] = False,
    common: Common = Common(),
) -> ExitCode:
    """Tell the life of one webhook: when it came, its deliveries, what it made, where that is, or where it waits.

    Parameters
    ----------
    request_id
        As the receiver answered it.
    """
    config = common.config()
    since_ms = _since_ms(request_id, since)
    screen = Console(stderr=True)

    async def work() -> ExitCode:
        with screen.status("Reading the log ...") if screen.is_terminal else nullcontext():
            steps = sorted([step async for step in _steps(config, open_log(config), request_id, since_ms)])
        if not steps:
            raise ConfigError(
                f"The log has nothing of request {request_id[:100]!r} since {show_time(since_ms)}: check the id, or "
                "look further back with --since; raw webhooks are kept for 14 days."
            )
        for step in steps:
            print(
                _json(step) if as_json else printable(f"{_clock(step.at_ms)}  {step.topic} {step.place}  {step.what}")
            )
        return ExitCode.OK

    return run_async(work())


def _since_ms(request_id: str, since: str | None) -> int:
    now_ms = time.time_ns() // 1_000_000
    if since is not None:
        return parse_time(since, now_ms)
    try:
        parsed = uuid.UUID(request_id)
    except ValueError:
        return 0
    return max(0, (parsed.int >> 80) - CLOCK_SKEW_MS) if parsed.version == _UUID7 else 0


async def _steps(config: Config, log: Log, request_id: str, since_ms: int) -> AsyncIterator[Step]:
    names = config.topics.names
    wanted = (headers.REQUEST_ID, request_id.encode("utf-8", "surrogateescape"))
    readers = await _Readers.ask(config, log)
    topics = {names.full(topic): topic for topic in _TOPICS}
    async with Scan(log, list(topics)) as scan:
        async for span in scan.spans(await scan.starts_at(since_ms), scan.ends):
            topic = topics[span.partition.topic]
            for record in span.records:
                if wanted in record.headers:
                    place = f"{record.partition}:{record.offset}"
                    what = _describe(topic, record, readers)
                    yield Step(record.timestamp_ms, _TOPICS.index(topic), topic.value, place, what)


class _Readers:
    """How far the function stage and each sink have read."""

    def __init__(
        self, functions: Mapping[TopicPartition, int], sinks: Mapping[str, Mapping[TopicPartition, int]]
    ) -> None:
        self._functions = functions
        self._sinks = sinks
        self.events: Collection[str] = ()
        self.objects: Collection[str] = ()

    @classmethod
    async def ask(cls, config: Config, log: Log) -> "_Readers":
        names = config.topics.names
        async with RegistryView(log, names.full(Topic.REGISTRY)) as view:
            definitions: Collection[Sink] = list(view.registry.sinks.values())
        to_functions = [names.full(topic) for topic in _TO_FUNCTIONS]
        to_sinks = [names.full(topic) for topic in _TO_SINKS]
        functions = await log.committed(names.group(FUNCTION_GROUP), to_functions)
        sinks = {each.name: await log.committed(names.group(f"sinks.{each.name}"), to_sinks) for each in definitions}
        readers = cls(functions, sinks)
        readers.events = [each.name for each in definitions if each.events]
        readers.objects = [each.name for each in definitions if each.objects]
        return readers

    def has_run(self, record: Record) -> bool:
        """The function stage is done with the record."""
        return record.offset < self._functions.get(TopicPartition(record.topic, record.partition), 0)

    def in_sinks(self, record: Record, sinks: Collection[str]) -> str:
        """Which of the sinks are done with the record, and which are not."""
        place = TopicPartition(record.topic, record.partition)
        done = [name for name in sinks if record.offset < self._sinks.get(name, {}).get(place, 0)]
        waiting = [name for name in sinks if name not in done]
        parts = [f"in {', '.join(done)}"] if done else []
        parts += [f"not yet in {', '.join(waiting)}"] if waiting else []
        return "; ".join(parts) or "no sink takes it"


def _describe(topic: Topic, record: Record, readers: _Readers) -> str:
    match topic:
        case Topic.WEBHOOKS:
            return f"received: {_call(record)}" + ("" if readers.has_run(record) else "; waits for the function stage")
        case Topic.WEBHOOKS_SLOW:
            return "on the slow lane" + ("" if readers.has_run(record) else "; waits for its turn")
        case Topic.WEBHOOKS_REDELIVERY | Topic.WEBHOOKS_REPLAY:
            why = _why(record)
            return f"back for delivery {headers.delivery_count(record.headers)}{why}" + (
                "" if readers.has_run(record) else "; waits for the function stage"
            )
        case Topic.INVOCATIONS:
            return _invocation(record)
        case Topic.EVENTS | Topic.OBJECTS:
            sinks = readers.events if topic is Topic.EVENTS else readers.objects
            return f"{_message(topic, record)}: {readers.in_sinks(record, sinks)}"
        case Topic.EVENTS_REDELIVERY | Topic.OBJECTS_REDELIVERY:
            sink = headers.text_header(record.headers, headers.STAGE).partition(":")[2]
            return f"back for sink {sink}{_why(record)}: {readers.in_sinks(record, [sink])}"
        case Topic.DEAD_LETTERS:
            return _letter(record)
        case Topic.WEBHOOKS_PARKED:
            return _parked(record)
        case _:
            return _wait(record)


def _parked(record: Record) -> str:
    match headers.text_header(record.headers, headers.PARKED):
        case Why.QUEUED:
            return "parked: waits for those of its ordering key before it, or for its source"
        case Why.FAILED:
            return f"parked: {_wait(record)}; those of its ordering key wait behind it"
        case Why.DEAD:
            return "parked as a dead letter: those of its ordering key wait until it is redriven or dropped"
        case Why.RETURNED:
            return f"parked: back for delivery {headers.delivery_count(record.headers)}{_why(record)}"
        case Why.DROPPED:
            return "its dead letter was dropped: those of its ordering key go on"
        case _:
            return "parked no more"


def _wait(record: Record) -> str:
    until = show_time(headers.int_header(record.headers, headers.NOT_BEFORE, record.timestamp_ms))
    return f"waits until {until} for delivery {headers.delivery_count(record.headers)}, after {_error(record)}"


def _call(record: Record) -> str:
    source = headers.text_header(record.headers, headers.SOURCE)
    size = f"{len(record.value or b''):,} bytes for source {source}"
    try:
        call = decode_http(headers.header(record.headers, headers.HTTP) or b"")
    except msgspec.DecodeError:
        return size
    return f"{call.method} {call.url}, {size}"


def _why(record: Record) -> str:
    redrive_of = headers.text_header(record.headers, headers.REDRIVE_OF)
    replay_id = headers.text_header(record.headers, headers.REPLAY_ID)
    return f", redrive of {redrive_of}" if redrive_of else f", replay {replay_id}" if replay_id else ""


def _invocation(record: Record) -> str:
    try:
        report = decode_report(record.value or b"")
    except msgspec.DecodeError as error:
        return f"invocation report that cannot be read: {error}"
    said = f"delivery {report.delivery_count}: {report.status} in {report.duration_ms:.1f} ms, {report.events} events"
    said += f", {report.objects} objects, version {report.function_version or 'none'} -> {report.next}"
    return said if report.error is None else f"{said} ({report.error.kind}: {report.error.message})"


def _message(topic: Topic, record: Record) -> str:
    """What it is, without what is in it."""
    own_id = headers.text_header(record.headers, headers.MESSAGE_ID)
    try:
        value = json.loads(record.value or b"")
        name = value["type"] if topic is Topic.EVENTS else f"{value['collection']} {value['id']}"
    except (ValueError, KeyError, TypeError):
        name = "unreadable"
    return f"{'event' if topic is Topic.EVENTS else 'object'} {name} ({own_id})"


def _letter(record: Record) -> str:
    found = read_letter(record)
    if isinstance(found, Letter):
        return f"dead letter {found.id} of {found.stage} after {found.delivery_count} deliveries: {_error(record)}"
    return f"dead letter {found.id} is {found.how}"


def _error(record: Record) -> str:
    name = headers.text_header(record.headers, headers.ERROR_CLASS)
    return f"{name}: {headers.text_header(record.headers, headers.ERROR)}"


def _clock(epoch_ms: int) -> str:
    return f"{show_time(epoch_ms)[:-1]}.{epoch_ms % 1_000:03d}Z"


def _json(step: Step) -> str:
    return json.dumps({"at": step.at_ms, "topic": step.topic, "place": step.place, "what": step.what})
