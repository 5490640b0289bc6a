"""The options of the SQLite warehouse."""

from pathlib import Path

from hookmill.errors import ConfigError
from sinks.contract import Sink
from sinks.options import STDOUT, Surroundings, check_path, file_at
from sinks.rules import Rules
from sinks.warehouses.sqlite.sink import SqliteWarehouse


class SqliteOptions(Rules, frozen=True, kw_only=True):
    """`path`: the database file."""

    path: str = "warehouse.db"

    def check(self) -> None:
        """See `Options`."""
        check_path(self.path)
        if self.path == STDOUT:
            raise ConfigError('sqlite cannot write to standard output; path "-" is only for jsonl.')

    def open(self, around: Surroundings) -> Sink:
        """See `Options`."""
        return SqliteWarehouse(file_at(around.data_dir, self.path), self)

    def target(self, data_dir: Path) -> str:
        """See `Options`."""
        return str(data_dir / self.path)
