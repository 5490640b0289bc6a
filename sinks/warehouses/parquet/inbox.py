"""Batches as files of the inbox, named by the time at which they came, so that they are merged in that order."""

import secrets
import time
from collections.abc import Sequence
from typing import Final

import msgspec

from hookmill.codec import JsonValue, ObjectWrite
from sinks.contract import Event, Message, SourcedObject

FOLDER: Final = "_inbox/"


class _EventLine(msgspec.Struct, array_like=True, tag="event"):
    source: str
    message_id: str
    generation: int
    message: dict[str, JsonValue]


class _ObjectLine(msgspec.Struct, array_like=True, tag="object"):
    source: str
    write: ObjectWrite


_encode: Final = msgspec.json.Encoder().encode
_decoder: Final = msgspec.json.Decoder(list[_EventLine | _ObjectLine])


def pack(batch: Sequence[Message]) -> bytes:
    """The batch as content of a file."""
    return _encode([_line(message) for message in batch])


def new_key() -> str:
    """A name that sorts behind those made before, on this machine."""
    return f"{FOLDER}{time.time_ns():020}-{secrets.token_hex(4)}.json"


def unpack(content: bytes) -> list[Message]:
    """The batch, without the bytes that it had on the topic."""
    return [_message(line) for line in _decoder.decode(content)]


def _line(message: Message) -> _EventLine | _ObjectLine:
    match message:
        case Event():
            return _EventLine(message.source, message.message_id, message.generation, message.message)
        case SourcedObject():
            return _ObjectLine(message.source, message.write)


def _message(line: _EventLine | _ObjectLine) -> Message:
    match line:
        case _EventLine():
            return Event(line.source, line.message_id, line.message, b"", line.generation)
        case _ObjectLine():
            return SourcedObject(line.source, line.write, b"")
