"""The registry: sources, functions, sinks as records of one compacted topic, and the view that stages keep of it."""

import asyncio
import contextlib
from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Annotated, Any, Final, Literal, Self

import msgspec

from hookmill.codec import JsonValue
from hookmill.errors import LogError, LogUnavailable
from hookmill.headers import FORMAT, FORMAT_VERSION
from hookmill.log.contract import Log, RecordReader
from hookmill.records import NewRecord, Record
from hookmill.retry import MAX_RETRIES
from hookmill.selector import PATTERN
from hookmill.telemetry import get_logger

log = get_logger(__name__)

_POLL_S: Final = 0.5
_SILENCE_S: Final = 5.0


class Source(msgspec.Struct, frozen=True, omit_defaults=True, tag="source"):
    """A source as deployed. `id` is its slug: lower-case letters, digits, dashes."""

    id: str
    name: str
    token_hashes: tuple[str, ...]
    """SHA-256 in hex of each token that is valid now; two during a rotation."""
    function_version: str
    """Version of the `Function` that runs from now on."""
    settings: dict[str, JsonValue] = {}
    secret_settings: tuple[str, ...] = ()
    """Names of settings whose values are replaced in what the function prints and in its errors."""
    max_body_bytes: int | None = None
    """Narrower than the receiver's limit, or `None`."""
    timeout_ms: int = 1_000
    """Wall-clock limit of one invocation (SEGMENT-SPEC F41)."""
    retries: Annotated[int, msgspec.Meta(ge=0, le=MAX_RETRIES)] = MAX_RETRIES
    """Deliveries after a first that failed, on the first rungs of the ladder: `hookmill.retry`."""
    network: tuple[str, ...] = ()
    """Hosts that the function may call: `hookmill.egress.allow`."""
    delivery_id: Annotated[str, msgspec.Meta(pattern=PATTERN)] | None = None
    """Where the provider tells its id of a delivery, by `hookmill.selector`: what it repeats has one request id."""
    order_by: Annotated[str, msgspec.Meta(pattern=PATTERN)] | None = None
    """Where the ordering key of a webhook is: those with equal keys run one after another, in the order of receipt."""
    on_failure: Literal["pass", "park"] = "pass"
    """Of ordered sources: whether webhooks pass one of their key that failed, or wait behind it, parked."""

    @property
    def parks(self) -> bool:
        """A webhook that failed holds up those of its key."""
        return self.order_by is not None and self.on_failure == "park"


class Function(msgspec.Struct, frozen=True, omit_defaults=True, tag="function"):
    """One immutable version of a source's function."""

    source: str
    version: str
    """First 16 hex digits of SHA-256 over file name, code and modules: the same code is the same version."""
    language: str
    """`javascript` or `python`."""
    file_name: str
    code: str
    modules: dict[str, str] = {}
    """Helper modules of Python: text by path, `helpers.py` or `shared/money.py`."""


class Only(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a sink wants of its events and objects; an empty list restricts nothing."""

    sources: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    """Of calls: `track`, `identify`, ..."""
    events: tuple[str, ...] = ()
    """Names of track calls, as the function writes them."""
    collections: tuple[str, ...] = ()


class Sink(msgspec.Struct, frozen=True, omit_defaults=True, tag="sink"):
    """A destination: its kind, what it gets, and the options that its kind knows."""

    name: str
    kind: str
    events: bool
    objects: bool
    options: dict[str, JsonValue] = {}
    only: Only = Only()


class Pause(msgspec.Struct, frozen=True, omit_defaults=True, tag="pause"):
    """The sink of this name reads nothing. Apart from its definition, which a project publishes without knowing."""

    sink: str
    since_ms: int


Entity = Source | Function | Sink | Pause

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Entity)


def token_hash(token: str) -> str:
    """What is kept of a token: SHA-256 in hex. Tokens are random, 128 bits and more, so one round is enough."""
    return sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


def function_version(file_name: str, code: str, modules: Mapping[str, str] | None = None) -> str:
    """The version that this code has; the order of the modules does not matter."""
    parts = [file_name, code]
    for name, text in sorted((modules or {}).items()):
        parts += (name, text)
    return sha256(b"\x00".join(part.encode() for part in parts)).hexdigest()[:16]


def entity_key(entity: Entity) -> bytes:
    """Key of the entity's record."""
    match entity:
        case Source():
            return f"source/{entity.id}".encode()
        case Function():
            return f"function/{entity.source}/{entity.version}".encode()
        case Sink():
            return f"sink/{entity.name}".encode()
        case Pause():
            return pause_key(entity.sink)


def pause_key(sink: str) -> bytes:
    """Key of the record by which the sink is paused."""
    return f"pause/{sink}".encode()


def entity_record(entity: Entity) -> NewRecord:
    """The record that makes the entity known."""
    return NewRecord(key=entity_key(entity), value=_encoder.encode(entity), headers=((FORMAT, FORMAT_VERSION),))


def removal_record(key: bytes) -> NewRecord:
    """The tombstone that makes the entity of this key unknown."""
    return NewRecord(key=key, value=None)


class Registry:
    """The newest state of every entity, by kind. Pure: fed with records, asked by stages."""

    def __init__(self) -> None:
        self.sources: dict[str, Source] = {}
        self.functions: dict[tuple[str, str], Function] = {}
        self.sinks: dict[str, Sink] = {}
        self.pauses: dict[str, Pause] = {}
        """By name of the sink."""
        self._by_token: dict[str, Source] = {}

    def source_of_token(self, token: str) -> Source | None:
        """The source that the token opens, found by hash."""
        return self._by_token.get(token_hash(token))

    def function_of(self, source: Source) -> Function | None:
        """The function deployed for the source."""
        return self.functions.get((source.id, source.function_version))

    def keys(self) -> frozenset[bytes]:
        """Record keys of every known entity."""
        kinds: list[Mapping[Any, Entity]] = [self.sources, self.functions, self.sinks, self.pauses]
        return frozenset(entity_key(entity) for known in kinds for entity in known.values())

    def apply(self, record: Record) -> None:
        """The record's entity is known as the record says; a record that nobody can read is logged and changes nothing.

        A newer process may publish kinds this version does not know, so they must not stop it.
        """
        key = record.key or b""
        if record.value is None:
            self._remove(key)
        else:
            try:
                entity = _decoder.decode(record.value)
            except msgspec.DecodeError as error:
                log.error("registry.record_ignored", key=key.decode("utf-8", "replace"), error=str(error))
                return
            self._put(entity)

    def _put(self, entity: Entity) -> None:
        match entity:
            case Source():
                self._forget_tokens(entity.id)
                self.sources[entity.id] = entity
                self._by_token.update(dict.fromkeys(entity.token_hashes, entity))
            case Function():
                self.functions[entity.source, entity.version] = entity
            case Sink():
                self.sinks[entity.name] = entity
            case Pause():
                self.pauses[entity.sink] = entity

    def _remove(self, key: bytes) -> None:
        kind, _, name = key.decode("utf-8", "replace").partition("/")
        match kind:
            case "source":
                self._forget_tokens(name)
                self.sources.pop(name, None)
            case "function":
                source, _, version = name.partition("/")
                self.functions.pop((source, version), None)
            case "sink":
                self.sinks.pop(name, None)
            case "pause":
                self.pauses.pop(name, None)

    def _forget_tokens(self, source: str) -> None:
        old = self.sources.get(source)
        if old is not None:
            for known in old.token_hashes:
                self._by_token.pop(known, None)


class RegistryView:
    """A `Registry` that follows the topic: complete when started, then live. A service."""

    name = "registry"

    def __init__(self, event_log: Log, topic: str, load_timeout_s: float = 30.0) -> None:
        self.registry = Registry()
        self._log = event_log
        self._topic = topic
        self._load_timeout_s = load_timeout_s
        self._stack = contextlib.AsyncExitStack()
        self._follower: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Everything published before the call is in `registry`. Errors: `TopicMissing`, `LogUnavailable`."""
        try:
            async with asyncio.timeout(self._load_timeout_s):
                reader = await self._stack.enter_async_context(self._log.reader([self._topic], group=None))
                await self._load(reader)
        except TimeoutError as error:
            await self._stack.aclose()
            raise LogUnavailable(f"{self._topic} could not be read within {self._load_timeout_s:g} s.") from error
        except BaseException:
            await self._stack.aclose()
            raise
        self._follower = asyncio.create_task(self._follow(reader), name="registry")

    async def wait(self) -> None:
        """Ends when following failed for good."""
        assert self._follower is not None
        await asyncio.shield(self._follower)

    async def stop(self) -> None:
        """No longer following; `registry` keeps its last state."""
        if self._follower is not None:
            self._follower.cancel()
            await asyncio.gather(self._follower, return_exceptions=True)
        await self._stack.aclose()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def _load(self, reader: RecordReader) -> None:
        ends = await reader.end_positions()
        missing = {partition for partition, end in ends.items() if end > 0}
        quiet_polls = 0
        # The end is not always seen: its last records may be compacted away, then only silence tells.
        while missing and quiet_polls * _POLL_S < _SILENCE_S:
            spans = await reader.poll(_POLL_S)
            for span in spans:
                for record in span.records:
                    self.registry.apply(record)
                if span.next_offset >= ends[span.partition]:
                    missing.discard(span.partition)
            quiet_polls = 0 if spans else quiet_polls + 1

    async def _follow(self, reader: RecordReader) -> None:
        while True:
            try:
                spans = await reader.poll(_POLL_S)
            except LogError as error:
                log.warning("registry.stale", error=str(error))
                await asyncio.sleep(_POLL_S)
                continue
            for span in spans:
                for record in span.records:
                    self.registry.apply(record)


async def publish(event_log: Log, topic: str, entities: Sequence[Entity], removed: Sequence[bytes] = ()) -> None:
    """The registry says what `entities` say and nothing of `removed` (record keys).

    Functions go before the sources that name them: the topic has one partition, so readers never see a source whose
    function is missing.
    """
    functions_first = sorted(entities, key=lambda entity: not isinstance(entity, Function))
    records = [entity_record(entity) for entity in functions_first]
    records += [removal_record(key) for key in removed]
    async with event_log.sender() as sender:
        await sender.send(topic, records)
