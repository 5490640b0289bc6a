"""Runners: invocations per CPU second of the child processes, and what an invocation costs the parent."""

import asyncio
import time

import psutil

from bench import report
from bench.backlog import FILE_NAMES, function_of
from bench.load import body_of
from console.broker import LocalKafka
from processors.runtimes.contract import Code, Invocation, Status
from processors.runtimes.pool import ProcessPool

BODY_BYTES = 2_000
BATCHES = (1, 16, 128)
INVOCATIONS = {1: 2_000, 16: 16_000, 128: 32_000}
AT_ONCE = 2
RUNS = 3


def run(broker: LocalKafka) -> None:
    """Prints a line per language and batch size. No log takes part."""
    for language in FILE_NAMES:
        for batch in BATCHES:
            runs = asyncio.run(measure(language, batch))
            parent_us = sorted(cost for _, cost in runs)[len(runs) // 2]
            name = f"runner, {language}, batches of {batch}"
            report.line(name, "invocations/s", [rate for rate, _ in runs], note=f"  parent {parent_us:.1f} us each")


async def measure(language: str, batch: int) -> list[tuple[float, float]]:
    """Per run: invocations per CPU second of the children, CPU microseconds of this process per invocation."""
    code = code_of(language)
    invocations = [invocation(n) for n in range(batch)]
    results = []
    async with ProcessPool(None, max_runners=AT_ONCE, idle_s=60.0) as pool:
        await asyncio.gather(*(work(pool, code, invocations, 2_000 // batch) for _ in range(AT_ONCE)))
        for _ in range(RUNS):
            rounds = INVOCATIONS[batch] // batch // AT_ONCE
            children, parent = children_cpu_s(), time.process_time()
            await asyncio.gather(*(work(pool, code, invocations, rounds) for _ in range(AT_ONCE)))
            done = rounds * batch * AT_ONCE
            parent_s = time.process_time() - parent
            results.append((done / (children_cpu_s() - children), 1e6 * parent_s / done))
    return results


async def work(pool: ProcessPool, code: Code, invocations: list[Invocation], rounds: int) -> None:
    for _ in range(rounds):
        outcomes = await pool.run(code, invocations)
        failed = [outcome for outcome in outcomes if outcome.status is not Status.OK]
        if failed:
            raise SystemExit(f"an invocation failed: {failed[0]}")


def code_of(language: str) -> Code:
    function = function_of(language)
    return Code(function.source, function.version, language, function.file_name, function.code)


def invocation(n: int) -> Invocation:
    headers = [("Content-Type", "application/json"), ("User-Agent", "bench")]
    return Invocation(f"request-{n}", "POST", "https://hooks.example/", headers, body_of(BODY_BYTES))


def children_cpu_s() -> float:
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(each.user + each.system for each in times)
