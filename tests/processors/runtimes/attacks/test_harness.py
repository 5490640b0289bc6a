"""What a function does to its own harness, channel, ledger and output is its own affair: the pool and others go on."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from processors.runtimes.confinement import Level
from processors.runtimes.contract import Status
from processors.runtimes.pool import ProcessPool
from tests.processors.runtimes.languages import FILES, TRACK_NUMBER, Twins, events, numbered, statuses, webhook

pytestmark = [pytest.mark.asyncio(loop_scope="module")]

TIMEOUT_MS = 500


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[ProcessPool]:
    async with ProcessPool(node=None, max_runners=4, idle_s=60, isolation=Level.STRICT) as pool:
        yield pool


OUTSIDE = """
const process = Buffer.constructor('return process')()
const outside = Buffer.constructor('return globalThis')()
const fs = process.getBuiltinModule('fs')
"""

TAMPERING = {
    "javascript": {
        "noise on the channel": "fs.writeSync(3, Buffer.alloc(100_000, 255))",
        "a frame that ends the batch": r"""
            const header = '{"batch":1,"recycle":null}\n'
            const frame = Buffer.alloc(5 + header.length)
            frame.writeUInt32LE(1 + header.length); frame[4] = 6; frame.write(header, 5)
            fs.writeSync(3, frame)""",
        "a frame of four gigabytes": "fs.writeSync(3, Buffer.from([255, 255, 255, 255, 6]))",
        "the channel closed": "fs.closeSync(3)",
        "the ledger closed": "fs.closeSync(4)",
        "the ledger erased": "fs.ftruncateSync(4, 0)",
        "the ledger full": "try { for (;;) fs.writeSync(4, Buffer.alloc(8_000_000, 120)) } catch {}",
        "lines of other batches": r"""fs.writeSync(4, '{"i":-1,"ms":1,"s":"ok"}\n{"i":99999,"ms":1,"s":"ok"}\n')""",
        "endless lines": r"""fs.writeSync(4, '{"i":0,"ms":1,"s":"ok"}\n'.repeat(400_000))""",
        "nested lines": r"""fs.writeSync(4, '{"i":0,"ev":' + '['.repeat(1_000_000) + '\n')""",
        "prototypes polluted": """
            for (const realm of [globalThis, outside]) {
              realm.Object.prototype.status = realm.Object.prototype.i = realm.Object.prototype.s = 'infra'
              realm.Object.prototype.toJSON = () => ({i: 1, s: 'infra'})
              realm.Array.prototype.push = realm.Array.prototype.map = () => { throw new Error('polluted') }
              realm.Promise.prototype.then = () => {}
              realm.JSON.stringify = () => '{"i":7}'
              realm.String.prototype.toString = () => 'polluted'
              realm.Reflect.apply = realm.Function.prototype.call = () => 'polluted'
            }""",
        "the thread's port used": """
            const { parentPort } = process.getBuiltinModule('worker_threads')
            for (const message of [{done: true}, {loaded: 1}, {failed: {}}, null]) parentPort.postMessage(message)""",
        "floods of output": """
            for (let n = 0; n < 100; n++) { fs.writeSync(2, 'x'.repeat(65_536)); console.log('x'.repeat(65_536)) }""",
        "an end that leaves nothing": "fs.ftruncateSync(4, 0); process.kill(process.pid, 'SIGKILL'); for (;;);",
    },
    "python": {
        "noise on the channel": "os.write(3, b'x' * 100_000)",
        "a frame that ends the batch": (
            """frame = b'{"batch":1,"recycle":null}\\n'; os.write(3, struct.pack('<IB', 1 + len(frame), 6) + frame)"""
        ),
        "a frame of four gigabytes": "os.write(3, bytes([255, 255, 255, 255, 6]))",
        "the channel closed": "os.close(3)",
        "the ledger closed": "os.close(4)",
        "the ledger erased": "os.ftruncate(4, 0)",
        "the ledger full": "\n    try:\n        while True: os.write(4, b'x' * 8_000_000)\n    except OSError: pass",
        "lines of other batches": """os.write(4, b'{"i":-1,"ms":1,"s":"ok"}\\n{"i":99999,"ms":1,"s":"ok"}\\n')""",
        "endless lines": """os.write(4, b'{"i":0,"ms":1,"s":"ok"}\\n' * 400_000)""",
        "nested lines": """os.write(4, b'{"i":0,"ev":' + b'[' * 1_000_000 + b'\\n')""",
        "the harness replaced": (
            "[setattr(module, name, None) for title, module in list(sys.modules.items()) if 'hookmill' in title"
            " for name in list(vars(module)) if not name.startswith('__')]"
        ),
        "the timers stopped": (
            "signal.setitimer(signal.ITIMER_REAL, 0); signal.signal(signal.SIGALRM, signal.SIG_IGN);"
            " time.sleep(request.json()['n'] % 2 * 60)"
        ),
        "floods of output": "[(os.write(2, b'x' * 65_536), print('x' * 65_536)) for _ in range(100)]",
        "an end that leaves nothing": "os.ftruncate(4, 0); os._exit(0)",
    },
}


def tampering(language: str, action: str) -> Twins:
    """Does it in every invocation, then sends a message."""
    javascript = (
        f"{OUTSIDE}\nasync function onRequest(request) {{ {action}\nSegment.track({{event: 'x', userId: 'u'}}) }}"
    )
    imports = "import os, signal, struct, sys, time"
    python = f"{imports}\ndef on_request(request, settings):\n    {action}\n    segment.track(event='x', user_id='u')\n"
    return Twins(javascript, python if language == "python" else "")


@pytest.mark.parametrize(
    ("language", "title"), [(language, title) for language, actions in TAMPERING.items() for title in actions]
)
async def test_tampering_is_answered_and_hurts_nobody_else(pool: ProcessPool, language: str, title: str) -> None:
    neighbour = TRACK_NUMBER.code(language)
    await pool.run(neighbour, numbered(1))
    code = tampering(language, TAMPERING[language][title]).code(language, timeout_ms=TIMEOUT_MS)

    outcomes = await pool.run(code, numbered(3))

    # Never "infra": nothing would be counted, and the webhook tried for ever.
    assert set(statuses(outcomes)) <= set(Status) - {Status.INFRA}
    seen = await pool.run(neighbour, numbered(3))
    assert [event["properties"]["n"] for outcome in seen for event in events(outcome)] == [0, 1, 2]
    repaired = TRACK_NUMBER.code(language, source=code.source, version="2")
    assert statuses(await pool.run(repaired, numbered(2))) == ["ok", "ok"]


@pytest.mark.parametrize("language", FILES)
async def test_an_end_that_leaves_no_trace_is_a_crash(pool: ProcessPool, language: str) -> None:
    action = TAMPERING[language]["an end that leaves nothing"]

    outcomes = await pool.run(tampering(language, action).code(language), [webhook({"n": 0})])

    assert statuses(outcomes) == ["crash"]
