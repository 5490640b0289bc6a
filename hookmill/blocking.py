"""A thread for calls that block: they must not hold up the loop, and what they use often belongs to one thread."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

_P = ParamSpec("_P")
_T = TypeVar("_T")


class BlockingThread:
    """Runs calls one after the other, always on the same thread until it ends; it begins with the first call."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._executor = self._new_executor()

    async def run(self, call: Callable[_P, _T], *args: _P.args, **kwargs: _P.kwargs) -> _T:
        """What the call returns or raises. When cancelled, the call still runs to its end."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._executor, lambda: call(*args, **kwargs))

    def start(self, call: Callable[[], None]) -> None:
        """The call is made when those before it are over; nobody learns what it raises."""
        self._executor.submit(call)

    def end(self) -> None:
        """The thread ends after the calls it was given; a call that comes later has another."""
        self._executor.shutdown(wait=False)
        self._executor = self._new_executor()

    def _new_executor(self) -> ThreadPoolExecutor:
        return ThreadPoolExecutor(max_workers=1, thread_name_prefix=self._name)
