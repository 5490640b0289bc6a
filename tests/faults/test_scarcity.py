"""Row 40: processes with too few descriptors, too little memory, or no processor to themselves."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.faults.checker import check
from tests.faults.ledger import Ledger
from tests.faults.mill import Mill, install_mill
from tests.faults.outages import ENDLESS, loading
from tests.faults.trials import trials
from tests.faults.usage import peak_rss_mib
from tests.faults.workload import Workload
from tests.processes import HOOKMILL

DESCRIPTORS = 256
IDLE_CONNECTIONS = 400
MEMORY_MIB = 512
MEMORY_GROUPS = Path("/sys/fs/cgroup/memory")
RATE = 100.0
BETWEEN = 200


@trials("times", short=1, full=10, deadline_s=1_800)
async def test_a_receiver_without_descriptors_for_more_connections_loses_nothing(
    tmp_path: Path, engine: str | None, seed: int, times: int
) -> None:
    """More idle connections come than it can hold, and go; it takes webhooks before, and again after."""
    mill = await install_mill(tmp_path, engine, Workload(seed, ENDLESS, sources=4, of_2_mib=0))
    for name, process in mill.processes.items():
        mill.add(name, *process.arguments, program=("prlimit", f"--nofile={DESCRIPTORS}", str(HOOKMILL)))

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        async with loading(mill, ledger, rate=RATE) as progress:
            for _ in range(times):
                await progress.accepted(BETWEEN)
                async with idle_connections(mill):
                    await asyncio.sleep(5)
                await progress.accepted(BETWEEN)
        await mill.settled(ledger)
        await mill.stop()

    findings = await check(mill, ledger)
    assert not findings.problems
    assert "Traceback" not in mill.processes["ingest"].stderr
    print(f"row 40: {IDLE_CONNECTIONS} connections for {DESCRIPTORS} descriptors {times} times; {findings.figures}")


@trials("times", short=1, full=10, deadline_s=1_800)
async def test_512_mib_are_enough_for_every_process_under_the_largest_bodies(
    tmp_path: Path, engine: str | None, seed: int, times: int
) -> None:
    mill = await install_mill(tmp_path, engine, Workload(seed, ENDLESS, sources=4, of_100_kb=0.3, of_2_mib=0.3))

    with contextlib.ExitStack() as groups:
        limited = {name: groups.enter_context(memory_group(f"hookmill-{seed}-{name}")) for name in mill.processes}
        for name, process in mill.processes.items():
            enter = f'echo $$ > {limited[name]}/cgroup.procs && exec "$0" "$@"'
            mill.add(name, *process.arguments, program=("sh", "-c", enter, str(HOOKMILL)))
        with mill.running(), Ledger(tmp_path / "ledger") as ledger:
            async with loading(mill, ledger, rate=RATE) as progress:
                await progress.accepted(times * BETWEEN)
            await mill.settled(ledger)
            peak_mib = {name: peak_rss_mib(process.pid) for name, process in mill.processes.items()}
            await mill.stop()
        kills = {name: out_of_memory_kills(group) for name, group in limited.items()}

    findings = await check(mill, ledger)
    assert not findings.problems
    assert set(kills.values()) == {0}
    peaks = ", ".join(f"{name} {mib:.0f}" for name, mib in peak_mib.items())
    print(f"row 40: {MEMORY_MIB} MiB for each process, MiB at most: {peaks}; {findings.figures}")


@trials("times", short=1, full=10, deadline_s=1_800)
async def test_nothing_is_lost_beside_busy_neighbours_on_every_processor(
    tmp_path: Path, engine: str | None, seed: int, times: int
) -> None:
    mill = await install_mill(tmp_path, engine, Workload(seed, ENDLESS, sources=4, of_2_mib=0))

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        async with loading(mill, ledger, rate=RATE) as progress:
            for _ in range(times):
                await progress.accepted(BETWEEN)
                with busy_neighbours():
                    slow_s = await progress.accepted(BETWEEN)
        await mill.settled(ledger)
        await mill.stop()

    findings = await check(mill, ledger)
    assert not findings.problems
    print(f"row 40: busy loops {times} times, {BETWEEN} accepted beside them in {slow_s:.1f} s; {findings.figures}")


@contextlib.asynccontextmanager
async def idle_connections(mill: Mill) -> AsyncIterator[None]:
    """Connections to the receiver that say nothing. Those that it does not take fail, or wait."""
    opened = await asyncio.gather(
        *(asyncio.wait_for(asyncio.open_connection("127.0.0.1", mill.port), 5) for _ in range(IDLE_CONNECTIONS)),
        return_exceptions=True,
    )
    try:
        yield
    finally:
        for each in opened:
            if not isinstance(each, BaseException):
                each[1].close()


@contextlib.contextmanager
def memory_group(name: str) -> Iterator[Path]:
    """A control group (version 1) of `MEMORY_MIB`. Needs root; skips on a machine without, fails in CI."""
    group = MEMORY_GROUPS / name
    try:
        group.mkdir()
        (group / "memory.limit_in_bytes").write_text(str(MEMORY_MIB * 1_048_576))
    except OSError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"no control group for memory can be made in {MEMORY_GROUPS}, run as root: {error}")
    try:
        yield group
    finally:
        group.rmdir()


def out_of_memory_kills(group: Path) -> int:
    lines = (group / "memory.oom_control").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("oom_kill ")).split()[1])


@contextlib.contextmanager
def busy_neighbours() -> Iterator[None]:
    """Two endless loops for each processor."""
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(2 * (os.cpu_count() or 1))]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
