"""What every kind of sink brings along: its options as a checked value that can be opened."""

import importlib.util
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Final, Protocol

import msgspec

from hookmill.errors import ConfigError
from hookmill.log.contract import Log
from hookmill.topics import TopicNames
from sinks.contract import Sink, SinkUnavailable

STDOUT: Final = "-"


@dataclass(frozen=True)
class Surroundings:
    """What the process that opens a sink has to offer it."""

    data_dir: Path
    log: Log
    names: TopicNames
    allow_private: bool = False
    """Whether addresses that are not of the public Internet may be called."""


class Options(Protocol):
    """The options of one sink: a frozen `msgspec.Struct`, one field per option, defaults where there are any."""

    __struct_fields__: ClassVar[tuple[str, ...]]

    def check(self) -> None:
        """What the types cannot say is right too. Looks at nothing outside. Errors: `ConfigError`, a sentence."""
        ...

    def open(self, around: Surroundings) -> Sink:
        """The sink, to be entered. Errors: `ConfigError`, a sentence."""
        ...

    def target(self, data_dir: Path) -> str:
        """Where the sink puts what it gets, for people. No secrets."""
        ...


class FileOptions(msgspec.Struct, frozen=True):
    """Of kinds that write one file; relative paths are under the data folder."""

    path: str

    def check(self) -> None:
        """See `Options`."""
        check_path(self.path)

    def target(self, data_dir: Path) -> str:
        """See `Options`."""
        return str(data_dir / self.path)

    def file(self, data_dir: Path) -> Path:
        """As `file_at`."""
        return file_at(data_dir, self.path)


def check_path(path: str) -> None:
    """It can name a file. Errors: `ConfigError`."""
    if not path or "\x00" in path:
        raise ConfigError("path must be the name of a file.")


def file_at(data_dir: Path, path: str) -> Path:
    """The file, in a folder that exists; relative ones are under the data folder. Errors: `ConfigError`.

    Only `data_dir` itself is created: a folder elsewhere that is missing may be a disk that is not mounted.
    """
    file = data_dir / path
    data_dir.mkdir(parents=True, exist_ok=True)
    if not file.parent.is_dir():
        raise ConfigError(f"folder {file.parent} does not exist.")
    if file.is_dir():
        raise ConfigError(f"{file} is a folder; path must name a file.")
    return file


def secret(variable: str) -> str:
    """The secret in the environment variable of that name. Errors: `SinkUnavailable`, so that others go on."""
    value = os.environ.get(variable, "")
    if not value:
        raise SinkUnavailable(f"The environment variable {variable} is empty: it must hold the sink's secret.")
    return value


def require(*modules: str, extra: str) -> None:
    """The modules are installed. Errors: `ConfigError` with what to install. Nothing is imported for that."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        raise ConfigError(f"{missing[0]} is not installed: pip install 'hookmill[{extra}]'.")
