"""When a runner is replaced, and when a source is made to work alone."""

import asyncio

import pytest

from processors.runtimes import footprint, probation, runner
from processors.runtimes.contract import Outcome, Status
from processors.runtimes.pool import ProcessPool
from tests.processors.runtimes.languages import LANGUAGES, TRACK_NUMBER, Twins, handlers, numbered, statuses, webhook

STARTS = Twins(
    "let n = 0\nonRequest = async (request) => { n += 1; console.log(n); %s }",
    "import asyncio, threading\nn = 0\nasync def on_request(request, settings):\n"
    "    global n\n    n += 1\n    print(n)\n    %s\n",
)
"""Logs how many invocations its process has seen, and does something."""


def counting(javascript: str = "", python: str = "pass") -> Twins:
    return Twins(STARTS.javascript % javascript, STARTS.python % python)


def seen(outcome: Outcome) -> int:
    """What the function said of itself."""
    return int(outcome.logs[0].text)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_runner_goes_after_its_number_of_invocations(language: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "MOST_INVOCATIONS", 5)
    code = counting().code(language)
    async with ProcessPool(None, max_runners=1, idle_s=60) as pool:
        first = await pool.run(code, numbered(3))
        second = await pool.run(code, numbered(3))
        third = await pool.run(code, numbered(1))

    # The batch in which the number is passed is finished first.
    assert [seen(outcome) for outcome in (*first, *second, *third)] == [1, 2, 3, 4, 5, 6, 1]


LATE = {
    "javascript": "setTimeout(() => {}, 0); Promise.reject(new Error('nobody waits'))",
    "python": "asyncio.get_running_loop().call_soon(lambda: 1 / 0); await asyncio.sleep(0)",
}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_runner_goes_after_an_error_of_what_was_left_running(language: str) -> None:
    code = counting(**LATE).code(language)
    async with ProcessPool(None, max_runners=1, idle_s=60) as pool:
        first = await pool.run(code, numbered(2))
        # The rejection is noticed after the handler's end, by then the batch may have ended.
        second = await pool.run(code, numbered(1))
        third = await pool.run(code, numbered(1))

    assert statuses([*first, *second, *third]) == ["ok"] * 4
    assert [seen(outcome) for outcome in first] == [1, 2]
    assert 1 in (seen(second[0]), seen(third[0]))


async def test_runner_goes_after_a_thread_left_running_failed() -> None:
    code = counting("", "t = threading.Thread(target=lambda: 1 / 0); t.start(); t.join()").code("python")
    async with ProcessPool(None, max_runners=1, idle_s=60) as pool:
        first = await pool.run(code, numbered(2))
        [second] = await pool.run(code, numbered(1))

    assert [seen(outcome) for outcome in (*first, second)] == [1, 2, 1]


async def test_runner_that_doubled_goes_when_its_batch_is_done(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(footprint, "LOOK_S", 0.0)
    function = counting("", "globals().setdefault('kept', bytearray(100_000_000))")
    async with ProcessPool(None, max_runners=1, idle_s=60) as pool:
        first = await pool.run(function.code("python", "a"), numbered(2))
        [second] = await pool.run(function.code("python", "a"), numbered(1))

    assert [seen(outcome) for outcome in (*first, second)] == [1, 2, 1]


BUFFERS = """
const kept = []
onRequest = async (request) => {
  while (request.json().n === 1) {
    kept.push(Buffer.alloc(8_000_000, 1))
    await new Promise((done) => setTimeout(done, 5))
  }
}
"""


async def test_memory_outside_of_the_heap_is_limited_and_only_the_culprit_fails() -> None:
    code = Twins(BUFFERS, "").code("javascript", timeout_ms=30_000)
    async with ProcessPool(None, max_runners=1, idle_s=60) as pool:
        outcomes = await pool.run(code, numbered(3))

    assert statuses(outcomes) == ["ok", "memory", "ok"]
    assert outcomes[1].error is not None
    assert outcomes[1].error.kind == "OutOfMemory"


@pytest.mark.parametrize("language", LANGUAGES)
async def test_source_with_three_faults_works_alone_and_others_do_not_wait(
    language: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(probation, "FIRST_PAUSE_S", 60.0)
    function = handlers("while (request.json().n < 3) {}", "while request.json()['n'] < 3: pass")
    code = function.code(language, "bad", timeout_ms=50)
    async with ProcessPool(None, max_runners=1, idle_s=60) as pool:
        bad = await pool.run(code, numbered(3))
        waiting = asyncio.create_task(pool.run(code, [webhook({"n": 3})]))
        [other] = await pool.run(TRACK_NUMBER.code(language, "good"), numbered(1))
        is_waiting = not waiting.done()

    assert statuses(bad) == ["timeout"] * 3
    assert other.status is Status.OK
    assert is_waiting
    assert statuses(await waiting) == ["infra"]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_source_on_probation_still_has_all_its_outcomes(language: str) -> None:
    function = handlers("if (request.json().n % 2) while (true) {}", "while request.json()['n'] % 2: pass")
    async with ProcessPool(None, max_runners=2, idle_s=60) as pool:
        outcomes = await pool.run(function.code(language, timeout_ms=300), numbered(10))

    assert statuses(outcomes) == ["ok", "timeout"] * 5
