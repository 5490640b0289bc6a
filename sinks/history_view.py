"""The view of a history: what each object was, from when and until when, as one SELECT for all dialects. Pure.

A property has the value of the last write up to the row that set it, cleared it or ended what was before. With one
window over the writes of an object, in the order of their ids, this takes one sort for all properties.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from sinks.history import CLEARED, EFFECT, VALID_FROM, VALID_TO, Effect
from sinks.schema import OBJECT_ID_COLUMN

WINDOW: Final = "w"
"""Of a row all writes to its object up to this one, in order. `t` is the table of the writes."""

_OURS: Final = frozenset({"id", OBJECT_ID_COLUMN, VALID_FROM, EFFECT, CLEARED})

# ruff: noqa: S608 names go through `quoted`


def _lead(column: str, order: str) -> str:
    """Over the one window that all else uses: a second one would pass all columns on beside what the first made of
    them, and PostgreSQL has 1,664 columns in a row at most."""
    return f"lead({column}) OVER {WINDOW}"


class Dialect(NamedTuple):
    """What the SQL of warehouses differs in."""

    quoted: Callable[[str], str]
    find: str
    """The function that says where a text begins within another, its first parameter; 0 when it does not."""
    newest: Callable[[str, str], str] | None = None
    """From a column and a condition: the value, maybe null, in the last row of the window where the condition holds.

    `None` where no function tells that: then the view looks the row up by its id.
    """
    following: Callable[[str, str], str] = _lead
    """From a column and the order of writes: the value in the row behind this one, null when it is the last."""


def select_history(writes: str, places: Mapping[str, str], dialect: Dialect) -> str:
    """What the view shows. `writes` is a table, or a SELECT in parentheses, of `history.history_row`s.

    `places` are its columns in order, each with the property whose values it may hold: a property can have several.
    The view has `id` (the object's), `valid_from`, `valid_to`, and then the columns of properties in the same order.
    """
    quoted = dialect.quoted
    object_id, start, end, effect = (quoted(name) for name in (OBJECT_ID_COLUMN, VALID_FROM, VALID_TO, EFFECT))
    order = f"PARTITION BY t.{object_id} ORDER BY t.{quoted('id')}"
    following = dialect.following(f"t.{start}", order)
    carried = [f"t.{object_id} AS {object_id}", f"t.{start} AS {start}", f"{following} AS {end}"]
    carried.append(f"t.{effect} AS {effect}")
    shown = [f"h.{object_id} AS {quoted('id')}", f"h.{start} AS {start}", f"h.{end} AS {end}"]
    conditions = _conditions(places, dialect)
    for place, name in places.items():
        if place in _OURS:
            continue
        column, is_set = quoted(place), conditions[name]
        if dialect.newest is None:
            carried.append(f"max(CASE WHEN {is_set} THEN t.{quoted('id')} END) OVER {WINDOW} AS {column}")
            shown.append(f"(SELECT t.{column} FROM {writes} AS t WHERE t.{quoted('id')} = h.{column}) AS {column}")
        else:
            carried.append(f"{dialect.newest(f't.{column}', is_set)} AS {column}")
            shown.append(f"h.{column} AS {column}")
    return (
        f"SELECT {', '.join(shown)} FROM (SELECT {', '.join(carried)} FROM {writes} AS t WINDOW {WINDOW} AS ({order})) "
        f"AS h WHERE h.{effect} <> '{Effect.DELETE}' AND (h.{end} IS NULL OR h.{end} > h.{start})"
    )


def _conditions(places: Mapping[str, str], dialect: Dialect) -> dict[str, str]:
    """By property, whether a write decides what it is."""
    of_property: dict[str, list[str]] = {}
    for place, name in places.items():
        of_property.setdefault(name, []).append(place)
    return {name: _is_set(name, its, CLEARED in places, dialect) for name, its in of_property.items()}


def _is_set(name: str, places: Sequence[str], has_cleared: bool, dialect: Dialect) -> str:
    """Names of the rules have no quotes."""
    reasons = [f"t.{dialect.quoted(place)} IS NOT NULL" for place in places]
    reasons.append(f"t.{dialect.quoted(EFFECT)} <> '{Effect.SET}'")
    if has_cleared:
        reasons.append(f"{dialect.find}(t.{dialect.quoted(CLEARED)}, '\"{name}\"') > 0")
    return " OR ".join(reasons)
