"""What commands share: the options of all of them, and the event loop they run on."""

import asyncio
import gc
import sys
from collections.abc import Coroutine
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import uvloop
from cyclopts import Parameter

from hookmill.config import Config, load_config
from hookmill.errors import ConfigError
from hookmill.telemetry import configure_logging

T = TypeVar("T")


@Parameter(name="*")
@dataclass(frozen=True)
class Common:
    """Options of every command; each overrides the `HOOKMILL_*` variable of the same meaning."""

    data_dir: Annotated[Path | None, Parameter(help="Folder of the embedded log and the local warehouse.")] = None
    bootstrap_servers: Annotated[
        str | None,
        Parameter(name=["--bootstrap-servers", "--bootstrap-server"], help="Kafka brokers; none: the embedded log."),
    ] = None
    topic_prefix: Annotated[str | None, Parameter(help="What the names of topics and groups begin with.")] = None
    admin_port: Annotated[int | None, Parameter(help="Port of /healthz, /readyz and /metrics; 0 picks one.")] = None
    log_level: Annotated[Literal["debug", "info", "warning", "error"] | None, Parameter(help="Least level.")] = None
    log_format: Annotated[Literal["auto", "json", "console"] | None, Parameter(help="Form of log lines.")] = None

    def config(self, **sections: dict[str, Any]) -> Config:
        """The configuration with these options over the environment; logging is set up by it."""
        overrides: dict[str, Any] = {
            "data_dir": self.data_dir,
            "kafka": {"bootstrap_servers": self.bootstrap_servers},
            "topics": {"prefix": self.topic_prefix},
            "admin": {"port": self.admin_port},
            "logging": {"level": self.log_level, "format": self.log_format},
            **sections,
        }
        config = load_config(overrides)
        configure_logging(config.logging)
        return config


def is_confirmed(question: str) -> bool:
    """The person at the terminal said yes. Errors: `ConfigError` when there is none."""
    if not sys.stdin.isatty():
        raise ConfigError("Nobody can be asked here: say --yes, or --dry-run to see what would be done.")
    return input(question).strip().lower() in ("y", "yes")


def run_async(work: Coroutine[Any, Any, T]) -> T:
    """What the work returns or raises."""
    if not gc.isenabled():  # by `console.main`: now there will be garbage, but not in what is loaded
        gc.freeze()
        gc.enable()
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(work)
