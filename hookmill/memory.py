"""How processes that move records use memory: the pace of Python's garbage collector, and what the system gets back."""

import ctypes
import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_NEW_OBJECTS_PER_COLLECTION: Final = 200_000
"""The records in hand are a hundred thousand tuples and dicts, none of them in a cycle. With Python's own 700 the
collector looked at each several times: it took 18 % of the function stage's CPU (with 50,000 still 4 %) and a third of
what it costs to lay out rows."""

_M_TRIM_THRESHOLD: Final = -1
_M_MMAP_THRESHOLD: Final = -3
"""As in malloc.h of glibc."""
_LARGE_BLOCK_BYTES: Final = 1_000_000
_KEPT_FREE_BYTES: Final = 8 * 1_048_576


@contextmanager
def rare_collections() -> Iterator[None]:
    """Within, the collector runs as rarely as suits spans and batches."""
    before = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS_PER_COLLECTION)
    try:
        yield
    finally:
        gc.set_threshold(*before)


def give_back_large_blocks() -> None:
    """From now on, what held a large body goes back to the system as soon as it is freed.

    By itself glibc gives back only the first such block and takes those after it from its heap, where a small one that
    stays keeps the place of a large one (mallopt(3), M_MMAP_THRESHOLD): under bodies of 2 MiB a function stage grew to
    173 MiB, with this to 129. With other C libraries nothing is changed.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, _LARGE_BLOCK_BYTES)
        mallopt(_M_TRIM_THRESHOLD, _KEPT_FREE_BYTES)
