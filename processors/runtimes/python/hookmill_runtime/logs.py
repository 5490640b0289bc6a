"""What user code prints and logs, as lines of the invocation it belongs to."""

import io
import logging
import sys
from time import monotonic

from .collector import current
from .load import Limits


class LogBook:
    """Log lines of one invocation as [level, text, milliseconds], capped in number and bytes."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._started = monotonic()
        self._room = limits.log_bytes
        self._is_full = False
        self.lines: list[tuple[str, str, int]] = []

    def add(self, level: str, text: str) -> None:
        """Added, or left out when the log is full; a last line says so."""
        if self._is_full:
            return
        at = round((monotonic() - self._started) * 1_000)
        if len(self.lines) >= self._limits.log_lines or self._room <= 0:
            self._is_full = True
            self.lines.append(("warn", "truncated: the log of this invocation is full", at))
            return
        content = text.encode(errors="replace")[: min(self._limits.log_line_bytes, self._room)]
        self._room -= len(content)
        self.lines.append((level, content.decode(errors="ignore"), at))


class _LineWriter(io.TextIOBase):
    """A standard stream whose lines go to the log; a line without its end waits for it."""

    def __init__(self, level: str) -> None:
        self._level = level

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        collector = current.get(None)
        if collector is not None:
            *lines, rest = (collector.unfinished.get(self._level, "") + text).split("\n")
            for line in lines:
                collector.logs.add(self._level, line)
            collector.unfinished[self._level] = rest
        return len(text)


class _LogHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        collector = current.get(None)
        if collector is not None:
            collector.logs.add(_level_of(record.levelno), self.format(record))


def _level_of(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    return "info" if number >= logging.INFO else "debug"


def capture_output() -> None:
    """`print`, both streams and `logging` write to the log of the current invocation; outside of one, nowhere."""
    sys.stdout = _LineWriter("info")
    sys.stderr = _LineWriter("error")
    root = logging.getLogger()
    root.handlers[:] = [_LogHandler()]
    root.setLevel(logging.DEBUG)
