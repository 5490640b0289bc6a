"""What a user decides about the tables of a warehouse, beside where it is."""

from enum import StrEnum

import msgspec

from sinks.naming import name_part


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
    """

    merge: Merge | dict[str, Merge] = Merge.PROPERTIES
    names: Names = Names.LENIENT

    def replaces(self, collection: str) -> bool:
        """Whether a write is all of an object of this collection, however its name is written."""
        if isinstance(self.merge, Merge):
            return self.merge is Merge.REPLACE
        name = name_part(collection)
        return any(merge is Merge.REPLACE and name_part(known) == name for known, merge in self.merge.items())


DEFAULT = Rules()
