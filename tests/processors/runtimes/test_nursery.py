"""Where runners come from: forks of a zygote, and a Node.js process that waits for its function."""

import asyncio
from collections.abc import Callable

import psutil
import pytest

from processors.runtimes.confinement import Level
from processors.runtimes.contract import Status
from processors.runtimes.pool import ProcessPool
from tests.processors.runtimes.languages import LANGUAGES, TRACK_NUMBER, Twins, events, handlers, numbered, statuses

DEADLINE_S = 40.0
SLOW = handlers("await new Promise((done) => setTimeout(done, 600))", "import asyncio; await asyncio.sleep(0.6)")


async def until(condition: Callable[[], bool]) -> None:
    """The condition holds; asked often."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


def zygote() -> psutil.Process:
    """The only child of this process that is called after its first module."""
    [found] = [child for child in psutil.Process().children() if "hookmill_runtime.zygote" in " ".join(child.cmdline())]
    return found


def unassigned(pool: ProcessPool) -> list[psutil.Process]:
    """Runners that have no function."""
    return [child for child in zygote().children() if child.pid not in pool.pids]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_runners_are_forked_by_the_zygote(language: str) -> None:
    async with ProcessPool(None, max_runners=2, idle_s=60) as pool:
        await pool.run(TRACK_NUMBER.code(language), numbered(1))

        assert psutil.Process(pool.pids[0]).ppid() == zygote().pid


async def test_next_function_in_javascript_gets_the_process_that_waits_for_one() -> None:
    async with ProcessPool(None, max_runners=4, idle_s=60) as pool:
        await pool.run(TRACK_NUMBER.code("javascript"), numbered(1))
        first = set(pool.pids)
        await until(lambda: len(unassigned(pool)) == 1)
        [waiting] = unassigned(pool)

        await pool.run(TRACK_NUMBER.code("javascript"), numbered(1))

        assert set(pool.pids) - first == {waiting.pid}
        await until(lambda: len(unassigned(pool)) == 1)


async def test_waiting_process_that_was_killed_is_not_missed() -> None:
    async with ProcessPool(None, max_runners=4, idle_s=60) as pool:
        await pool.run(TRACK_NUMBER.code("javascript"), numbered(1))
        await until(lambda: len(unassigned(pool)) == 1)
        [waiting] = unassigned(pool)
        waiting.kill()
        await until(lambda: not waiting.is_running())

        assert statuses(await pool.run(TRACK_NUMBER.code("javascript"), numbered(2))) == ["ok"] * 2


async def test_functions_in_python_need_no_waiting_process() -> None:
    async with ProcessPool(None, max_runners=4, idle_s=60) as pool:
        await pool.run(TRACK_NUMBER.code("python"), numbered(1))

        assert unassigned(pool) == []


@pytest.mark.parametrize("language", LANGUAGES)
async def test_lost_zygote_is_replaced_and_nobody_is_blamed(language: str) -> None:
    code = SLOW.code(language)
    async with ProcessPool(None, max_runners=2, idle_s=60) as pool:
        assert await pool.check(code) is None
        lost = zygote()
        under_way = asyncio.create_task(pool.run(code, numbered(3)))
        await asyncio.sleep(0.05)
        lost.kill()

        assert statuses(await under_way) == ["ok"] * 3
        assert zygote().pid != lost.pid


async def test_what_a_runner_started_ends_with_it() -> None:
    function = Twins(
        "",
        """
        import os, time
        def on_request(request, settings):
            child = os.fork()
            if child == 0:
                time.sleep(600)
            segment.track(event='Forked', user_id=str(child))
        """,
    )
    async with ProcessPool(None, max_runners=1, idle_s=0.05, isolation=Level.OFF) as pool:
        [outcome] = await pool.run(function.code("python"), numbered(1))
        assert outcome.status is Status.OK
        child = int(events(outcome)[0]["userId"])

        await until(lambda: not psutil.pid_exists(child))
