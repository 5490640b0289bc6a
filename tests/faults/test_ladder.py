"""Row 23: webhooks that fail once, twice, up to always, through function stage and mover."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from hookmill import headers
from hookmill.config import Config, RetryConfig
from hookmill.lifecycle import running
from hookmill.records import NewRecord, Record
from hookmill.registry import publish
from hookmill.retry import DELAY_TOPICS, MAX_RETRIES
from hookmill.topics import Topic
from processors.runtimes.contract import Code, Invocation, Outcome, Status
from processors.service import FunctionStage
from redelivery.mover import Mover
from tests.contracts.reading import eventually
from tests.faults.trials import trials
from tests.processors.parts import SHOP, SHOP_CODE, ScriptedPool, failed, ok, webhook_headers
from tests.redelivery.installation import Installation, install

DELAYS_S = (0.3, 0.4, 0.5, 0.6, 0.7)
MOST_DELIVERIES = MAX_RETRIES + 1
PER_SECOND = 200
"""Webhooks: all at once would wait for each other, not for the ladder."""
LATEST_S = 20.0
"""Far over what is seen, which the test prints: other work may share the machine."""


class FlakyFunction:
    """Fails on webhook n in its first `n % 7` deliveries; 6 is all there are. `ran_at_s` are the times it ran."""

    def __init__(self) -> None:
        self.ran_at_s: dict[int, list[float]] = defaultdict(list)

    def __call__(self, code: Code, invocation: Invocation) -> Outcome:
        number = int(invocation.request_id)
        self.ran_at_s[number].append(time.time())
        if len(self.ran_at_s[number]) <= failures_of(number):
            return failed(Status.ERROR, "Flaky", f"{len(self.ran_at_s[number])}")
        return ok([{"type": "track", "event": "a", "userId": "u"}])


def failures_of(number: int) -> int:
    return number % (MOST_DELIVERIES + 1)


def deliveries_of(number: int) -> int:
    return min(failures_of(number) + 1, MOST_DELIVERIES)


def body_of(number: int) -> bytes:
    return b"\x00\xff%d" % number


def webhook(number: int) -> NewRecord:
    key = b"k%d" % number if number % 2 else None
    return NewRecord(value=body_of(number), key=key, headers=webhook_headers("shop", str(number)))


def impatient(config: Config) -> Config:
    return config.model_copy(update={"retry": RetryConfig(delays_s=DELAYS_S)})


@trials("count", short=500, full=10_000, deadline_s=1_200)
async def test_every_webhook_is_delivered_as_often_as_it_takes_after_the_delays_of_the_ladder(
    tmp_path: Path, engine: str | None, count: int
) -> None:
    installation = await install(tmp_path / "data", engine)
    function = FlakyFunction()
    names, config = installation.names, impatient(installation.config)
    await publish(installation.log, names.full(Topic.REGISTRY), [SHOP_CODE, SHOP])
    mover = Mover(config.retry, installation.log, names)
    stage = FunctionStage(config, lambda processors: ScriptedPool(function))

    async with running([mover, stage]):
        for first in range(0, count, PER_SECOND):
            await installation.send(Topic.WEBHOOKS, *map(webhook, range(first, min(first + PER_SECOND, count))))
            await asyncio.sleep(1)
        await eventually(lambda: is_over(installation, function, count), "every webhook is delivered or dead")

    assert {number: len(ran) for number, ran in function.ran_at_s.items()} == {
        number: deliveries_of(number) for number in range(count)
    }
    assert_whole(await installation.records(Topic.DEAD_LETTERS), dead_of(count))
    for topic, delay_s in zip(DELAY_TOPICS, DELAYS_S, strict=True):
        waits_ms = [wait_ms(record) for record in await installation.records(topic)]
        assert set(waits_ms) == {round(delay_s * 1_000)}
    late_s = lateness_s(function)
    print(
        f"row 23: {count:,} webhooks, each delivered as often as it takes, 6 times at most; {len(late_s):,} retries "
        f"{late_s[len(late_s) // 2]:.2f} s late, at most {late_s[-1]:.2f} s"
    )
    assert late_s[0] >= 0
    assert late_s[-1] < LATEST_S


def dead_of(count: int) -> list[int]:
    return [number for number in range(count) if failures_of(number) == MOST_DELIVERIES]


async def is_over(installation: Installation, function: FlakyFunction, count: int) -> bool:
    ran = sum(len(times) for times in function.ran_at_s.values())
    if ran < sum(map(deliveries_of, range(count))):
        return False
    return len(await installation.records(Topic.DEAD_LETTERS)) >= len(dead_of(count))


def assert_whole(letters: Sequence[Record], numbers: Sequence[int]) -> None:
    """One dead letter for each number: bytes and key of the webhook, the last failure, the count of deliveries."""
    by_id = {int(headers.text_header(letter.headers, headers.REQUEST_ID)): letter for letter in letters}
    assert len(by_id) == len(letters)
    assert sorted(by_id) == list(numbers)
    for number, letter in by_id.items():
        sent, found = webhook(number), dict(letter.headers)
        assert (letter.value, letter.key) == (sent.value, sent.key)
        assert found.items() >= {**dict(sent.headers), headers.DELIVERY_COUNT: b"6", headers.ERROR: b"6"}.items()


def wait_ms(record: Record) -> int:
    """From the failure until it is tried again."""
    return headers.int_header(record.headers, headers.NOT_BEFORE, 0) - headers.int_header(
        record.headers, headers.LAST_FAILED_AT, 0
    )


def lateness_s(function: FlakyFunction) -> list[float]:
    """Of every delivery but the first: seconds after the earliest moment that the ladder allows. In order."""
    return sorted(
        later - earlier - delay_s
        for ran in function.ran_at_s.values()
        for (earlier, later), delay_s in zip(pairwise(ran), DELAYS_S, strict=False)
    )
