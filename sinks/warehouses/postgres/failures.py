"""What PostgreSQL's error codes mean for the worker; the only place that looks at them.

Source: PostgreSQL manual, appendix A, "PostgreSQL Error Codes". The first two characters are the class.
"""

from typing import Final

import psycopg

from sinks.contract import SinkUnavailable

_OUTDATED: Final = "its tables were changed by somebody else; they are looked at again"

_UNAVAILABLE: Final = {
    "08": "the connection failed",
    "0A": "it does not offer what is needed: PostgreSQL 13 or newer is",
    "25": "it takes no changes: name the primary server, not a standby, and a role that is not read-only",
    "28": "it refuses the user: check user, password and pg_hba.conf",
    "3D": "the database does not exist: create it, or name another",
    "40": "other transactions were in the way",
    "42": _OUTDATED,
    "42501": "a right is missing: GRANT CREATE, TEMPORARY ON DATABASE to the user, or make it the owner of the schema",
    "53": "it is out of disk, memory or connections",
    "55": "another session holds a lock on a table: end it",
    "57": "it is stopping, or a statement took too long",
    "58": "its file system failed",
    "XX": "it is damaged, says the server",
}
"""By code, or else by class."""

_REFUSED: Final = frozenset({"22", "23", "44", "54", "P0"})
"""Classes of errors that single rows cause: values, constraints and triggers of the user's, sizes of rows."""


def failure_of(error: psycopg.Error, place: str) -> SinkUnavailable | None:
    """The error for the worker, or `None` for one that is a bug of ours, or that rows cause (`is_refusal`)."""
    code = error.sqlstate
    if code is None:  # not from a server: no connection, or none any more
        if isinstance(error, psycopg.OperationalError):
            return SinkUnavailable(f"PostgreSQL warehouse {place}: {' '.join(str(error).split())}.")
        return None
    hint = _UNAVAILABLE.get(code) or _UNAVAILABLE.get(code[:2])
    if hint is None:
        return None
    return SinkUnavailable(f"PostgreSQL warehouse {place}: {hint} ({code}: {error.diag.message_primary}).")


def is_refusal(error: psycopg.Error) -> bool:
    """Some row of the batch is at fault, and every attempt with it would fail."""
    return error.sqlstate is not None and error.sqlstate[:2] in _REFUSED


def reason_of(error: psycopg.Error) -> str:
    """Why a row was refused. Without the server's text, which may quote values."""
    return f"PostgreSQL refuses it with {error.sqlstate} ({type(error).__name__})"
