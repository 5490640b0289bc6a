"""Runners: what an invocation costs its child process and the parent, by language, batch, isolation and sources."""

import asyncio
import statistics
import time
import tracemalloc
from collections.abc import Sequence

import psutil

from bench import report
from bench.backlog import FILE_NAMES, function_of
from bench.load import body_of
from console.broker import LocalKafka
from processors.runtimes.confinement import Level
from processors.runtimes.contract import Code, Invocation, Status
from processors.runtimes.lane import BATCH_INVOCATIONS
from processors.runtimes.pool import ProcessPool

BODY_BYTES = 2_000
INVOCATIONS = {1: 2_000, 16: 16_000, 128: 32_000, 512: 32_000}
"""Per run, by how many a call brings; the pool makes batches of up to 128 of them."""
SOURCES = 100
IDLE_SOURCES = 1_000
AT_ONCE = 2
RUNS = 3
COLD_STARTS = 9
COLD_TARGET_MS = {"javascript": 200, "python": 30}
_SETTLE_S = 1.0
_DEADLINE_S = 60.0


def run(broker: LocalKafka) -> None:
    """Prints a line per figure. No log takes part."""
    for language in FILE_NAMES:
        for calls_of in INVOCATIONS:
            for isolation in (Level.OFF, Level.STRICT):
                compare(language, calls_of, isolation)
        compare(language, BATCH_INVOCATIONS, Level.STRICT, SOURCES)
    for language, target_ms in COLD_TARGET_MS.items():
        starts = asyncio.run(cold_starts(language))
        report.line(f"cold start, {language}", "ms", starts, note=f"  (target: under {target_ms})")
    idle = asyncio.run(idle_source_bytes())
    report.line(f"each of {IDLE_SOURCES:,} idle sources, parent", "bytes", [idle], note="  (target: under 50,000)")


def compare(language: str, calls_of: int, isolation: Level, sources: int = 1) -> None:
    runs = asyncio.run(measure(language, calls_of, isolation, sources))
    at_target = calls_of == BATCH_INVOCATIONS and sources == 1
    parent_us = statistics.median(parent for _, parent in runs)
    parent = f"  parent {parent_us:.1f} us each" + (" (targets: 25,000; under 8 us)" if at_target else "")
    name = f"runner, {language}, {sources} source{'s' * (sources > 1)}, calls of {calls_of}, isolation {isolation}"
    report.line(name, "invocations/s", [rate for rate, _ in runs], note=parent)


async def measure(language: str, calls_of: int, isolation: Level, sources: int) -> list[tuple[float, float]]:
    """Per run: invocations per CPU second of the children, CPU microseconds of this process per invocation.

    Every source keeps its runners; calls go to one source after the other, so many at once as there are cores here.
    """
    codes = [code_of(language, f"bench-{number}") for number in range(sources)]
    invocations = [invocation(number) for number in range(calls_of)]
    calls = max(INVOCATIONS[calls_of] // calls_of, sources)
    results = []
    async with ProcessPool(None, max_runners=max(AT_ONCE, sources), idle_s=60.0, isolation=isolation) as pool:
        await work(pool, codes, invocations, max(2_000 // calls_of, sources))
        for _ in range(RUNS):
            children, parent = children_cpu_s(), time.process_time()
            await work(pool, codes, invocations, calls)
            done = calls * calls_of
            parent_s = time.process_time() - parent
            results.append((done / (children_cpu_s() - children), 1e6 * parent_s / done))
    return results


async def work(pool: ProcessPool, codes: Sequence[Code], invocations: Sequence[Invocation], calls: int) -> None:
    """`calls` calls have ended well, `AT_ONCE` at a time."""
    upcoming = iter([codes[number % len(codes)] for number in range(calls)])

    async def caller() -> None:
        for code in upcoming:
            outcomes = await pool.run(code, invocations)
            failed = [outcome for outcome in outcomes if outcome.status is not Status.OK]
            if failed:
                raise SystemExit(f"an invocation failed: {failed[0]}")

    await asyncio.gather(*(caller() for _ in range(AT_ONCE)))


async def cold_starts(language: str) -> list[float]:
    """Milliseconds from the first webhook of a source to its outcome, in a pool that was idle for a while."""
    starts = []
    async with ProcessPool(None, max_runners=COLD_STARTS + 1, idle_s=60.0) as pool:
        await work(pool, [code_of(language, "bench-first")], [invocation(0)], 1)
        for number in range(COLD_STARTS):
            await asyncio.sleep(_SETTLE_S)
            began = time.perf_counter()
            await work(pool, [code_of(language, f"bench-{number}")], [invocation(0)], 1)
            starts.append(1e3 * (time.perf_counter() - began))
    return starts


async def idle_source_bytes() -> float:
    """What a source that ran once and waits for its next webhook keeps allocated here; it keeps no process."""
    async with ProcessPool(None, max_runners=16, idle_s=0.05) as pool:
        await work(pool, [code_of("python", "bench-first")], [invocation(0)], 1)
        await until_no_runner(pool)
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        for number in range(IDLE_SOURCES):
            await work(pool, [code_of("python", f"bench-{number}")], [invocation(0)], 1)
        await until_no_runner(pool)
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
    return (after - before) / IDLE_SOURCES


async def until_no_runner(pool: ProcessPool) -> None:
    async with asyncio.timeout(_DEADLINE_S):
        while pool.pids:
            await asyncio.sleep(0.05)


def code_of(language: str, source: str) -> Code:
    function = function_of(language)
    return Code(source, function.version, language, function.file_name, function.code)


def invocation(number: int) -> Invocation:
    headers = [("Content-Type", "application/json"), ("User-Agent", "bench")]
    return Invocation(f"request-{number}", "POST", "https://hooks.example/", headers, body_of(BODY_BYTES, number))


def children_cpu_s() -> float:
    times = [child.cpu_times() for child in psutil.Process().children(recursive=True)]
    return sum(each.user + each.system for each in times)
