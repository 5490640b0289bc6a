"""Where the warehouse is and how it is connected to, with deadlines for a server or network that says nothing."""

import contextlib
import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from hookmill.errors import ConfigError
from sinks.options import secret

STATEMENT_TIMEOUT_S: Final = 30
LOCK_TIMEOUT_S: Final = 5

_OLDEST: Final = 130_000
"""PostgreSQL 13, as libpq writes it: the oldest that the project still knew in 2025."""

_LIBPQ_DEFAULTS: Final = {
    "application_name": "hookmill",
    "connect_timeout": "10",
    # A network that swallows packets is noticed after 25 s; a server that keeps silent, by the deadline of the sink.
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "3",
    "tcp_user_timeout": "25000",
}

_SESSION: Final = {
    "statement_timeout": f"{STATEMENT_TIMEOUT_S}s",
    "lock_timeout": f"{LOCK_TIMEOUT_S}s",
    "idle_in_transaction_session_timeout": "60s",  # locks of a worker that froze are free again
    "client_min_messages": "warning",
    "default_transaction_isolation": "read committed",  # what is read after a lock was waited for is as it is then
    "TimeZone": "UTC",
    # Staged rows find theirs by the key. PostgreSQL knows nothing of a temporary table's content and would rather read
    # the whole table: 110 ms instead of 30 for 5,000 rows of 100,000, and more with each row.
    "enable_hashjoin": "off",
    "enable_mergejoin": "off",
}


@dataclass(frozen=True)
class Address:
    """A database, as libpq takes it. The password is in the environment and read anew for each connection."""

    parameters: Mapping[str, str] = field(repr=False)
    password_env: str | None = None
    schema: str | None = None
    """All tables go there; `None` for a schema per source."""

    def __str__(self) -> str:
        """Host and database, for people."""
        host = self.parameters.get("host") or "localhost"
        return f"{host}/{self.parameters.get('dbname') or self.parameters.get('user') or ''}"


def parameters_of(url: str) -> dict[str, str]:
    """What the URL says. Errors: `ConfigError`, which does not quote it."""
    try:
        parameters = {name: str(value) for name, value in conninfo_to_dict(url).items()}
    except psycopg.Error:  # its text may quote the password
        raise ConfigError("url cannot be read; it is like postgresql://user@host:5432/database.") from None
    if not {"password", "sslpassword"}.isdisjoint(parameters):
        raise ConfigError("url must not hold a password: name an environment variable with password_env.")
    return parameters


def connect(address: Address) -> psycopg.Connection:
    """A connection that commits each statement unless told otherwise.

    Errors: `psycopg.Error`; `ConfigError` for a server that cannot be a warehouse; `SinkUnavailable` for a password
    that is not set.
    """
    parameters = {**_LIBPQ_DEFAULTS, **address.parameters}
    if address.password_env is not None:
        parameters["password"] = secret(address.password_env)
    # Plans are made anew for each statement: one made for an empty table would be kept while it grows.
    connection = psycopg.connect(make_conninfo("", **parameters), autocommit=True, prepare_threshold=None)
    try:
        _check(connection, address)
        for name, value in _SESSION.items():
            connection.execute("SELECT set_config(%s, %s, false)", (name, value))
    except BaseException:
        connection.close()
        raise
    return connection


def cut(connection: psycopg.Connection) -> None:
    """Whatever another thread waits for on the connection fails now."""
    with contextlib.suppress(OSError, psycopg.Error), socket.socket(fileno=os.dup(connection.fileno())) as transport:
        transport.shutdown(socket.SHUT_RDWR)


def _check(connection: psycopg.Connection, address: Address) -> None:
    version = connection.info.server_version
    if version < _OLDEST:
        raise ConfigError(
            f"PostgreSQL warehouse {address}: its version is {version // 10_000}, 13 is the oldest known."
        )
    encoding = connection.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise ConfigError(f"PostgreSQL warehouse {address}: its encoding is {encoding}; create one with UTF8.")
