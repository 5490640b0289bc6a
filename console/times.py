"""Times as people type them on the command line."""

import re
from datetime import UTC, datetime
from typing import Final

from hookmill.errors import ConfigError

_SECONDS: Final = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_AGO: Final = re.compile(r"([0-9]{1,6})([smhdw])")


def parse_time(text: str, now_ms: int) -> int:
    """Epoch milliseconds of `now`, of an age such as `90m`, `36h`, `7d`, or of an ISO 8601 date or time.

    A time without zone is UTC. Errors: `ConfigError`.
    """
    if text == "now":
        return now_ms
    ago = _AGO.fullmatch(text)
    if ago is not None:
        return now_ms - int(ago[1]) * _SECONDS[ago[2]] * 1_000
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f'"{text[:40]}" is no time: write now, an age such as 90m, 36h or 7d, or 2026-11-24T08:30:00Z.'
        ) from None
    return round((parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).timestamp() * 1_000)


def parse_range(since: str | None, until: str | None, now_ms: int) -> tuple[int | None, int | None]:
    """Both ends, `None` where nothing is given. Errors: `ConfigError`, also when the range is empty."""
    since_ms = None if since is None else parse_time(since, now_ms)
    until_ms = None if until is None else parse_time(until, now_ms)
    if since_ms is not None and until_ms is not None and since_ms >= until_ms:
        raise ConfigError(f"The range is empty: it begins at {since} and ends at {until}, which is not later.")
    return since_ms, until_ms


def show_time(epoch_ms: int) -> str:
    """To the second, UTC."""
    try:
        return datetime.fromtimestamp(epoch_ms / 1_000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    except (ValueError, OverflowError, OSError):
        return str(epoch_ms)  # a forged header
