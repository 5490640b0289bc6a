"""Row 25: webhooks whose count of deliveries is forged, through function stage and mover."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from hookmill import headers
from hookmill.config import RetryConfig
from hookmill.lifecycle import running
from hookmill.records import NewRecord, Record
from hookmill.registry import publish
from hookmill.topics import Topic
from processors.runtimes.contract import Code, Invocation, Outcome, Status
from processors.service import FunctionStage
from redelivery.mover import Mover
from tests.contracts.reading import eventually
from tests.faults.trials import trials
from tests.processors.parts import SHOP, SHOP_CODE, ScriptedPool, failed, webhook_headers
from tests.redelivery.installation import install

DELAYS_S = (0.1, 0.1, 0.1, 0.1, 0.1)
BATCH = 500
LEFT: Sequence[tuple[Sequence[bytes], int]] = (
    ((), 6),
    ((b"-1",), 6),
    ((b"0",), 6),
    ((b"2",), 5),
    ((b"6",), 1),
    ((b"7",), 1),
    ((b"999",), 1),
    ((b"1001",), 6),
    ((b"9" * 19,), 6),
    ((b"two",), 6),
    ((b"1e1",), 6),
    ((b"",), 6),
    ((b"\xff\xfe",), 6),
    ((b"9" * 65_536,), 6),
    ((b"x" * 65_536,), 6),
    ((b"6", b"1"), 6),
    ((b"1", b"6"), 1),
    ((b"3", b"two"), 6),
    ((b"4",) * 100, 3),
)
"""What the headers say, and how many deliveries are left: of repeated headers the last one counts, and what is no count
from 1 to 1,000 is 1."""


def webhook(number: int) -> NewRecord:
    forged, _ = LEFT[number % len(LEFT)]
    plain = webhook_headers("shop", str(number), delivery_count=None)
    return NewRecord(b"%d" % number, headers=(*plain, *((headers.DELIVERY_COUNT, count) for count in forged)))


@trials("count", short=500, full=10_000, deadline_s=900)
async def test_a_webhook_with_a_forged_count_ends_after_six_deliveries_at_most(
    tmp_path: Path, engine: str | None, count: int
) -> None:
    installation = await install(tmp_path / "data", engine)
    ran: Counter[int] = Counter()

    def fail(code: Code, invocation: Invocation) -> Outcome:
        ran[int(invocation.request_id)] += 1
        return failed(Status.ERROR)

    names = installation.names
    config = installation.config.model_copy(update={"retry": RetryConfig(delays_s=DELAYS_S)})
    expected = {number: LEFT[number % len(LEFT)][1] for number in range(count)}
    await publish(installation.log, names.full(Topic.REGISTRY), [SHOP_CODE, SHOP])

    async with running(
        [Mover(config.retry, installation.log, names), FunctionStage(config, lambda _: ScriptedPool(fail))]
    ):
        for first in range(0, count, BATCH):
            await installation.send(Topic.WEBHOOKS, *map(webhook, range(first, min(count, first + BATCH))))

        async def is_over() -> bool:
            if ran.total() < sum(expected.values()):
                return False
            return len(await installation.records(Topic.DEAD_LETTERS)) >= count

        await eventually(is_over, "every webhook is a dead letter")

    letters = await installation.records(Topic.DEAD_LETTERS)
    print(f"row 25: {count} webhooks with forged counts, {ran.total()} deliveries, {len(letters)} dead letters")
    assert ran == expected
    assert sorted(number_of(letter) for letter in letters) == list(range(count))
    assert {headers.delivery_count(letter.headers) for letter in letters} == {6, 7, 999}


def number_of(letter: Record) -> int:
    return int(letter.value or b"")
