"""The options of the PostgreSQL warehouse. The driver is an extra: nothing here needs it before a sink is checked."""

import importlib.util
from typing import TYPE_CHECKING

from hookmill.errors import ConfigError
from sinks.contract import Sink
from sinks.options import Surroundings
from sinks.rules import Rules

if TYPE_CHECKING:
    from sinks.warehouses.postgres.connection import Address


class PostgresOptions(Rules, frozen=True, kw_only=True):
    """`url`, as libpq takes it but without a password, or its parts; where both name something, the part holds.

    `password_env` names the environment variable with the password, `schema` the one schema for all tables. What is
    not given comes from libpq's own places (`PGHOST`, `~/.pgpass`, ...).
    """

    url: str | None = None
    host: str | None = None
    port: int | None = None
    dbname: str | None = None
    user: str | None = None
    password_env: str | None = None
    schema: str | None = None

    def check(self) -> None:
        """See `Options`."""
        for name in ("url", "host", "port", "dbname", "user", "password_env", "schema"):
            value = getattr(self, name)
            if value == "" or "\x00" in str(value):
                raise ConfigError(f"{name} must be a text that is not empty.")
        if self.schema is not None and (len(self.schema.encode()) > 63 or self.schema.startswith("pg_")):
            raise ConfigError("schema must have at most 63 bytes and not begin with pg_, which PostgreSQL reserves.")
        if importlib.util.find_spec("psycopg") is None:
            raise ConfigError("postgres needs a driver that is not installed: pip install 'hookmill[postgres]'.")
        self._address()

    def open(self, around: Surroundings) -> Sink:
        """See `Options`."""
        from sinks.warehouses.postgres.sink import PostgresWarehouse

        return PostgresWarehouse(self._address(), self)

    def target(self, data_dir: object) -> str:
        """See `Options`."""
        return str(self._address())

    def _address(self) -> "Address":
        from sinks.warehouses.postgres.connection import Address, parameters_of

        parameters = parameters_of(self.url) if self.url is not None else {}
        for name in ("host", "port", "dbname", "user"):
            if (value := getattr(self, name)) is not None:
                parameters[name] = str(value)
        return Address(parameters, self.password_env, self.schema)
