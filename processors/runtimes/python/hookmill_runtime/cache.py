"""`segment.cache`: values that stay between the invocations of one process (SEGMENT-SPEC S40, S41)."""

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from time import monotonic
from typing import Any, Final, TypeVar, overload

MAX_KEYS: Final = 1_000
"""Ours: beyond it the value that was asked for least recently goes. Their size counts to the memory limit."""

Value = TypeVar("Value")


class Cache:
    """Not shared with other processes, and gone with this one: a value may vanish at any time."""

    def __init__(self) -> None:
        self._entries: dict[str, tuple[float, Any]] = {}
        """Value and end by key, in the order of their last use."""

    @overload
    async def load(self, key: str, ttl_ms: float | None, fn: Callable[[], Awaitable[Value]]) -> Value: ...
    @overload
    async def load(self, key: str, ttl_ms: float | None, fn: Callable[[], Value]) -> Value: ...
    async def load(self, key: str, ttl_ms: float | None, fn: Callable[[], Any]) -> Any:
        """The value kept under `key`, at most `ttl_ms` old; else what `fn`, async or not, returns now.

        `None` and -1: however old. What `fn` raises is raised, and nothing is kept.
        """
        entry = self._entries.pop(key, None)
        if entry is None or entry[0] <= monotonic():
            value = fn()
            if isawaitable(value):
                value = await value
            entry = (float("inf") if ttl_ms is None or ttl_ms < 0 else monotonic() + ttl_ms / 1_000, value)
            self._entries.pop(key, None)  # by another load, meanwhile
            if len(self._entries) >= MAX_KEYS:
                del self._entries[next(iter(self._entries))]
        self._entries[key] = entry
        return entry[1]

    def delete(self, key: str) -> None:
        """Forgotten, if it was there."""
        self._entries.pop(key, None)
