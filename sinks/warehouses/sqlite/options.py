"""The options of the SQLite warehouse."""

from hookmill.errors import ConfigError
from sinks.contract import Sink
from sinks.options import STDOUT, FileOptions, Surroundings
from sinks.warehouses.sqlite.sink import SqliteWarehouse


class SqliteOptions(FileOptions, frozen=True):
    """`path`: the database file."""

    path: str = "warehouse.db"

    def check(self) -> None:
        """See `Options`."""
        super().check()
        if self.path == STDOUT:
            raise ConfigError('sqlite cannot write to standard output; path "-" is only for jsonl.')

    def open(self, around: Surroundings) -> Sink:
        """See `Options`."""
        return SqliteWarehouse(self.file(around.data_dir))
