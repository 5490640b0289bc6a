"""Works beside one another, of which one may fail, in a task that goes on."""

import asyncio

import pytest

from processors.together import together


async def test_all_are_done() -> None:
    done: list[int] = []

    async def work(number: int) -> None:
        await asyncio.sleep(0)
        done.append(number)

    await together(work(number) for number in range(3))

    assert done == [0, 1, 2]


async def test_when_one_fails_the_others_are_cancelled_and_the_task_goes_on() -> None:
    other = asyncio.create_task(asyncio.Event().wait())

    async def wait() -> None:
        await other

    with pytest.raises(ExceptionGroup) as failed:
        await together([wait(), fail()])

    task = asyncio.current_task()
    assert failed.value.subgroup(KeyError) is not None
    assert other.cancelled()
    assert task is not None
    assert not task.cancelling()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.001):
            await asyncio.Event().wait()


async def test_cancelled_it_ends_when_the_works_have_ended() -> None:
    ended: list[str] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append("work")

    both = asyncio.create_task(together([work(), work()]))
    await asyncio.sleep(0.01)
    both.cancel()
    with pytest.raises(asyncio.CancelledError):
        await both

    assert ended == ["work", "work"]


async def fail() -> None:
    raise KeyError("bug")
