"""Values as cells of columns that were made for text. Pure."""

from collections.abc import Sequence, Set
from operator import itemgetter
from typing import Final

from sinks.flatten import Scalar, as_text

Cells = tuple[Scalar, ...]

_TEXTS: Final = {str, type(None)}


def fitted(columns: Sequence[str], rows: Sequence[Cells], texts: Set[str]) -> Sequence[Cells]:
    """The rows, with text in the columns that are among `texts`. SQLite would do so by itself, but it writes a number
    with 15 digits where it may need 17, and true as 1."""
    places = [
        place
        for place, column in enumerate(columns)
        if column in texts and not _TEXTS.issuperset(map(type, map(itemgetter(place), rows)))
    ]
    if not places:
        return rows
    return [_with_text(row, places) for row in rows]


def _with_text(row: Cells, places: Sequence[int]) -> Cells:
    cells = list(row)
    for place in places:
        value = cells[place]
        cells[place] = None if value is None else as_text(value)
    return tuple(cells)
