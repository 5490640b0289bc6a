"""The options of the DuckDB warehouse. DuckDB is an extra: nothing here needs it before a sink is opened."""

from pathlib import Path

from hookmill.errors import ConfigError
from sinks.contract import Sink
from sinks.options import STDOUT, Surroundings, check_path, file_at, require
from sinks.rules import Rules


class DuckdbOptions(Rules, frozen=True, kw_only=True):
    """`path`: the database file."""

    path: str = "warehouse.duckdb"

    def check(self) -> None:
        """See `Options`."""
        check_path(self.path)
        if self.path == STDOUT:
            raise ConfigError('duckdb cannot write to standard output; path "-" is only for jsonl.')
        require("duckdb", "pyarrow", extra="duckdb")

    def open(self, around: Surroundings) -> Sink:
        """See `Options`."""
        from sinks.warehouses.duckdb.sink import DuckdbWarehouse

        return DuckdbWarehouse(file_at(around.data_dir, self.path), self)

    def target(self, data_dir: Path) -> str:
        """See `Options`."""
        return str(data_dir / self.path)
