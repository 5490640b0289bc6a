"""What ClickHouse's error codes mean for the worker; the only place that looks at them.

Source: `SELECT * FROM system.errors`, src/Common/ErrorCodes.cpp of ClickHouse.
"""

from typing import Final

from clickhouse_connect.driver.exceptions import ClickHouseError, Error

from sinks.contract import SinkUnavailable

_OUTDATED: Final = frozenset({10, 16, 36, 44, 47, 53, 57, 60, 70, 80, 386})
"""Columns, tables and types that are not as they were known: somebody dropped, renamed or changed them."""

_UNAVAILABLE: Final = {
    81: "the database does not exist: create it, or name another",
    159: "a statement took too long",
    164: "it takes no changes: use a user whose profile is not readonly",
    192: "it refuses the user: check user and password_env",
    193: "it refuses the user: check user and password_env",
    194: "it refuses the user: check user and password_env",
    202: "it has too many queries at once",
    241: "it is out of memory",
    242: "a table takes no changes: look at its replicas and at the disk",
    243: "it is out of disk",
    252: "it has too many parts: inserts come faster than it merges them",
    469: "a constraint of yours refuses rows: take it off the table, views are the place for it",
    497: "a right is missing: `hookmill sink check` tells which",
    516: "it refuses the user: check user and password_env",
}
"""By code; every other one may pass, as those of networks, disks, replicas and quotas do."""

_BUGS: Final = frozenset({62})
"""Of our own making: a syntax that the server does not know, which no waiting mends."""


def failure_of(error: ClickHouseError, place: str) -> SinkUnavailable | None:
    """The error for the worker, or `None` for one that is a bug of ours."""
    code = error.code if isinstance(error, Error) else None
    if code in _BUGS:
        return None
    text = " ".join(str(error).split())[:500]
    if code is None:
        return SinkUnavailable(f"ClickHouse warehouse {place}: {text}")
    return SinkUnavailable(f"ClickHouse warehouse {place}: {_UNAVAILABLE.get(code, 'it fails')} ({text}).")


def is_outdated(error: ClickHouseError) -> bool:
    """The tables are to be looked at again; then the same may succeed."""
    return isinstance(error, Error) and error.code in _OUTDATED
