"""Ten invocations in a batch, number 5 misbehaves: it alone fails, with the right status, and nothing runs twice."""

import gc
import logging
from collections.abc import AsyncIterator
from pathlib import Path
from time import monotonic

import pytest
import pytest_asyncio

from processors.runtimes.confinement import Level
from processors.runtimes.contract import Status
from processors.runtimes.pool import ProcessPool
from tests.processors.runtimes.languages import LANGUAGES, Twins, events, numbered, statuses, webhook

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

TIMEOUT_MS = 500
"""Long enough that on a busy machine none of the others takes it."""
BAD = 5


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[ProcessPool]:
    # Confined, a function could not note its runs in a file, nor end its runner in some of these ways.
    async with ProcessPool(node=None, max_runners=3, idle_s=60, isolation=Level.OFF) as pool:
        yield pool


def faulty(language: str, fault: str) -> Twins:
    """Notes each run in a file, then does what is told for the webhook with number 5."""
    # `Buffer.constructor` is Node's own `Function`: a vm context is no boundary, and these faults make use of that.
    javascript = f"""
const process = Buffer.constructor('return process')()
const fs = process.getBuiltinModule('fs')
async function onRequest(request, settings) {{
  const {{n}} = request.json()
  fs.appendFileSync(settings.path, n + '\\n')
  if (n === {BAD}) {{ {fault} }}
  Segment.track({{event: 'Seen', userId: 'u', properties: {{n}}}})
}}
"""
    python = f"""
import asyncio, ctypes, os, re, signal, sys, time
async def on_request(request, settings):
    n = request.json()['n']
    with open(settings['path'], 'a') as file: file.write(f'{{n}}\\n')
    if n == {BAD}:
        {fault}
    segment.track(event='Seen', user_id='u', properties={{'n': n}})
"""
    return Twins(javascript, python)


FAULTS = [
    ("javascript", "throw", "throw new Error('bad')", Status.ERROR),
    ("javascript", "throw null", "throw null", Status.ERROR),
    ("javascript", "throw a hostile error", "throw {get name() { throw 1 }, get stack() { throw 2 }}", Status.ERROR),
    ("javascript", "stack overflow", "(function f() { f() })()", Status.ERROR),
    ("javascript", "endless loop", "while (true) {}", Status.TIMEOUT),
    ("javascript", "endless loop after an await", "await null; while (true) {}", Status.TIMEOUT),
    ("javascript", "endless microtasks", "while (true) await null", Status.TIMEOUT),
    ("javascript", "promise that never resolves", "await new Promise(() => {})", Status.TIMEOUT),
    ("javascript", "long wait", "await new Promise((done) => setTimeout(done, 60000))", Status.TIMEOUT),
    ("javascript", "catastrophic pattern", "/^(a+)+$/.test('a'.repeat(40) + 'b')", Status.TIMEOUT),
    ("javascript", "end of the thread", "process.exit(3)", Status.CRASH),
    ("javascript", "end of the process", "process.kill(process.pid, 'SIGKILL'); while (true) {}", Status.CRASH),
    (
        "javascript",
        "one long call of the engine",
        "process.getBuiltinModule('crypto').pbkdf2Sync('a', 'b', 1e9, 64, 'sha512')",
        Status.TIMEOUT,
    ),
    ("javascript", "heap used up", "const a = []; while (true) a.push(new Array(1e5).fill({}))", Status.MEMORY),
    ("python", "throw", "raise RuntimeError('bad')", Status.ERROR),
    ("python", "stack overflow", "(lambda f: f(f))(lambda f: f(f))", Status.ERROR),
    ("python", "exit", "sys.exit(3)", Status.ERROR),
    ("python", "cancels itself", "asyncio.current_task().cancel(); await asyncio.sleep(1)", Status.ERROR),
    ("python", "endless loop", "while True: pass", Status.TIMEOUT),
    ("python", "endless loop after an await", "await asyncio.sleep(0)\n        while True: pass", Status.TIMEOUT),
    ("python", "endless turns of the loop", "while True: await asyncio.sleep(0)", Status.TIMEOUT),
    ("python", "future that never resolves", "await asyncio.get_running_loop().create_future()", Status.TIMEOUT),
    ("python", "long wait", "await asyncio.sleep(60)", Status.TIMEOUT),
    ("python", "blocking wait", "time.sleep(60)", Status.TIMEOUT),
    ("python", "catastrophic pattern", "re.match('(a+)+$', 'a' * 40 + 'b')", Status.TIMEOUT),
    ("python", "task that blocks the loop", "await asyncio.gather(asyncio.to_thread(time.sleep, 60))", Status.TIMEOUT),
    ("python", "loop in C", "sum(range(10**11))", Status.TIMEOUT),
    ("python", "one long call into C", "7**10**8", Status.TIMEOUT),
    (
        "python",
        "takes no limit for an answer",
        "while True:\n            try: time.sleep(60)\n            except BaseException: pass",
        Status.TIMEOUT,
    ),
    (
        "python",
        "limit caught",
        "try:\n            while True: pass\n        except BaseException: pass",
        Status.TIMEOUT,
    ),
    ("python", "end of the process", "os._exit(3)", Status.CRASH),
    ("python", "killed", "os.kill(os.getpid(), signal.SIGKILL)", Status.CRASH),
    ("python", "segmentation fault", "ctypes.string_at(0)", Status.CRASH),
    ("python", "memory used up", "a = []\n        while True: a.append(bytearray(1_000_000))", Status.MEMORY),
    (
        "python",
        "memory used up and kept",
        "a = globals().setdefault('a', [])\n        while True: a.append([0] * 1000)",
        Status.MEMORY,
    ),
]


@pytest.mark.parametrize(
    ("language", "fault", "status"), [pytest.param(f[0], f[2], f[3], id=f"{f[0]}: {f[1]}") for f in FAULTS]
)
async def test_only_the_culprit_fails(
    pool: ProcessPool, tmp_path: Path, language: str, fault: str, status: Status
) -> None:
    runs = tmp_path / "runs"
    options = {"timeout_ms": TIMEOUT_MS} if status is Status.TIMEOUT else {}
    code = faulty(language, fault).code(language, settings={"path": str(runs)}, **options)

    outcomes = await pool.run(code, numbered(10))

    assert statuses(outcomes) == ["ok"] * 5 + [str(status)] + ["ok"] * 4
    assert [event["properties"]["n"] for o in outcomes for event in events(o)] == [0, 1, 2, 3, 4, 6, 7, 8, 9]
    assert runs.read_text().split() == [str(n) for n in range(10)]
    assert outcomes[BAD].error is not None


@pytest.mark.parametrize("language", LANGUAGES)
async def test_time_limit_is_held_to_and_said(pool: ProcessPool, language: str) -> None:
    function = Twins("onRequest = () => { while (true) {} }", "def on_request(request, settings):\n  while True: pass")
    code = function.code(language, timeout_ms=1_000)
    assert await pool.check(code) is None
    started = monotonic()

    [outcome] = await pool.run(code, [webhook()])

    # 1 s, one tick of 25 or 50 ms, a new thread for JavaScript, and much room for a busy machine.
    assert 1.0 <= monotonic() - started < 2.0
    assert outcome.error is not None
    assert outcome.error.kind == "Timeout"
    assert "1000 ms" in outcome.error.message


@pytest.mark.parametrize("language", LANGUAGES)
async def test_several_culprits_in_one_batch_each_fail_alone(pool: ProcessPool, language: str) -> None:
    function = Twins(
        """
        async function onRequest(request) {
          const {n} = request.json()
          if (n % 3 === 0) while (true) {}
          if (n % 3 === 1) throw new Error('bad')
        }
        """,
        """
        def on_request(request, settings):
            n = request.json()['n']
            while n % 3 == 0: pass
            if n % 3 == 1: raise ValueError('bad')
        """,
    )

    outcomes = await pool.run(function.code(language, timeout_ms=TIMEOUT_MS), numbered(9))

    assert statuses(outcomes) == ["timeout", "error", "ok"] * 3


async def test_crash_tells_the_last_words(pool: ProcessPool) -> None:
    code = Twins("", "import ctypes\ndef on_request(request, settings):\n    ctypes.string_at(0)\n").code("python")

    [outcome] = await pool.run(code, [webhook()])

    assert outcome.error is not None
    assert outcome.error.kind == "RunnerCrashed"
    assert "SIGSEGV" in outcome.error.message


async def test_a_runner_that_is_ended_for_its_memory_leaves_no_error_that_nobody_heard(
    pool: ProcessPool, caplog: pytest.LogCaptureFixture
) -> None:
    text = "const kept = []\nonRequest = () => { while (true) kept.push(Buffer.alloc(1 << 24, 1)) }"

    outcomes = await pool.run(Twins(text, "").code("javascript", timeout_ms=20_000), [webhook()])
    gc.collect()

    assert statuses(outcomes) == ["memory"]
    assert [record for record in caplog.records if record.name == "asyncio" and record.levelno >= logging.ERROR] == []


async def test_forged_results_are_a_crash(pool: ProcessPool) -> None:
    text = """
    import os
    def on_request(request, settings):
        os.write(4, b'{"i":"no number"}' + bytes([10]))
    """

    outcomes = await pool.run(Twins("", text).code("python"), [webhook(), webhook()])

    assert statuses(outcomes) == ["crash", "crash"]
