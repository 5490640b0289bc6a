"""Names that users chose, made into names of tables and columns (SEGMENT-SPEC W44-W50). Pure and stable: no history."""

import re
from collections.abc import Callable
from hashlib import sha256
from typing import Final

MAX_NAME_BYTES: Final = 63
"""Of a table or column: the shortest limit among the warehouses we know, PostgreSQL's NAMEDATALEN - 1."""

CALL_TABLES: Final = {
    "track": "tracks",
    "identify": "identifies",
    "page": "pages",
    "screen": "screens",
    "group": "groups",
    "alias": "aliases",
}
"""Table of each type of call (W38)."""

UPSERT_TABLES: Final = frozenset({"users", "accounts"})
"""Tables of the latest traits (W38). Collections of these names share them: both are rows merged by id."""

STANDARD_COLUMNS: Final = frozenset(
    {
        "id",
        "anonymous_id",
        "user_id",
        "group_id",
        "previous_id",
        "event",
        "event_text",
        "timestamp",
        "original_timestamp",
        "sent_at",
        "received_at",
    }
)
"""Columns of event tables that properties cannot have (W39, W48); nor anything that begins with `context_`."""

OBJECT_COLUMNS: Final = frozenset({"id", "received_at"})
"""Columns of object tables that properties cannot have."""

CONTEXT_PREFIX: Final = "context_"

STRICT_COLLECTION: Final = re.compile(r"[a-z](?:[a-z_]{0,98}[a-z])?")
"""What Segment's Objects API takes (W30)."""

_HASH_DIGITS: Final = 8
_CLEAN: Final = re.compile(r"[a-z0-9]+(?:_[a-z0-9]+)*")
_WORD: Final = re.compile(r"[A-Z0-9]+[a-z0-9]*|[a-z0-9]+")
_MAX_REMEMBERED: Final = 16_384
_MAX_REMEMBERED_CHARACTERS: Final = 128
"""Longer names are not remembered: hostile ones are up to megabytes long."""


class NameCache(dict[str, str]):
    """Results of a naming rule by name, made on the first look-up; bounded. A source repeats its names for ever."""

    def __init__(self, rule: Callable[[str], str]) -> None:
        self._rule = rule

    def __missing__(self, name: str) -> str:
        made = self._rule(name)
        if len(name) <= _MAX_REMEMBERED_CHARACTERS and len(self) < _MAX_REMEMBERED:
            self[name] = made
        return made


def snake_case(name: str) -> str:
    """The name in Segment's snake case, empty when it has no ASCII letter or digit (W44)."""
    if _CLEAN.fullmatch(name):
        return name
    return "_".join(_WORD.findall(name)).lower()


def name_part(name: str) -> str:
    """Snake case that is never empty: a name without ASCII letters or digits becomes `unnamed_` and its hash."""
    return snake_case(name) or f"unnamed_{_hash(name)}"


def identifier(name: str) -> str:
    """A normalised name as table or column: leading digits guarded (W50), cut to `MAX_NAME_BYTES` with a hash.

    Two long names that differ only in the cut stay different.
    """
    guarded = f"_{name}" if name[:1].isdigit() else name
    if len(guarded) <= MAX_NAME_BYTES:
        return guarded
    return f"{guarded[: MAX_NAME_BYTES - _HASH_DIGITS - 1]}_{_hash(guarded)}"


def schema_name(source: str) -> str:
    """What the tables of a source have in common: its slug in snake case (W37).

    Slugs whose dashes cannot be told from the name (`a--b`) carry a hash, because two sources cannot share a schema.
    """
    plain = name_part(source)
    if plain.replace("_", "-") != source:
        plain = f"{plain[: MAX_NAME_BYTES - _HASH_DIGITS - 2]}_{_hash(source)}"
    return identifier(plain)


def event_table(event: str) -> str:
    """Table of a track event; one that is called like a table of W38 gets `_event` behind it."""
    name = identifier(name_part(event))
    return f"{name}_event" if name in UPSERT_TABLES or name in CALL_TABLES.values() else name


def object_table(collection: str) -> str:
    """Table of a collection; one that is called like the table of a call gets `_object` behind it."""
    name = identifier(name_part(collection))
    return f"{name}_object" if name in CALL_TABLES.values() else name


def history_view(table: str) -> str:
    """View of the history of a table of objects."""
    return identifier(f"{table}_history")


def event_column(path: str) -> str:
    """Column of a property or trait of an event; `path` is its levels in snake case, joined (W45).

    A reserved name gets a leading underscore, as Segment's Redshift page says; its schema page says that the property
    is discarded (W48, Q4), and we discard nothing.
    """
    is_reserved = path in STANDARD_COLUMNS or path.startswith(CONTEXT_PREFIX)
    return identifier(f"_{path}" if is_reserved else path)


def object_column(path: str) -> str:
    """Column of a property of an object; reserved names as for `event_column`."""
    return identifier(f"_{path}" if path in OBJECT_COLUMNS else path)


def with_hash(name: str, of: str) -> str:
    """`name` made different from its namesakes by the hash of `of`."""
    return f"{name[: MAX_NAME_BYTES - _HASH_DIGITS - 1]}_{_hash(of)}"


def _hash(text: str) -> str:
    return sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_HASH_DIGITS]
