"""What a benchmark prints: one line per side, the median of its runs, and the ratio to the side it is held against."""

import os
import statistics
from collections.abc import Sequence
from operator import truediv


def header() -> None:
    """What the figures hold for."""
    print(f"{len(os.sched_getaffinity(0))} cores; work per CPU second of the processes measured; median of the runs\n")


def line(name: str, unit: str, runs: Sequence[float], against: Sequence[float] | None = None, note: str = "") -> None:
    """One side. `against` are the runs of the side that is 1.00, compared run by run."""
    median = statistics.median(runs)
    ratio = f"  {statistics.median(map(truediv, runs, against)):5.2f} of it" if against else ""
    digits = 0 if median >= 100 else 1
    spread = f"{min(runs):,.{digits}f} to {max(runs):,.{digits}f}"
    figure = f"{median:>10,.{digits}f} {unit:<14} ({spread}, {len(runs)} runs)"
    print(f"{name:<64} {figure}{ratio}{note}", flush=True)
