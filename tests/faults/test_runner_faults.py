"""Row 21: each fault of a function many times; it ends in time and as what it is, its neighbours run, nothing stays."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import psutil
import pytest

from processors.runtimes.contract import Outcome
from processors.runtimes.pool import ProcessPool
from tests.faults.trials import trials
from tests.processors.runtimes.languages import LANGUAGES, TRACK_NUMBER, Twins, events, handlers, numbered, statuses

AT_ONCE = 4
LATEST_S = 1.5
"""The aim is 1.1 s. The rest is for the machine: endless loops of four runners and more share its cores."""
KEPT_MB = 16
"""What the pool's process may grow by while 4 MB of output are read at a time."""

PROCESS = "const process = Buffer.constructor('return process')()\nconst fs = process.getBuiltinModule('fs')\n"


@dataclass(frozen=True)
class Fault:
    """What the culprit does, by language, and how it may end: where two limits compete, a busy machine decides."""

    javascript: str
    python: str
    endings: frozenset[str]
    is_timed: bool = False
    """It has to end at the limit of 1 s."""
    timeout_ms: int = 1_000

    @property
    def function(self) -> Twins:
        """Number 2 of a batch does it, the others send an event with their number."""
        javascript = f"{PROCESS}const n = request.json().n\nif (n === 2) {{ {self.javascript} }}\n"
        python = f"import asyncio, os, sys, time\nn = request.json()['n']\nif n == 2:\n    {self.python}\n"
        sends = TRACK_NUMBER.javascript.splitlines()[1].strip(), TRACK_NUMBER.python.splitlines()[1].strip()
        return handlers(javascript + sends[0], python + sends[1])


def fault(javascript: str, python: str, *endings: str, is_timed: bool = False, timeout_ms: int = 1_000) -> Fault:
    return Fault(javascript, python, frozenset(endings), is_timed, timeout_ms)


FAULTS = {
    "endless loop": fault("while (true) {}", "while True: pass", "timeout", is_timed=True),
    "sleep": fault("await new Promise((done) => setTimeout(done, 60000))", "time.sleep(60)", "timeout", is_timed=True),
    "a little too long": fault(
        "await new Promise((done) => setTimeout(done, 1150))", "await asyncio.sleep(1.15)", "timeout", is_timed=True
    ),
    "fork bomb": fault(
        "const spawn = process.getBuiltinModule('child_process').spawnSync\n"
        "while (true) { const child = spawn(process.execPath, ['-e', '0']); if (child.error) throw child.error }",
        "while True: os.fork()",
        "error",
    ),
    "4 GiB": fault(
        "const kept = []; while (true) kept.push(Buffer.alloc(1 << 26, 1))",
        "kept = []\n    while True: kept.append(b'x' * (1 << 26))",
        "memory",
        "timeout",
        timeout_ms=10_000,
    ),
    "exit": fault("process.exit(3)", "os._exit(3)", "crash"),
    "SIGKILL": fault("process.kill(process.pid, 'SIGKILL'); while (true) {}", "os.kill(os.getpid(), 9)", "crash"),
    "descriptors": fault("while (true) fs.openSync(__filename)", "while True: os.pipe()", "error"),
    "output": fault(
        "while (true) console.log('x'.repeat(1e5))", "while True: print('x' * 100_000)", "timeout", is_timed=True
    ),
    "messages": fault(
        "while (true) Segment.track({event: 'A', userId: '1'})",
        "while True: segment.track(event='A', user_id='1')",
        "too_large",
        "timeout",
    ),
    "frame channel": fault(
        "fs.writeSync(3, Buffer.from([1, 0, 0, 0, 99])); while (true) {}",
        "os.write(3, bytes([1, 0, 0, 0, 99])); time.sleep(60)",
        "crash",
    ),
}


@dataclass
class Tally:
    """What became of the trials of one fault."""

    endings: dict[str, int] = field(default_factory=dict)
    took_s: list[float] = field(default_factory=list)
    mixed_up: list[Sequence[Outcome]] = field(default_factory=list)

    def add(self, outcomes: Sequence[Outcome]) -> None:
        said = statuses(outcomes)
        ending = said.pop(2)
        self.endings[ending] = self.endings.get(ending, 0) + 1
        self.took_s.append(outcomes[2].duration_ms / 1_000)
        numbers = [[event["properties"]["n"] for event in events(outcome)] for outcome in outcomes]
        if said != ["ok"] * 3 or numbers != [[0], [1], [], [3]]:
            self.mixed_up.append(outcomes)


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("name", FAULTS)
@trials("count", short=50, full=1_000, deadline_s=3_600)
async def test_a_fault_ends_alone_in_time_and_as_what_it_is(name: str, language: str, count: int) -> None:
    others = {child.pid for child in psutil.Process().children(recursive=True)}
    tally, process = Tally(), psutil.Process()
    async with ProcessPool(None, max_runners=AT_ONCE + 1, idle_s=1.0) as pool:
        await try_once(pool, name, language, Tally())
        held_mb = process.memory_info().rss / 1e6
        waiting = list(range(count))

        async def work() -> None:
            while waiting:
                waiting.pop()
                await try_once(pool, name, language, tally)

        async with asyncio.TaskGroup() as tasks:
            for _ in range(AT_ONCE):
                tasks.create_task(work())
        kept_mb = process.memory_info().rss / 1e6 - held_mb
        is_well = statuses(await pool.run(TRACK_NUMBER.code(language), numbered(3)))

    took_s = sorted(tally.took_s)
    print(
        f"row 21, {language}, {name}: {count} times, {tally.endings}, {took_s[0]:.3f} to {took_s[-1]:.3f} s "
        f"(median {took_s[len(took_s) // 2]:.3f}), {kept_mb:+.1f} MB"
    )
    assert tally.endings.keys() <= FAULTS[name].endings
    assert tally.mixed_up == []
    assert is_well == ["ok"] * 3
    if FAULTS[name].is_timed:
        assert took_s[0] >= 0.999
        assert took_s[-1] < LATEST_S
    assert kept_mb < KEPT_MB
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= others


async def try_once(pool: ProcessPool, name: str, language: str, tally: Tally) -> None:
    """A source of its own has the fault, while a healthy one runs beside it."""
    culprit = FAULTS[name].function.code(language, timeout_ms=FAULTS[name].timeout_ms)
    async with asyncio.timeout(60), asyncio.TaskGroup() as tasks:
        outcomes = tasks.create_task(pool.run(culprit, numbered(4)))
        neighbour = tasks.create_task(pool.run(TRACK_NUMBER.code(language, "neighbour"), numbered(5)))
    tally.add(outcomes.result())
    assert statuses(neighbour.result()) == ["ok"] * 5
