"""The checker: ledger, warehouse, dead letters and books joined, and every difference by name."""

import asyncio
import json
import sqlite3
from collections import Counter
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from hookmill.topics import Topic
from redelivery.scan import Scan
from tests.faults.ledger import Ledger
from tests.faults.mill import Mill
from tests.faults.workload import Workload, number_of
from tests.processes import run_hookmill

_AUDIT_S = 1_200.0


@dataclass(frozen=True)
class Findings:
    """`problems` is empty when everything holds; `figures` is for the reader of the run."""

    problems: list[str]
    figures: str


async def check(mill: Mill, ledger: Ledger, *, audit: bool = True) -> Findings:
    """Holds the end of a run against the ledger; the processes have stopped.

    Every accepted webhook ended once, one of unknown outcome at most once, none that was never sent; dead letters are
    those that always fail, byte for byte; objects are as the oracle has them; the books balance.
    """
    workload = mill.workload
    events, marks = await asyncio.to_thread(_events, mill.warehouse)
    letters, altered = await _letters(mill, workload)
    ends = events.keys() | letters.keys()
    lost = ledger.accepted.keys() - ends
    doubled = {number for number, rows in events.items() if rows > 1} | (events.keys() & letters.keys())
    always_fail = {number for number in ledger.sent if workload.webhook(number).is_doomed}
    mixed_up = {number for number, mark in marks.items() if mark != workload.webhook(number).mark}
    found = {
        "lost": lost,
        "doubled after the sink": doubled,
        "never sent": ends - ledger.sent,
        "dead although they do not always fail": letters.keys() - always_fail,
        "delivered although they always fail": events.keys() & always_fail,
        "dead letters with other bytes": altered,
        "events of another webhook": mixed_up,
        "objects that differ": await asyncio.to_thread(_different_objects, mill.warehouse, workload, events.keys()),
    }
    problems = [f"{len(which):,} {what}: {sorted(which)[:10]}" for what, which in found.items() if which]
    if audit:
        problems += await _audit(mill, received=len(ends))
    figures = (
        f"{len(ledger.accepted):,} accepted ({_counts(ledger.answers)}), lost {len(lost)}, doubled {len(doubled)}, "
        f"delivered {len(events):,}, dead {len(letters):,} of {len(always_fail):,} that always fail"
    )
    return Findings(problems, figures)


def _events(warehouse: Path) -> tuple[Counter[int], dict[int, str]]:
    """Rows and mark by number of the webhook."""
    rows: Counter[int] = Counter()
    marks: dict[int, str] = {}
    with closing(sqlite3.connect(f"file:{warehouse}?mode=ro", uri=True)) as connection:
        for table in _tables(connection, "__order_changed"):
            for number, mark in connection.execute(f'SELECT n, mark FROM "{table}"'):
                rows[number] += 1
                marks[number] = mark
    return rows, marks


async def _letters(mill: Mill, workload: Workload) -> tuple[Counter[int], set[int]]:
    """Dead letters by number of the webhook, and the webhooks whose bytes are not those that were sent."""
    letters: Counter[int] = Counter()
    altered: set[int] = set()
    async with Scan(mill.installation.log, [mill.installation.names.full(Topic.DEAD_LETTERS)]) as scan:
        async for span in scan.spans(dict.fromkeys(scan.ends, 0), scan.ends):
            for record in span.records:
                number = number_of(record.value or b"")
                letters[number] += 1
                if record.value != workload.webhook(number).body(0):
                    altered.add(number)
    return letters, altered


def _different_objects(warehouse: Path, workload: Workload, delivered: Mapping[int, int] | set[int]) -> set[str]:
    expected = workload.expected_objects(delivered)
    found: dict[tuple[str, str], dict[str, int]] = {}
    with closing(sqlite3.connect(f"file:{warehouse}?mode=ro", uri=True)) as connection:
        connection.row_factory = sqlite3.Row
        for table in _tables(connection, "__orders"):
            source = table.partition("__")[0]
            for row in connection.execute(f'SELECT * FROM "{table}"'):
                columns = (name for name in row.keys() if name in {"n", "c0", "c1", "c2"} and row[name] is not None)  # noqa: SIM118
                found[source, row["id"]] = {name: row[name] for name in columns}
    keys = expected.keys() | found.keys()
    return {
        f"{source} {order}" for source, order in keys if expected.get((source, order)) != found.get((source, order))
    }


def _tables(connection: sqlite3.Connection, suffix: str) -> list[str]:
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    return [name for (name,) in names if name.endswith(suffix)]


async def _audit(mill: Mill, received: int) -> list[str]:
    """What `hookmill audit` complains of, and where its books are not the ledger's."""
    code, output = await asyncio.to_thread(run_hookmill, "audit", "--json", env=mill.environment, deadline_s=_AUDIT_S)
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    totals: Counter[str] = Counter()
    for line in lines:
        if line["kind"] == "line":
            totals.update({name: line[name] for name in ("received", "waiting", "in_flight", "missing")})
    problems = []
    if code != 0:
        problems.append(f"hookmill audit ends with {code}: {[line for line in lines if line['kind'] != 'line'][:5]}")
    if totals != {"received": received, "waiting": 0, "in_flight": 0, "missing": 0}:
        problems.append(f"hookmill audit has {dict(totals)}; {received:,} were received, and all have ended")
    return problems


def _counts(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{name} {count:,}" for name, count in sorted(counts.items()))
