"""How much memory a runner holds: what the limits of its engine do not see, the pool does."""

import os
from pathlib import Path
from time import monotonic
from typing import Final

from processors.runtimes.limits import HEAP_MB, MIB

LOOK_S: Final = 0.1
"""Between two looks."""
BEYOND_HEAP_MB: Final = {"javascript": 256, "python": 64}
"""Allowed on top of the heap limit. JavaScript: Buffers (RUNTIMES section 2.3). Python: memory shared with files."""
GROWTH_MB: Final = {"javascript": 128, "python": 64}
"""A runner that doubled is replaced, but not for less: an engine lets garbage lie until its heap is full."""
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")


class Footprint:
    """Resident memory of a process, compared with what it was when the function had been loaded."""

    def __init__(self, pid: int, language: str) -> None:
        self._statm = Path(f"/proc/{pid}/statm")
        loaded = self._resident_bytes()
        heap_mb = HEAP_MB[language]
        self._most = loaded + (heap_mb + BEYOND_HEAP_MB[language]) * MIB
        self._normal = loaded + max(loaded, GROWTH_MB[language] * MIB)
        self._resident = loaded
        self._looked_at = monotonic()
        self.allowed_mb = round(self._most / MIB)

    @property
    def is_excessive(self) -> bool:
        """More than the function may have: the process is to be ended."""
        return self._look() > self._most

    @property
    def has_doubled(self) -> bool:
        """Something piles up: another process is to take over when there is time."""
        return self._look() > self._normal

    def _look(self) -> int:
        now = monotonic()
        if now - self._looked_at >= LOOK_S:
            self._looked_at = now
            self._resident = self._resident_bytes()
        return self._resident

    def _resident_bytes(self) -> int:
        """0 if the process is gone."""
        try:
            return int(self._statm.read_bytes().split()[1]) * _PAGE_BYTES
        except (FileNotFoundError, ProcessLookupError):
            return 0
