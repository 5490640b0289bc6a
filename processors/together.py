"""Works beside one another, of which one may fail, in a task that goes on."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any


async def together(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    """All are done. When one fails the others are cancelled. From a generator none is made before it begins.

    The group has a task of its own: until Python 3.13 a `TaskGroup` that fails leaves its task with a request to cancel
    it that nobody takes back, and until 3.11.3 `asyncio.timeout` then ends such a task instead of raising an error.

    Errors: those of the works, in an `ExceptionGroup`.
    """
    await asyncio.create_task(_in_group(works))


async def _in_group(works: Iterable[Coroutine[Any, Any, None]]) -> None:
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)
