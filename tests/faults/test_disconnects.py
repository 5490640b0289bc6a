"""Row 7: one client in ten goes away within its request, or before its answer."""

import asyncio
import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

from hookmill.headers import REQUEST_ID, header
from hookmill.topics import Topic
from tests.faults.ledger import Ledger
from tests.faults.load import load, request_of
from tests.faults.mill import Mill, install_mill
from tests.faults.trials import trials
from tests.faults.usage import open_descriptors
from tests.faults.workload import Workload, number_of
from tests.processes import started

WEBHOOKS = {2: 1_000, 20: 10_000}
"""Of a round, by number of rounds: the short and the full form."""
RATE = 500.0
FIRST_GONE = 10_000_000
"""Webhooks of clients that go away have numbers from here on."""


@dataclass
class Gone:
    """Numbers of the webhooks whose clients went away."""

    within: set[int] = field(default_factory=set)
    """Not all of the request was sent."""
    after: set[int] = field(default_factory=set)
    """All of it was."""


@trials("rounds", short=2, full=20, deadline_s=3_600)
async def test_clients_that_go_away_take_nothing_accepted_and_no_descriptor_with_them(
    tmp_path: Path, engine: str | None, seed: int, rounds: int
) -> None:
    mill = await install_mill(tmp_path, engine, Workload(seed, WEBHOOKS[rounds], sources=4))
    receiver = mill.processes["ingest"]
    numbers, chance, gone = itertools.count(FIRST_GONE), random.Random(seed), Gone()
    descriptors = []

    with started(receiver), Ledger(tmp_path / "ledger") as ledger:
        for _ in range(rounds):
            going = asyncio.create_task(go_away(mill, itertools.islice(numbers, WEBHOOKS[rounds] // 9), chance, gone))
            await load(mill, ledger, rate=RATE)
            await going
            descriptors.append(await settled_descriptors(receiver.pid))
        await asyncio.to_thread(receiver.stop)

    stored = await mill.installation.records(Topic.WEBHOOKS)
    ids = {header(record.headers, REQUEST_ID) for record in stored}
    bodies = {number_of(record.value or b"") for record in stored}
    lost = {number for number, request_id in ledger.accepted.items() if request_id.encode() not in ids}
    assert not lost
    assert not bodies & gone.within
    assert ledger.answers.keys() == {"202"}
    # Not more in the later half: the log's housekeeping comes again after a minute and meets the file open, so SQLite
    # keeps one more descriptor of it from then on.
    half = rounds // 2
    assert max(descriptors[half:]) <= max(descriptors[:half]) <= descriptors[0] + 1
    assert "Traceback" not in receiver.stderr
    print(
        f"row 7: {rounds} rounds, {ledger.answers.total():,} answered, lost {len(lost)}; {len(gone.within):,} clients "
        f"gone within the request, none stored, {len(gone.after):,} after it, {len(bodies & gone.after):,} stored; "
        f"descriptors after each round {min(descriptors)} to {max(descriptors)}"
    )


async def go_away(mill: Mill, numbers: Iterator[int], chance: random.Random, gone: Gone) -> None:
    """Each client sends a part or the whole of its request, and closes or resets its connection."""
    pause_s = 9 / RATE
    for number in numbers:
        webhook = mill.workload.webhook(number)
        target = urlsplit(mill.urls[webhook.source])
        request = request_of(target, webhook, webhook.body(0))
        is_whole = chance.random() < 0.5
        (gone.after if is_whole else gone.within).add(number)
        _, writer = await asyncio.open_connection(target.hostname, target.port)
        writer.write(request if is_whole else request[: chance.randrange(1, len(request))])
        await writer.drain()
        if chance.random() < 0.5:
            writer.transport.abort()
        else:
            writer.close()
        await asyncio.sleep(pause_s)


async def settled_descriptors(pid: int) -> int:
    """How many are open when nothing changes any more: the receiver has seen that its clients are gone."""
    before = -1
    while (now := open_descriptors(pid)) != before:
        before = now
        await asyncio.sleep(2)
    return now
