"""Frames between the pool and a runner: u32le length of what follows, u8 type, one line of JSON, sections of bytes."""

import asyncio
import struct
from collections.abc import Sequence
from enum import IntEnum
from typing import Final, Literal, NamedTuple

import msgspec

from hookmill.codec import FunctionError
from hookmill.egress.call import MAX_BODY_BYTES, Headers
from processors.runtimes.contract import Code, Invocation
from processors.runtimes.errors import RunnerLost
from processors.runtimes.limits import Limits

PROTOCOL: Final = 1
MAX_ANSWER_BYTES: Final = 65_536
"""What a runner sends is a header line; results go through the ledger. More than this is no runner of ours."""
MAX_FETCH_BYTES: Final = MAX_ANSWER_BYTES + MAX_BODY_BYTES
"""Of FETCH, the one that has a body."""

_PREFIX = struct.Struct("<IB")
_encode = msgspec.json.Encoder().encode


class FrameType(IntEnum):
    """HELLO, LOADED, LOADFAIL, RES and FETCH come from the runner; LOAD, RUN, STOP and FETCHED go to it."""

    HELLO = 1
    LOAD = 2
    LOADED = 3
    LOADFAIL = 4
    RUN = 5
    RES = 6
    STOP = 7
    FETCH = 8
    FETCHED = 9


class Frame(NamedTuple):
    """A frame of a runner."""

    type: FrameType
    header: bytes
    """And what follows it, in a frame that has more than a header."""


class Hello(msgspec.Struct, frozen=True):
    """Header of HELLO: who answers."""

    proto: int
    engine: str


class LoadFailure(msgspec.Struct, frozen=True):
    """Header of LOADFAIL."""

    error: FunctionError


class BatchDone(msgspec.Struct, frozen=True):
    """Header of RES. `recycle` is the status after which the runner is not to be used again, if there was one."""

    batch: int
    recycle: str | None = None


class Fetch(msgspec.Struct, frozen=True):
    """Header of FETCH: a call that the invocation `index` makes; its body is what follows. `id` is the runner's own."""

    id: int
    index: int
    method: str
    url: str
    headers: Headers
    redirect: Literal["follow", "manual"]


class Fetched(msgspec.Struct, frozen=True, omit_defaults=True):
    """Header of FETCHED: the answer to the call `id`, its body follows; or `error`, why there is none."""

    id: int
    status: int = 0
    url: str = ""
    headers: Headers = ()
    error: str = ""


class _Load(msgspec.Struct, frozen=True):
    file: str
    text: str
    settings: dict[str, object]
    limits: Limits
    modules: dict[str, str]
    site: str | None
    secrets: list[str]
    network: bool


class _Run(msgspec.Struct, frozen=True):
    batch: int
    lens: list[int]


def load_frame(code: Code, limits: Limits) -> bytes:
    """LOAD: the code, its settings and its limits, all in the header."""
    load = _Load(
        code.file_name, code.text, code.settings, limits, code.modules, code.site, code.secrets, bool(code.network)
    )
    return _frame(FrameType.LOAD, load, [])


def run_frame(batch: int, invocations: Sequence[Invocation]) -> bytes:
    """RUN: per invocation two sections, [method, url, headers] as JSON and the body, their lengths in the header.

    The runner parses a section only when user code asks for what is in it.
    """
    lengths: list[int] = []
    sections: list[bytes] = []
    for invocation in invocations:
        meta = _encode((invocation.method, invocation.url, invocation.headers))
        lengths += (len(meta), len(invocation.body))
        sections += (meta, invocation.body)
    return _frame(FrameType.RUN, _Run(batch, lengths), sections)


def fetched_frame(head: Fetched, body: bytes = b"") -> bytes:
    """FETCHED: what came of a FETCH."""
    return _frame(FrameType.FETCHED, head, [body])


def stop_frame() -> bytes:
    """STOP: the runner ends."""
    return _frame(FrameType.STOP, {}, [])


async def read_frame(reader: asyncio.StreamReader) -> Frame:
    """The next frame of the runner. Errors: `RunnerLost` when it ended, or sends what no runner does."""
    try:
        length, kind = _PREFIX.unpack(await reader.readexactly(_PREFIX.size))
        if not 1 <= length <= (MAX_FETCH_BYTES if kind == FrameType.FETCH else MAX_ANSWER_BYTES):
            raise RunnerLost("it sent a frame of a size that no runner sends")
        return Frame(FrameType(kind), await reader.readexactly(length - 1))
    except (asyncio.IncompleteReadError, ConnectionError) as error:
        raise RunnerLost("it ended") from error
    except ValueError as error:
        raise RunnerLost("it sent a frame of an unknown type") from error


def _frame(kind: FrameType, header: msgspec.Struct | dict[str, object], sections: list[bytes]) -> bytes:
    line = _encode(header)
    length = 1 + len(line) + 1 + sum(map(len, sections))
    return b"".join((_PREFIX.pack(length, kind), line, b"\n", *sections))
