"""Metrics of the runners. Labels come from closed sets."""

from typing import Final

from prometheus_client import Counter, Gauge

from processors.runtimes.confinement import Layers, Level

_ISOLATION: Final = Gauge(
    "hookmill_runner_isolation",
    "1 for the level asked for and the layers that runners apply; Landlock by version of its rules.",
    ["level", "no_new_privs", "rlimits", "landlock_abi", "seccomp"],
)
_PROBATIONS: Final = Counter(
    "hookmill_runner_probations_total", "Times that a source was made to work alone, with pauses.", ["source"]
)


def count_probation(source: str) -> None:
    """The source was put on probation."""
    _PROBATIONS.labels(source).inc()


def set_isolation(level: Level, layers: Layers) -> None:
    """What was asked for, and what runners get."""
    _ISOLATION.clear()
    _ISOLATION.labels(level, layers.no_new_privs, layers.rlimits, layers.landlock_abi, layers.seccomp).set(1)
