"""The ledger: memory shared with one runner, in which every invocation that finished is a line, as soon as it did.

It outlives the runner. Whatever ended that, the first invocation without a line is the one at fault, and none that has
a line needs to run again (RUNTIMES section 7, "Crash recovery"). Its size tells whether the runner gets on.
"""

import fcntl
import os
from typing import Annotated, Final, NamedTuple, Self

import msgspec

from hookmill.codec import FunctionError, LogLine
from processors.runtimes.contract import Outcome, Status
from processors.runtimes.limits import KIB, MIB

MAX_BYTES: Final = 64 * MIB
"""Of one batch: four times what a runner of ours writes before it ends one; more is cut off by the kernel."""
MAX_LINE_BYTES: Final = 5 * MIB
"""The messages of an invocation, 4 MiB, with its log and its error as JSON."""
MAX_LINES_EACH: Final = 4
"""Lines per invocation: its result, the marks before and after it, and a result that a stopped thread just wrote."""
MAX_TEXT_CHARACTERS: Final = 64 * KIB
"""Of the log and the error of an invocation together: 32 KiB and 6 KiB from a runner of ours."""

_Messages = Annotated[list[msgspec.Raw], msgspec.Meta(max_length=1_000)]


class _Line(msgspec.Struct, gc=False):
    """A result, or a mark: `+` before the first invocation of a batch or its rest, `-` when none is running."""

    m: str = ""
    i: int = -1
    ms: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    cpu: float | None = None
    s: Status = Status.OK
    e: FunctionError | None = None
    ev: _Messages = []
    ob: _Messages = []
    l: list[LogLine] = []  # noqa: E741  # key of the wire format


_decoder = msgspec.json.Decoder(_Line)


class Entries(NamedTuple):
    """What the ledger says of a batch."""

    outcomes: dict[int, Outcome]
    is_running: bool
    """User code had the runner: what stopped it is the fault of the first invocation without a line."""
    is_whole: bool
    """All of it is of the format and within its limits. Else user code wrote there, or the runner was stopped."""


class Ledger:
    """Lines are appended by the runner, read here when the batch has ended.

    User code can write here as its runner can. It harms no one but itself: what is read is bounded in lines, bytes and
    texts, and says nothing of other sources.
    """

    def __init__(self) -> None:
        self._max_lines = 0
        self.descriptor = os.memfd_create("hookmill-ledger", os.MFD_CLOEXEC)
        # Not a program either, which a runner that may start Node.js could make of it.
        os.fchmod(self.descriptor, 0o600)
        # Append mode, so that neither a runner nor its replaced thread needs to know where the end is.
        fcntl.fcntl(self.descriptor, fcntl.F_SETFL, os.O_APPEND | os.O_RDWR)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gone, with what is in it."""
        os.close(self.descriptor)

    def clear(self, invocations: int) -> None:
        """Empty, for the next batch of so many."""
        self._max_lines = MAX_LINES_EACH * (invocations + 1)
        os.ftruncate(self.descriptor, 0)

    def size(self) -> int:
        """Bytes written; grows with every invocation that finishes."""
        return os.fstat(self.descriptor).st_size

    def written_at_s(self) -> float:
        """When it grew last, by the wall clock."""
        return os.fstat(self.descriptor).st_mtime

    def read(self) -> Entries:
        """The outcomes by index. A line that is not of the format, and all after it, counts as not written."""
        content = os.pread(self.descriptor, min(self.size(), MAX_BYTES), 0)
        plausible = content[: _plausible_bytes(content, self._max_lines)]
        lines = _decode(plausible)
        is_whole = len(plausible) == len(content) and len(lines) == content.count(b"\n")
        outcomes: dict[int, Outcome] = {}
        is_running = False
        for line in lines:
            if line.m:
                is_running = line.m == "+"
            elif _is_within_limits(line):
                # The first line of an index counts: a thread may be stopped just after it wrote one.
                outcomes.setdefault(line.i, Outcome(line.s, line.ms, line.ev, line.ob, line.e, line.l, line.cpu))
            else:
                is_whole = False
                break
        return Entries(outcomes, is_running, is_whole)


def _plausible_bytes(content: bytes, max_lines: int) -> int:
    """Length of the whole lines at the start that may be a runner's: what is decoded costs many times its size."""
    is_small = len(content) <= MAX_LINE_BYTES
    if is_small and content.count(b"\n") <= max_lines:
        return content.rfind(b"\n") + 1
    end = 0
    for _ in range(max_lines):
        following = content.find(b"\n", end, end + MAX_LINE_BYTES) + 1
        if not following:
            break
        end = following
    return end


def _is_within_limits(line: _Line) -> bool:
    if line.e is None and not line.l:
        return True
    characters = sum(len(said.level) + len(said.text) for said in line.l)
    if line.e is not None:
        characters += len(line.e.kind) + len(line.e.message) + len(line.e.stack) + len(line.e.source_line)
    return characters <= MAX_TEXT_CHARACTERS


_UNREADABLE = (msgspec.DecodeError, UnicodeDecodeError, RecursionError)
"""The last for values nested too deep, which JavaScript has no limit for."""


def _decode(content: bytes) -> list[_Line]:
    try:
        return _decoder.decode_lines(content)
    except _UNREADABLE:
        return _decode_prefix(content)


def _decode_prefix(content: bytes) -> list[_Line]:
    lines = []
    for text in content.splitlines():
        try:
            lines.append(_decoder.decode(text))
        except _UNREADABLE:
            break
    return lines
