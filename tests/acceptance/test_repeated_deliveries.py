"""A provider that sends every webhook twice and out of order: receiver, function stage and warehouse in one process."""

import json
import random
from pathlib import Path

from hookmill.config import IngestConfig, SinksConfig
from hookmill.lifecycle import Resource, running
from hookmill.registry import Function, RegistryView, Sink, Source, publish, token_hash
from hookmill.topics import Topic
from ingest.receiver import Receiver
from processors.service import FunctionStage
from sinks.warehouses.sqlite import SqliteWarehouse
from sinks.worker import SinkWorker
from tests.contracts.reading import eventually
from tests.ingest.receiving import ADDRESS, TOKEN, connected, post
from tests.redelivery.bookkeeping import account
from tests.redelivery.installation import Installation, install
from tests.sinks.database import query, rows

WEBHOOKS = 200
ORDERS = 20
COLUMNS = 3
CODE = """
async def on_request(request, settings):
    webhook = request.json()
    n = webhook["n"]
    segment.track(event="Order Changed", user_id="u", properties={"n": n})
    segment.set(collection="orders", id=webhook["order"], properties={"n": n, webhook["column"]: n})
"""
SHOP = Source("shop", "Shop", (token_hash(TOKEN),), "v1", delivery_id="header:webhook-id")
ENTITIES = [Function("shop", "v1", "python", "function.py", CODE), SHOP]


def fields(number: int) -> tuple[str, str]:
    """The order that webhook `number` is about, and the column that it sets beside `n`."""
    return str(number % ORDERS), f"c{number % COLUMNS}"


def request(number: int) -> bytes:
    order, column = fields(number)
    body = json.dumps({"n": number, "order": order, "column": column}).encode()
    return post(ADDRESS, body, f"webhook-id: msg_{number}")


def twice_and_out_of_order(seed: int) -> list[int]:
    """Both copies of each webhook anywhere."""
    numbers = [*range(WEBHOOKS), *range(WEBHOOKS)]
    random.Random(seed).shuffle(numbers)
    return numbers


def expected_orders(sent: list[int]) -> dict[str, dict[str, int]]:
    """The rows when each webhook is applied once, in order of its first receipt."""
    orders: dict[str, dict[str, int]] = {}
    for number in dict.fromkeys(sent):
        order, column = fields(number)
        orders.setdefault(order, {}).update({"n": number, column: number})
    return orders


async def test_rows_are_those_of_each_webhook_once_in_the_order_of_first_receipt(tmp_path: Path) -> None:
    seed = random.randrange(1_000_000)
    print(f"seed {seed}")
    sent = twice_and_out_of_order(seed)
    installation = await install(tmp_path / "data", None)
    log, names = installation.log, installation.names
    await publish(log, names.full(Topic.REGISTRY), ENTITIES)
    view, sender, file = RegistryView(log, names.full(Topic.REGISTRY)), log.sender(), tmp_path / "warehouse.db"
    receiver = Receiver(IngestConfig(port=0), view.registry, sender, names.full(Topic.WEBHOOKS))
    definition = Sink(name="warehouse", kind="sqlite", events=True, objects=True)
    worker = SinkWorker(SinksConfig(batch_timeout_s=0.02), definition, log, names, SqliteWarehouse(file))

    async def is_over() -> bool:
        """Both copies of every webhook have ended, and the warehouse has what came of them."""
        found = await account(installation)
        return found.counts.get("delivered") == WEBHOOKS and not any((await worker.lag()).values())

    stages = [view, Resource("sender", sender), receiver, FunctionStage(installation.config), worker]
    async with running(stages):
        async with connected(receiver) as client:
            for number in sent:
                assert (await client.ask(request(number))).status == 202
        await eventually(is_over, "every webhook is delivered and written")
        books = await account(installation)

    assert books.counts == {"received": WEBHOOKS, "delivered": WEBHOOKS, "repeated": WEBHOOKS}
    assert (books.missing, books.doubled) == ({}, [])
    assert await stored_copies(installation) == 2 * WEBHOOKS
    events = query(file, 'SELECT n, count(*) FROM "shop__order_changed" GROUP BY n ORDER BY n')
    assert events == [(number, 1) for number in range(WEBHOOKS)]
    written = {
        order: {name: value for name, value in row.items() if name == "n" or name in {"c0", "c1", "c2"}}
        for order, row in rows(file, "shop__orders").items()
    }
    assert written == expected_orders(sent)


async def stored_copies(installation: Installation) -> int:
    return len(await installation.records(Topic.WEBHOOKS))
