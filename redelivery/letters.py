"""Dead letters: what their headers say, which of them are one and the same trouble, and how one is settled.

The topic of dead letters holds two kinds of records: the letters, with the original key and bytes, and settlements,
which say that an earlier letter was delivered again or given up. So the topic alone tells what is still to be done.
"""

import re
from enum import StrEnum
from hashlib import sha256
from typing import Final, NamedTuple, Self

import msgspec

from hookmill import headers
from hookmill.errors import ConfigError
from hookmill.records import NewRecord, Record

_FINGERPRINT_DIGITS: Final = 12
_VARYING: Final = re.compile(
    r"""
      "[^"]*" | '[^']*' | `[^`]*`                   # what is quoted
    | \b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b  # UUIDs
    | \b(?=[a-z0-9_-]*\d)[a-z0-9_-]{8,}\b           # ids
    | \d[\d.,:]*                                    # numbers, times
    """,
    re.VERBOSE | re.IGNORECASE,
)


class LetterId(NamedTuple):
    """Where the letter is on its topic; `<partition>-<offset>` for people."""

    partition: int
    offset: int

    def __str__(self) -> str:
        return f"{self.partition}-{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Errors: `ConfigError`."""
        partition, dash, offset = text.partition("-")
        parts = (partition, offset)
        # 18 digits fit the 64 bits that files have.
        if not dash or not all(part.isascii() and part.isdigit() and len(part) <= 18 for part in parts):
            raise ConfigError(f'"{text}" is no id of a dead letter: those look like 2-117, see `hookmill dlq list`.')
        return cls(int(partition), int(offset))


class Letter(msgspec.Struct, frozen=True):
    """One dead letter. Texts may be empty where a foreign writer left a header out; times are epoch milliseconds."""

    id: LetterId
    request_id: str
    source: str
    stage: str
    """Who gets it back: `function`, `events:<sink>`, `objects:<sink>`."""
    error_class: str
    error: str
    fingerprint: str
    function_version: str
    delivery_count: int
    first_failed_at_ms: int
    last_failed_at_ms: int
    body_bytes: int


class Settled(StrEnum):
    """What became of a letter."""

    REDRIVEN = "redriven"
    DROPPED = "dropped"


class Settlement(NamedTuple):
    """A letter is settled."""

    id: LetterId
    how: Settled


def read_letter(record: Record) -> Letter | Settlement:
    """What the record is. A settlement that nobody can read is taken for a letter: nothing vanishes by mistake."""
    settlement = _read_settlement(record)
    if settlement is not None:
        return settlement
    error_class = headers.text_header(record.headers, headers.ERROR_CLASS)
    error = headers.text_header(record.headers, headers.ERROR)
    last_failed_at_ms = headers.int_header(record.headers, headers.LAST_FAILED_AT, record.timestamp_ms)
    return Letter(
        id=LetterId(record.partition, record.offset),
        request_id=headers.text_header(record.headers, headers.REQUEST_ID),
        source=headers.text_header(record.headers, headers.SOURCE),
        stage=headers.text_header(record.headers, headers.STAGE),
        error_class=error_class,
        error=error,
        fingerprint=fingerprint(error_class, error),
        function_version=headers.text_header(record.headers, headers.FUNCTION_VERSION),
        delivery_count=headers.delivery_count(record.headers),
        first_failed_at_ms=headers.int_header(record.headers, headers.FIRST_FAILED_AT, last_failed_at_ms),
        last_failed_at_ms=last_failed_at_ms,
        body_bytes=len(record.value or b""),
    )


def fingerprint(error_class: str, error: str) -> str:
    """The same for errors that differ in ids, numbers and quoted values alone: 12 hex digits."""
    text = f"{error_class}\x00{_VARYING.sub('#', error)}"
    return sha256(text.encode("utf-8", "replace")).hexdigest()[:_FINGERPRINT_DIGITS]


def settlement_record(letter: Letter, how: Settled) -> NewRecord:
    """What says that the letter is settled; in the letter's own partition, so that it always comes later."""
    return NewRecord(
        value=b"",
        partition=letter.id.partition,
        headers=(
            (headers.FORMAT, headers.FORMAT_VERSION),
            (headers.SETTLES, str(letter.id).encode()),
            (headers.SETTLED, how.value.encode()),
            (headers.SOURCE, letter.source.encode()),
            (headers.REQUEST_ID, letter.request_id.encode()),
        ),
    )


def _read_settlement(record: Record) -> Settlement | None:
    settles = headers.text_header(record.headers, headers.SETTLES)
    if not settles or record.value:
        return None
    try:
        settled = Settled(headers.text_header(record.headers, headers.SETTLED))
        return Settlement(LetterId.parse(settles), settled)
    except (ConfigError, ValueError):
        return None
