"""What the pool asks a runner to load."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits of one invocation, but for `load_ms`, `memory_mb` (process) and those of a batch."""

    timeout_ms: int
    load_ms: int
    memory_mb: int
    messages: int
    event_bytes: int
    output_bytes: int
    batch_output_bytes: int
    batch_ms: int
    log_lines: int
    log_line_bytes: int
    log_bytes: int


@dataclass(frozen=True, slots=True)
class Load:
    """A function's code, its settings and its limits."""

    file: str
    text: str
    settings: dict[str, Any]
    limits: Limits


def parse_load(header: dict[str, Any]) -> Load:
    """The header of a LOAD frame as a value."""
    return Load(header["file"], header["text"], header["settings"], Limits(**header["limits"]))
