"""The options of the ClickHouse warehouse. The driver is an extra: nothing here needs it before a sink is opened."""

import importlib.util
from pathlib import Path
from urllib.parse import unquote, urlsplit

from hookmill.errors import ConfigError
from sinks.contract import Sink
from sinks.options import Surroundings
from sinks.rules import Rules
from sinks.warehouses.clickhouse.address import Address

_PORTS = {"http": 8123, "https": 8443}


class ClickHouseOptions(Rules, frozen=True, kw_only=True):
    """`url`: `https://user@host:8443/database`, without a password; `password_env`: the environment variable with it.

    Without a user it is `default`, without a database `default`, without a port 8123, or 8443 for https.
    """

    url: str
    password_env: str | None = None

    def check(self) -> None:
        """See `Options`."""
        self._address()
        if self.password_env == "":
            raise ConfigError("password_env must name the environment variable that holds the password.")
        if importlib.util.find_spec("clickhouse_connect") is None:
            raise ConfigError("clickhouse needs a driver that is not installed: pip install 'hookmill[clickhouse]'.")

    def open(self, around: Surroundings) -> Sink:
        """See `Options`."""
        from sinks.warehouses.clickhouse.connection import connect
        from sinks.warehouses.clickhouse.sink import ClickHouseWarehouse

        address = self._address()
        return ClickHouseWarehouse(lambda: connect(address), str(address), self)

    def target(self, data_dir: Path) -> str:
        """See `Options`."""
        return str(self._address())

    def _address(self) -> Address:
        """Errors: `ConfigError`, which does not quote the URL: it may hold a password all the same."""
        try:
            parts = urlsplit(self.url)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        database = unquote(parts.path.strip("/")) or "default"
        if parts.scheme not in _PORTS or not parts.hostname or "/" in database or parts.query or parts.fragment:
            raise ConfigError("url cannot be read; it is like https://user@host:8443/database.")
        if parts.password is not None:
            raise ConfigError("url must not hold a password: name an environment variable with password_env.")
        user = unquote(parts.username or "") or "default"
        return Address(parts.scheme, parts.hostname, port or _PORTS[parts.scheme], database, user, self.password_env)
