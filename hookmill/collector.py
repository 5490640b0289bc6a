"""The pace of Python's garbage collector in processes that move records."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

_NEW_OBJECTS_PER_COLLECTION: Final = 200_000
"""The records in hand are a hundred thousand tuples and dicts, none of them in a cycle. With Python's own 700 the
collector looked at each several times: it took 18 % of the function stage's CPU (with 50,000 still 4 %) and a third of
what it costs to lay out rows."""


@contextmanager
def rare_collections() -> Iterator[None]:
    """Within, the collector runs as rarely as suits spans and batches."""
    before = gc.get_threshold()
    gc.set_threshold(_NEW_OBJECTS_PER_COLLECTION)
    try:
        yield
    finally:
        gc.set_threshold(*before)
