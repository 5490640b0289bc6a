"""The kinds of sinks: which options each knows, and how it is opened. The list grows here."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hookmill.errors import ConfigError
from hookmill.registry import Sink as SinkDefinition
from sinks.contract import Sink
from sinks.streams.jsonl import JsonLines
from sinks.warehouses.sqlite import SqliteWarehouse

_STDOUT: Final = "-"


@dataclass(frozen=True)
class _Kind:
    options: tuple[str, ...]
    """Every option that the kind knows."""
    default_path: str
    open: Callable[[Path | None], Sink]
    """From the file, `None` for standard output."""
    may_be_stdout: bool = False


def _open_sqlite(file: Path | None) -> Sink:
    assert file is not None
    return SqliteWarehouse(file)


_KINDS: Final = {
    "sqlite": _Kind(("path",), "warehouse.db", _open_sqlite),
    "jsonl": _Kind(("path",), _STDOUT, JsonLines, may_be_stdout=True),
}


def check_sink(definition: SinkDefinition) -> None:
    """The definition can be opened. Errors: `ConfigError` naming what is unknown or wrong, and what there is."""
    where = f'Sink "{definition.name}"'
    kind = _KINDS.get(definition.kind)
    if kind is None:
        raise ConfigError(f'{where}: kind "{definition.kind}" does not exist; there are {", ".join(_KINDS)}.')
    unknown = sorted(definition.options.keys() - set(kind.options))
    if unknown:
        raise ConfigError(
            f'{where}: option "{unknown[0]}" does not exist; {definition.kind} has {", ".join(kind.options)}.'
        )
    path = definition.options.get("path", kind.default_path)
    if not isinstance(path, str) or not path or "\x00" in path:
        raise ConfigError(f"{where}: path must be the name of a file.")
    if path == _STDOUT and not kind.may_be_stdout:
        raise ConfigError(f'{where}: {definition.kind} cannot write to standard output; path "-" is only for jsonl.')
    if not definition.events and not definition.objects:
        raise ConfigError(f"{where} gets neither events nor objects: set one of them to true.")


def open_sink(definition: SinkDefinition, data_dir: Path) -> Sink:
    """The sink, to be entered. Relative paths are under `data_dir`. Errors: as `check_sink`; a folder that is missing.

    Only `data_dir` itself is created: a folder elsewhere that is missing may be a disk that is not mounted.
    """
    check_sink(definition)
    file = _file_of(definition, data_dir)
    if file is not None:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not file.parent.is_dir():
            raise ConfigError(f'Sink "{definition.name}": folder {file.parent} does not exist.')
        if file.is_dir():
            raise ConfigError(f'Sink "{definition.name}": {file} is a folder; path must name a file.')
    return _KINDS[definition.kind].open(file)


def describe_sink(definition: SinkDefinition, data_dir: Path) -> str:
    """What the sink gets and where it puts it, for people."""
    gets = " and ".join(
        name for name, is_wanted in (("events", definition.events), ("objects", definition.objects)) if is_wanted
    )
    return f"{gets} to {definition.kind} {_file_of(definition, data_dir) or 'on standard output'}"


def warehouse_file(definition: SinkDefinition, data_dir: Path) -> Path | None:
    """The SQLite file of the sink; `None` for sinks of other kinds."""
    return _file_of(definition, data_dir) if definition.kind == "sqlite" else None


def _file_of(definition: SinkDefinition, data_dir: Path) -> Path | None:
    path = definition.options.get("path", _KINDS[definition.kind].default_path)
    return None if path == _STDOUT else data_dir / path
