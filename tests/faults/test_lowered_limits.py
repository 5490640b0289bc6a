"""Row 39: `max.message.bytes` of a topic is lowered while records come that are larger."""

import asyncio
import json
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from console.tokens import TokenFile
from hookmill.headers import ERROR_CLASS, SOURCE, text_header
from hookmill.topics import MAX_RECORD_BYTES, Topic
from tests.faults.checker import check
from tests.faults.ledger import Ledger
from tests.faults.mill import Mill, install_mill
from tests.faults.outages import ENDLESS, loading
from tests.faults.trials import trials
from tests.faults.workload import Workload
from tests.kafka_admin import configure_topic
from tests.processes import run_hookmill

pytestmark = pytest.mark.kafka

RATE = 50.0
BETWEEN = 50
LOWERED_BYTES = 10_000
LARGE_BYTES = 25_000
"""Over the lowered limit, under the 32 KiB that an event may have."""
LARGE = -1
"""The number of all large webhooks: none of the workload."""
IN_FORCE_S = 60.0
ECHO = """
async function onRequest(request) {
  const { n, pad } = request.json()
  Segment.track({ event: 'Echo', userId: 'echo', properties: { n, pad } })
}
"""


@trials("times", short=2, full=20, deadline_s=3_600)
async def test_what_a_topic_takes_no_more_has_a_clear_end_and_all_else_goes_on(
    tmp_path: Path, kafka_bootstrap: str, seed: int, times: int
) -> None:
    """On `webhooks` the sender is told 413, on `events` the webhook is a dead letter; raised again it is delivered."""
    workload = Workload(seed, ENDLESS, sources=4, objects=1_000, of_100_kb=0, of_2_mib=0)
    mill = await install_mill(tmp_path, kafka_bootstrap, workload)
    url = await add_echo(mill)
    letters = 0

    with mill.running(), Ledger(tmp_path / "ledger") as ledger:
        async with loading(mill, ledger, rate=RATE) as progress:
            for _ in range(times):
                await progress.accepted(BETWEEN)
                await limit(mill, Topic.WEBHOOKS, LOWERED_BYTES)
                await until_answered(url, 413)
                await progress.accepted(BETWEEN)
                await limit(mill, Topic.EVENTS, LOWERED_BYTES)
                await limit(mill, Topic.WEBHOOKS, MAX_RECORD_BYTES)
                letters = await until_dead(mill, url, letters)
                await progress.accepted(BETWEEN)
                await limit(mill, Topic.EVENTS, MAX_RECORD_BYTES)
        await mill.settled(ledger)
        await mill.stop()

    findings = await check(mill, ledger, audit=False)
    code, books = await asyncio.to_thread(run_hookmill, "audit", env=mill.environment, deadline_s=120)
    assert [problem for problem in findings.problems if not problem.endswith(f": [{LARGE}]")] == []
    assert code == 0, books
    assert ledger.answers.keys() == {"202"}
    print(f"row 39: limits lowered {2 * times} times, {letters} dead letters of what did not fit; {findings.figures}")


async def add_echo(mill: Mill) -> str:
    """One more source, whose function sends on what it gets; its address."""
    project = mill.folder / "project"
    source = project / "sources" / "echo"
    source.mkdir()
    (source / "source.toml").write_text('function = "function.js"\n')
    (source / "function.js").write_text(ECHO)
    code, output = await asyncio.to_thread(run_hookmill, "apply", str(project), env=mill.environment)
    assert code == 0, output
    return f"http://127.0.0.1:{mill.port}/v1/webhooks/{TokenFile(project).get('echo')}"


async def limit(mill: Mill, topic: Topic, size: int) -> None:
    servers, name = str(mill.installation.config.kafka.bootstrap_servers), mill.installation.names.full(topic)
    await configure_topic(servers, name, {"max.message.bytes": str(size)})


def post_large(url: str) -> int:
    """Status of the answer."""
    body = json.dumps({"n": LARGE, "pad": "x" * LARGE_BYTES}).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body), timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


async def until_answered(url: str, status: int) -> None:
    """A large webhook is answered so: a broker confirms a new limit before it acts on it."""
    async with asyncio.timeout(IN_FORCE_S):
        while await asyncio.to_thread(post_large, url) != status:
            await asyncio.sleep(0.2)


async def until_dead(mill: Mill, url: str, letters: int) -> int:
    """Large webhooks are accepted again, and more than `letters` became dead letters; how many."""
    async with asyncio.timeout(IN_FORCE_S):
        while (now := await letters_of_echo(mill)) <= letters:
            await asyncio.to_thread(post_large, url)
            await asyncio.sleep(0.5)
    return now


async def letters_of_echo(mill: Mill) -> int:
    letters = [
        record
        for record in await mill.installation.records(Topic.DEAD_LETTERS)
        if text_header(record.headers, SOURCE) == "echo"
    ]
    assert {text_header(record.headers, ERROR_CLASS) for record in letters} <= {"OutputTooLarge"}
    return len(letters)
