"""Functions that attack their own pool through what every runner has: its channel, its ledger, its standard error."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from processors.runtimes import progress
from processors.runtimes.pool import ProcessPool
from tests.processors.runtimes.languages import LANGUAGES, TRACK_NUMBER, Twins, numbered, statuses

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

JAVASCRIPT = """
const fs = Buffer.constructor('return process')().getBuiltinModule('fs')
const write = (descriptor, text) => fs.writeSync(descriptor, text)
const frame = (type, text) => {
  const bytes = Buffer.from(' '.repeat(5) + text)
  bytes.writeUInt32LE(text.length + 1)
  bytes[4] = type
  return bytes
}
async function onRequest(request) {
  if (request.json().n !== 2) return
  %s
}
"""
PYTHON = """
import faulthandler, os, signal, struct, time
def write(descriptor, text):
    content = text if isinstance(text, bytes) else text.encode()
    while content: content = content[os.write(descriptor, content):]
def frame(kind, text):
    return struct.pack('<IB', len(text) + 1, kind) + text.encode()
def on_request(request, settings):
    if request.json()['n'] != 2: return
    %s
"""


def attacking(javascript: str, python: str) -> Twins:
    """The third invocation does this."""
    return Twins(JAVASCRIPT % javascript, PYTHON % python)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[ProcessPool]:
    async with ProcessPool(node=None, max_runners=3, idle_s=60) as pool:
        yield pool


ATTACKS = {
    "an answer for another batch": (
        attacking(
            "write(3, frame(6, '{\"batch\":77}\\n')); while (true) {}",
            "write(3, frame(6, '{\"batch\":77}\\n')); time.sleep(60)",
        ),
        "crash",
    ),
    "an answer of a type that is not": (
        attacking("write(3, frame(99, '{}\\n')); while (true) {}", "write(3, frame(99, '{}\\n')); time.sleep(60)"),
        "crash",
    ),
    "an answer of 4 GB": (
        attacking(
            "write(3, Buffer.from([255, 255, 255, 255, 6])); while (true) {}",
            "write(3, bytes([255, 255, 255, 255, 6])); time.sleep(60)",
        ),
        "crash",
    ),
    "an answer that is no JSON": (
        attacking(
            "write(3, frame(6, 'nonsense\\n')); while (true) {}", "write(3, frame(6, 'nonsense')); time.sleep(9)"
        ),
        "crash",
    ),
    "a hundred megabytes of answers": (
        attacking(
            "for (let i = 0; i < 1e5; i++) write(3, frame(2, ' '.repeat(1000)))",
            "for _ in range(100_000): write(3, frame(2, ' ' * 1000))",
        ),
        "crash",
    ),
    "a ledger over its limit": (
        attacking("while (true) write(4, ' '.repeat(1e6))", "while True: write(4, b' ' * 1_000_000)"),
        "crash",
    ),
    "a ledger of millions of lines": (
        attacking(
            "for (let i = 0; i < 50; i++) write(4, '{\"i\":9}\\n'.repeat(1e5))",
            "write(4, b'{\"i\":9}\\n' * 5_000_000)",
        ),
        "crash",
    ),
}


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("attack", ATTACKS)
async def test_attack_on_the_pool_ends_with_the_attacker(pool: ProcessPool, language: str, attack: str) -> None:
    function, expected = ATTACKS[attack]

    outcomes = await asyncio.wait_for(pool.run(function.code(language, timeout_ms=3_000), numbered(4)), 60)

    # What had finished before counts, what comes after runs in another process.
    assert statuses(outcomes)[:2] == ["ok", "ok"]
    assert statuses(outcomes)[2] in (expected, "error")
    assert statuses(outcomes)[3] == "ok"
    assert statuses(await pool.run(TRACK_NUMBER.code(language), numbered(2))) == ["ok", "ok"]


async def test_function_that_pretends_to_get_on_loses_its_runner(
    pool: ProcessPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without its own timers it could write marks into its ledger for ever, and cut it off before it is full."""
    monkeypatch.setattr(progress, "START_DEADLINE_S", 1.0)
    code = attacking(
        "",
        "signal.setitimer(signal.ITIMER_REAL, 0); faulthandler.cancel_dump_traceback_later()\n"
        '    while True: os.ftruncate(4, 0); write(4, \'{"m":"+"}\\n\'); time.sleep(0.01)',
    ).code("python", timeout_ms=200)

    [outcome] = await asyncio.wait_for(pool.run(code, numbered(3)[2:]), 30)

    assert outcome.status == "timeout"


async def test_flood_on_standard_error_does_not_keep_the_pool_busy(pool: ProcessPool) -> None:
    code = attacking("", "while True: os.write(2, b'x' * 65_536)").code("python", timeout_ms=1_500)
    assert await pool.check(code) is None
    started = time.process_time()

    outcomes = await pool.run(code, numbered(4))

    assert statuses(outcomes) == ["ok", "ok", "timeout", "ok"]
    # Read as fast as it comes, the 1.5 s would be the pool's as well.
    assert time.process_time() - started < 0.7
