"""The kinds of sinks: which options each knows, and how it is opened. Our own are listed here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from hookmill.errors import ConfigError
from hookmill.registry import Sink as SinkDefinition
from sinks.contract import Sink
from sinks.options import Options, Surroundings
from sinks.plugins import plugin_kinds, plugin_options
from sinks.streams.jsonl import JsonLinesOptions
from sinks.streams.kafka import KafkaOptions
from sinks.streams.segment import SegmentOptions
from sinks.streams.stdout import StdoutOptions
from sinks.streams.webhook import WebhookOptions
from sinks.warehouses.clickhouse.options import ClickHouseOptions
from sinks.warehouses.duckdb.options import DuckdbOptions
from sinks.warehouses.parquet.options import ParquetOptions
from sinks.warehouses.postgres.options import PostgresOptions
from sinks.warehouses.sqlite.options import SqliteOptions

_KINDS: Final[Mapping[str, type[Options]]] = {
    "sqlite": SqliteOptions,
    "postgres": PostgresOptions,
    "clickhouse": ClickHouseOptions,
    "duckdb": DuckdbOptions,
    "parquet": ParquetOptions,
    "jsonl": JsonLinesOptions,
    "stdout": StdoutOptions,
    "kafka": KafkaOptions,
    "segment": SegmentOptions,
    "webhook": WebhookOptions,
}


def check_sink(definition: SinkDefinition) -> None:
    """The definition can be opened. Errors: `ConfigError` naming what is unknown or wrong, and what there is."""
    _options(definition)
    if not definition.events and not definition.objects:
        raise ConfigError(f'Sink "{definition.name}" gets neither events nor objects: set one of them to true.')


def open_sink(definition: SinkDefinition, around: Surroundings) -> Sink:
    """The sink, to be entered. Errors: as `check_sink`; `ConfigError` for what the surroundings lack."""
    check_sink(definition)
    try:
        return _options(definition).open(around)
    except ConfigError as error:
        raise ConfigError(f'Sink "{definition.name}": {error}') from None
    except OSError as error:
        raise ConfigError(
            f'Sink "{definition.name}": {error.filename} cannot be used: {error.strerror}; check its permissions.'
        ) from error


def describe_sink(definition: SinkDefinition, data_dir: Path) -> str:
    """What the sink gets and where it puts it, for people."""
    gets = " and ".join(
        name for name, is_wanted in (("events", definition.events), ("objects", definition.objects)) if is_wanted
    )
    return f"{gets} to {definition.kind} {_options(definition).target(data_dir)}"


def warehouse_file(definition: SinkDefinition, data_dir: Path) -> Path | None:
    """The SQLite file of the sink; `None` for sinks of other kinds."""
    options = _options(definition)
    return data_dir / options.path if isinstance(options, SqliteOptions) else None


def _options(definition: SinkDefinition) -> Options:
    where = f'Sink "{definition.name}"'
    try:
        kind = _kind(definition.kind)
        _check_names(definition, kind)
        options = msgspec.convert(definition.options, kind)
        options.check()
    except msgspec.ValidationError as error:
        raise ConfigError(f"{where}: {error}.") from None
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None
    return options


def _kind(name: str) -> type[Options]:
    ours = _KINDS.get(name)
    kind = plugin_options(name, is_ours=ours is not None) or ours
    if kind is None:
        raise ConfigError(f'kind "{name}" does not exist; there are {", ".join([*_KINDS, *plugin_kinds()])}.')
    return kind


def _check_names(definition: SinkDefinition, kind: type[Options]) -> None:
    known = kind.__struct_fields__
    unknown = sorted(definition.options.keys() - set(known))
    if unknown:
        raise ConfigError(f'option "{unknown[0]}" does not exist; {definition.kind} has {", ".join(known) or "none"}.')
