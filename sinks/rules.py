"""What a user decides about the tables of a warehouse, beside where it is."""

from enum import StrEnum

import msgspec

from sinks.naming import UPSERT_TABLES, name_part, object_table


class Merge(StrEnum):
    """What becomes of an object's properties that a newer write does not name."""

    PROPERTIES = "properties"
    """They stay (SEGMENT-SPEC W35)."""
    REPLACE = "replace"
    """They go: a write is all of the object."""


class Names(StrEnum):
    """Which names collections may have."""

    LENIENT = "lenient"
    """Any; the table has the name in snake case."""
    STRICT = "strict"
    """Those of Segment's Objects API (W30); a write with another is a dead letter."""


class Rules(msgspec.Struct, frozen=True, kw_only=True):
    """The options that every warehouse has, beside its own.

    `merge` is for all collections, or by collection: then the others merge properties. Traits of users and accounts
    always do (W13).

    `history`, of all collections or of those named: what each object was is kept too. Not of users and accounts, whose
    rows calls make besides. Errors: `ValueError` when one of those is named.
    """

    merge: Merge | dict[str, Merge] = Merge.PROPERTIES
    names: Names = Names.LENIENT
    history: bool | tuple[str, ...] = False

    def __post_init__(self) -> None:
        if not isinstance(self.history, bool):
            for collection in self.history:
                if object_table(collection) in UPSERT_TABLES:
                    raise ValueError(f'history cannot name "{collection}": calls of users change its rows too')

    def replaces(self, collection: str) -> bool:
        """Whether a write is all of an object of this collection, however its name is written."""
        if isinstance(self.merge, Merge):
            return self.merge is Merge.REPLACE
        name = name_part(collection)
        return any(merge is Merge.REPLACE and name_part(known) == name for known, merge in self.merge.items())

    def keeps_history(self, collection: str) -> bool:
        """Whether the history of this collection is kept, however its name is written."""
        if isinstance(self.history, bool):
            return self.history and object_table(collection) not in UPSERT_TABLES
        return name_part(collection) in map(name_part, self.history)


DEFAULT = Rules()
