"""What the pool asks a runner to load."""

from dataclasses import dataclass, field, fields
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
    modules: dict[str, str] = field(default_factory=dict)
    """Helper modules: text by path beside the function, such as `helpers.py` or `shared/money.py`."""
    site: str | None = None
    """Absolute folder with installed packages."""
    secrets: list[str] = field(default_factory=list)
    """Values that must not show in log lines and errors."""
    network: bool = False
    """The function may call other hosts, by way of the pool."""

    @property
    def user_files(self) -> frozenset[str]:
        """Names, in tracebacks, of the files that are the user's."""
        return frozenset((self.file, *self.modules))


def parse_load(header: dict[str, Any]) -> Load:
    """The header of a LOAD frame as a value. What this runner does not know is left out."""
    limits = {limit.name: header["limits"][limit.name] for limit in fields(Limits)}
    return Load(
        file=header["file"],
        text=header["text"],
        settings=header.get("settings") or {},
        limits=Limits(**limits),
        modules=header.get("modules") or {},
        site=header.get("site"),
        secrets=header.get("secrets") or [],
        network=header.get("network", False),
    )
