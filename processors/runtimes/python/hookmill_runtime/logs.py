"""What user code prints and logs, as lines of the invocation it belongs to."""

import io
import logging
import sys
import warnings
from time import monotonic

from .collector import current
from .load import Limits
from .plain import whole
from .redact import Redact


class LogBook:
    """Log lines of one invocation as [level, text, milliseconds], without secrets, capped in number and bytes."""

    def __init__(self, limits: Limits, redact: Redact) -> None:
        self._limits = limits
        self._redact = redact
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
        # Cut only then: half a secret would not be recognised.
        content = whole(self._redact(text)).encode()[: min(self._limits.log_line_bytes, self._room)]
        self._room -= len(content)
        self.lines.append((level, content.decode(errors="ignore"), at))


class _LineWriter(io.TextIOBase):
    """A standard stream whose lines go to the log; a line without its end waits for it."""

    encoding = "utf-8"

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
        if collector is None:
            return
        try:
            collector.logs.add(_level_of(record.levelno), self.format(record))
        except Exception:
            self.handleError(record)  # arguments that do not fit the message: told on stderr, as logging does


def _level_of(number: int) -> str:
    if number >= logging.ERROR:
        return "error"
    if number >= logging.WARNING:
        return "warn"
    return "info" if number >= logging.INFO else "debug"


def capture_output() -> None:
    """`print`, both streams, `logging` and `warnings` write to the log of the current invocation; outside of one,
    nowhere."""
    sys.stdout = _LineWriter("info")
    sys.stderr = _LineWriter("error")
    root = logging.getLogger()
    root.handlers[:] = [_LogHandler()]
    root.setLevel(logging.DEBUG)
    logging.captureWarnings(True)
    # Else only the first invocation of a process would have it.
    warnings.simplefilter("always", UserWarning)
