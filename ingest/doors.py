"""Doors: which source a request is for, by the token it carries."""

from typing import Final, NamedTuple

from multidict import CIMultiDictProxy

from hookmill.registry import Registry, Source
from ingest import refusals
from ingest.target import parse_target

TOKEN_HEADER: Final = "X-Segment-Source-Function-Token"  # noqa: S105 - the name of Segment's header

_MAX_KNOWN_TARGETS: Final = 1_024
"""Bounds the memory at 8 MiB: a request line has at most 8,190 bytes. Few senders vary their address."""


class Door(NamedTuple):
    """A source's address as it was called."""

    source: Source
    target: str
    """Path and query without the token."""
    max_body_bytes: int
    """The narrower of the limits of source and receiver."""


class Doors:
    """Finds the door of a request in the newest state of the registry."""

    def __init__(self, registry: Registry, max_body_bytes: int) -> None:
        self._registry = registry
        self._max_body_bytes = max_body_bytes
        self._known: dict[str, Door] = {}

    def find(self, method: str, raw_target: str, headers: CIMultiDictProxy[str]) -> Door:
        """The door that the request's token opens. Errors: `Refused` with 401, 404 or 405."""
        known = self._known.get(raw_target)
        # A source that is published again is a new object: its tokens are looked up anew.
        if known is not None and method == "POST" and self._registry.sources.get(known.source.id) is known.source:
            return known
        return self._look_up(method, raw_target, headers)

    def _look_up(self, method: str, raw_target: str, headers: CIMultiDictProxy[str]) -> Door:
        target = parse_target(raw_target)
        if target is None:
            raise refusals.path_unknown()
        if method != "POST":
            raise refusals.method_not_allowed(method)
        token = target.token or headers.get(TOKEN_HEADER, "")
        if not token:
            raise refusals.token_missing()
        source = self._registry.source_of_token(token)
        if source is None:
            raise refusals.token_unknown()
        limit = self._max_body_bytes if source.max_body_bytes is None else source.max_body_bytes
        door = Door(source, target.cleaned, min(limit, self._max_body_bytes))
        if target.token:
            self._remember(raw_target, door)
        return door

    def _remember(self, raw_target: str, door: Door) -> None:
        if len(self._known) >= _MAX_KNOWN_TARGETS:
            self._known.clear()
        self._known[raw_target] = door
