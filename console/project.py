"""A project folder: sources with their functions, settings and examples, and the sinks, as entities of the registry."""

import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from console.functions import load_function
from hookmill.egress.allow import AllowList
from hookmill.errors import ConfigError
from hookmill.registry import Function, Only, Sink, Source
from hookmill.retry import MAX_RETRIES
from hookmill.selector import PATTERN
from hookmill.topics import MAX_BODY_BYTES
from sinks.open import check_sink

SOURCES: Final = "sources"
SINKS_FILE: Final = "sinks.toml"
SOURCE_FILE: Final = "source.toml"

_SLUG: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,62}")


def _check_hosts(entries: tuple[str, ...]) -> tuple[str, ...]:
    try:
        AllowList.parse(entries, "")
    except ConfigError as error:
        raise ValueError(str(error)) from None
    return entries


def _check_selector(text: str) -> str:
    if not re.search(PATTERN, text):
        raise ValueError("write header:NAME, query:NAME or a JSON pointer such as /data/id")
    return text


class _NetworkTable(BaseModel):
    """What `[network]` of `source.toml` may hold."""

    model_config = ConfigDict(extra="forbid")

    allow: Annotated[tuple[str, ...], AfterValidator(_check_hosts)] = ()


class _SourceFile(BaseModel):
    """What `source.toml` may hold."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = None
    function: str
    timeout_ms: Annotated[int, Field(ge=1, le=60_000)] = 1_000
    retries: Annotated[int, Field(ge=0, le=MAX_RETRIES)] = MAX_RETRIES
    max_body_bytes: Annotated[int, Field(ge=0, le=MAX_BODY_BYTES)] | None = None
    delivery_id: Annotated[str, AfterValidator(_check_selector)] | None = None
    order_by: Annotated[str, AfterValidator(_check_selector)] | None = None
    on_failure: Literal["pass", "park"] = "pass"
    settings: dict[str, Any] = {}
    secret_settings: tuple[str, ...] = ()
    network: _NetworkTable = _NetworkTable()

    @model_validator(mode="after")
    def _check_secret_settings(self) -> Self:
        for name in self.secret_settings:
            if name not in self.settings:
                raise ValueError(f"secret_settings names {name!r}, which [settings] does not have")
        return self

    @model_validator(mode="after")
    def _check_parking(self) -> Self:
        if self.on_failure == "park" and self.order_by is None:
            raise ValueError('on_failure = "park" needs order_by: without it, no webhook follows another')
        return self


class _OnlyTable(BaseModel):
    """What `[<sink>.only]` of `sinks.toml` may hold."""

    model_config = ConfigDict(extra="forbid")

    sources: tuple[str, ...] = ()
    types: tuple[Literal["track", "identify", "page", "screen", "group", "alias"], ...] = ()
    events: tuple[str, ...] = ()
    collections: tuple[str, ...] = ()


class _SinkTable(BaseModel):
    """What a table of `sinks.toml` may hold; what is left are the options of its kind."""

    model_config = ConfigDict(extra="allow")

    kind: str
    events: bool = True
    objects: bool = True
    only: _OnlyTable = _OnlyTable()


@dataclass(frozen=True)
class ProjectSource:
    """A source of the project, before it has a token."""

    folder: Path
    slug: str
    name: str
    function: Function
    settings: dict[str, Any]
    secret_settings: tuple[str, ...]
    timeout_ms: int
    retries: int
    max_body_bytes: int | None
    network: tuple[str, ...]
    delivery_id: str | None
    order_by: str | None
    on_failure: Literal["pass", "park"]

    def entity(self, token_hashes: Sequence[str]) -> Source:
        """The source as it is published."""
        return Source(
            id=self.slug,
            name=self.name,
            token_hashes=tuple(token_hashes),
            function_version=self.function.version,
            settings=self.settings,
            secret_settings=self.secret_settings,
            max_body_bytes=self.max_body_bytes,
            timeout_ms=self.timeout_ms,
            retries=self.retries,
            network=self.network,
            delivery_id=self.delivery_id,
            order_by=self.order_by,
            on_failure=self.on_failure,
        )


@dataclass(frozen=True)
class Project:
    """A project folder as read: every file of it was valid."""

    folder: Path
    sources: tuple[ProjectSource, ...]
    sinks: tuple[Sink, ...]


def load_project(folder: Path) -> Project:
    """The project in `folder`. Errors: `ConfigError` that names the file and what is wrong in it."""
    sources = tuple(_load_source(path) for path in _source_folders(folder))
    sinks = _load_sinks(folder / SINKS_FILE)
    known = {source.slug for source in sources}
    for sink in sinks:
        for unknown in sorted(set(sink.only.sources) - known):
            raise ConfigError(f'{folder / SINKS_FILE}: [{sink.name}.only] names source "{unknown}", which is not here.')
    return Project(folder, sources, sinks)


def read_settings(folder: Path) -> dict[str, dict[str, Any]]:
    """Settings by slug of every source, without a look at the functions. Errors: `ConfigError`."""
    return {path.name: _read_source_file(path / SOURCE_FILE).settings for path in _source_folders(folder)}


def _source_folders(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ConfigError(f"There is no project folder {folder}. `hookmill init {folder}` makes one.")
    if not (folder / SOURCES).is_dir():
        raise ConfigError(f"{folder} is not a project: it has no folder {SOURCES}/. `hookmill init {folder}` adds one.")
    found = sorted(path.parent for path in (folder / SOURCES).glob(f"*/{SOURCE_FILE}"))
    if not found:
        raise ConfigError(f"{folder / SOURCES} holds no source: a source is a folder with a {SOURCE_FILE}.")
    return found


def _load_source(folder: Path) -> ProjectSource:
    slug = folder.name
    if not _SLUG.fullmatch(slug):
        raise ConfigError(f"Source folder {folder}: a slug has lower-case letters, digits and dashes, 63 at most.")
    path = folder / SOURCE_FILE
    parsed = _read_source_file(path)
    return ProjectSource(
        folder=folder,
        slug=slug,
        name=parsed.name or slug,
        function=load_function(slug, path, parsed.function),
        settings=parsed.settings,
        secret_settings=parsed.secret_settings,
        timeout_ms=parsed.timeout_ms,
        retries=parsed.retries,
        max_body_bytes=parsed.max_body_bytes,
        network=parsed.network.allow,
        delivery_id=parsed.delivery_id,
        order_by=parsed.order_by,
        on_failure=parsed.on_failure,
    )


def _read_source_file(path: Path) -> _SourceFile:
    try:
        return _SourceFile.model_validate(_read_toml(path))
    except ValidationError as error:
        raise ConfigError(_complaint(path, error)) from None


def _load_sinks(path: Path) -> tuple[Sink, ...]:
    if not path.exists():
        raise ConfigError(f"{path} is missing: it says where events and objects go. `hookmill init` writes an example.")
    try:
        tables = TypeAdapter(dict[str, _SinkTable]).validate_python(_read_toml(path))
    except ValidationError as error:
        raise ConfigError(_complaint(path, error)) from None
    return tuple(_load_sink(path, name, table) for name, table in tables.items())


def _load_sink(path: Path, name: str, table: _SinkTable) -> Sink:
    if not _NAME.fullmatch(name):
        raise ConfigError(f"{path}: sink name [{name}] may have lower-case letters, digits, dashes and underscores.")
    sink = Sink(
        name=name,
        kind=table.kind,
        events=table.events,
        objects=table.objects,
        options=dict(table.model_extra or {}),
        only=Only(**table.only.model_dump()),
    )
    try:
        check_sink(sink)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from None
    return sink


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} is not valid TOML: {error}.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None


def _complaint(path: Path, error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_url=False):
        place = ".".join(str(part) for part in problem["loc"]) or "the file"
        if problem["type"] == "extra_forbidden":
            lines.append(f"{path}: {place} is not an option.")
        elif problem["type"] == "missing":
            lines.append(f"{path}: {place} is missing.")
        elif not problem["loc"]:
            lines.append(f"{path}: {problem['msg']}.")  # its input is the whole file, settings included
        else:
            lines.append(f"{path}: {place} is {problem['input']!r}: {problem['msg']}.")
    return "\n".join(lines)
