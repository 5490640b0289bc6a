"""The books of many webhooks need a file, not memory."""

import resource
import subprocess
import time
from pathlib import Path

import pytest

from hookmill.ids import new_request_id
from hookmill.topics import Topic
from tests.processes import HOOKMILL, clean_environment
from tests.redelivery.bookkeeping import pass_everything, record, report
from tests.redelivery.installation import Installation, install

AT_ONCE = 5_000
MOST_MIB = 400
BODY = b'{"order": 17, "lines": [' + b'"a line of an order", ' * 20 + b"0]}"


async def fill(installation: Installation, webhooks: int) -> str:
    """So many were delivered, an event and an object each; but for one, whose id is returned."""
    names = installation.names
    async with installation.log.sender() as sender:
        for _ in range(0, webhooks, AT_ONCE):
            ids = [new_request_id() for _ in range(AT_ONCE)]
            made = [record(each, b'{"type": "track", "event": "a"}', message_id=each) for each in ids]
            await sender.send(names.full(Topic.WEBHOOKS), [record(each, BODY) for each in ids])
            await sender.send(names.full(Topic.EVENTS), made)
            await sender.send(names.full(Topic.OBJECTS), made)
            await sender.send(names.full(Topic.INVOCATIONS), [report(each, "delivered", 1, 1) for each in ids])
        lost = new_request_id()
        await sender.send(names.full(Topic.WEBHOOKS), [record(lost)])
    await pass_everything(installation)
    return lost


@pytest.mark.nightly
@pytest.mark.timeout(3_600)
async def test_a_million_webhooks_are_accounted_for_in_bounded_memory(tmp_path: Path) -> None:
    webhooks = 1_000_000
    installation = await install(tmp_path / "data", None)
    lost = await fill(installation, webhooks)
    began = time.monotonic()

    done = subprocess.run(
        [HOOKMILL, "audit", "--since", "6d"],
        env=clean_environment(installation.environment),
        stdout=subprocess.PIPE,
        text=True,
        timeout=3_000,
        check=False,
    )

    most_mib = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1_024
    print(f"{webhooks:,} webhooks in {time.monotonic() - began:.0f} s, {most_mib:.0f} MiB")
    assert done.returncode == 1
    assert [line for line in done.stdout.splitlines() if line.startswith("missing: ")] == [
        line for line in done.stdout.splitlines() if lost in line
    ]
    assert "1 webhooks are missing, 0 messages doubled." in done.stdout
    assert most_mib < MOST_MIB
