"""Row 49: the same stored webhooks through real runners again and again make the same bytes under the same ids."""

import asyncio
import random
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

import msgspec

from hookmill import headers
from hookmill.codec import decode_object, encode
from hookmill.lifecycle import running
from hookmill.records import NewRecord
from hookmill.registry import Function, Source, function_version, publish
from hookmill.topics import Topic
from processors.inputs import GROUP, WEBHOOK_TOPICS
from processors.service import FunctionStage
from tests.faults.trials import trials
from tests.processes import run_hookmill
from tests.processors.parts import webhook_headers
from tests.redelivery.installation import Installation, install
from tests.redelivery.pipeline import passed

WEBHOOKS = 400
JAVASCRIPT = """
async function onRequest(request, settings) {
  const { n, names, price } = request.json()
  for (const name of names) Segment.track({ event: name, userId: `u${n % 7}`, properties: { n, price, name } })
  if (n % 3 === 0) Segment.identify({ anonymousId: `a${n}`, traits: { names, seen: request.headers.get('x-n') } })
  Segment.set({ collection: 'things', id: n % 50, properties: { n, price, names } })
}
"""
PYTHON = """
async def on_request(request, settings):
    body = request.json()
    n, names, price = body['n'], body['names'], body['price']
    for name in names:
        segment.track(event=name, user_id=f'u{n % 7}', properties={'n': n, 'price': price, 'name': name})
    if n % 3 == 0:
        segment.identify(anonymous_id=f'a{n}', traits={'names': names, 'seen': request.headers.get('x-n')})
    segment.set(collection='things', id=n % 50, properties={'n': n, 'price': price, 'names': names})
"""
FUNCTIONS = {"javascript": ("function.js", JAVASCRIPT), "python": ("function.py", PYTHON)}
NAMES = ("Order Paid", "\u00fc \u2603", "a\tb", "x" * 300)


def deployed(language: str) -> tuple[Function, Source]:
    file_name, code = FUNCTIONS[language]
    version = function_version(file_name, code)
    return Function(language, version, language, file_name, code), Source(language, language, (), version)


def webhook(number: int, chance: random.Random) -> NewRecord:
    body = {
        "n": number,
        "names": chance.sample(NAMES, chance.randint(1, 3)),
        "price": chance.choice([0.1, 1e21, -0.0, 12, 9_007_199_254_740_993]),
    }
    source = chance.choice(sorted(FUNCTIONS))
    now_us = time.time_ns() // 1_000
    return NewRecord(
        msgspec.json.encode(body), headers=webhook_headers(source, f"r-{number}", received_at=b"%d" % now_us)
    )


@trials("count", short=1, full=20, deadline_s=1_800)
async def test_the_same_webhooks_make_the_same_bytes_and_ids_again(
    tmp_path: Path, engine: str | None, seed: int, count: int
) -> None:
    chance = random.Random(seed)
    installation = await install(tmp_path / "data", engine)
    entities = [entity for language in FUNCTIONS for entity in deployed(language)]
    await publish(installation.log, installation.names.full(Topic.REGISTRY), entities)
    await installation.send(Topic.WEBHOOKS, *(webhook(number, chance) for number in range(WEBHOOKS)))

    for run in range(1 + count):
        if run:
            await asyncio.to_thread(replay, installation)
        async with running([FunctionStage(installation.config)]):  # each time with new runners
            await passed(installation, GROUP, *WEBHOOK_TOPICS)

    dead = await installation.records(Topic.DEAD_LETTERS)
    events = await made(installation, Topic.EVENTS, lambda value: value)
    objects = await made(installation, Topic.OBJECTS, without_generation)
    differing = [message_id for message_id, contents in {**events, **objects}.items() if len(set(contents)) > 1]
    print(
        f"row 49: {WEBHOOKS} webhooks run {1 + count} times, {len(events):,} events and {len(objects)} object writes, "
        f"{len(differing)} differ"
    )
    assert (dead, differing) == ([], [])
    assert len(objects) == WEBHOOKS
    assert {len(contents) for contents in {**events, **objects}.values()} == {1 + count}


def replay(installation: Installation) -> None:
    for source in FUNCTIONS:
        code, output = run_hookmill(
            "replay", "--source", source, "--from", "1h", "--to", "now", "--yes", env=installation.environment
        )
        assert code == 0, output


async def made(
    installation: Installation, topic: Topic, comparable: Callable[[bytes], bytes]
) -> dict[str, list[tuple[bytes | None, bytes]]]:
    """Key and value of every message on the topic, by message id."""
    found: dict[str, list[tuple[bytes | None, bytes]]] = defaultdict(list)
    for record in await installation.records(topic):
        message_id = headers.text_header(record.headers, headers.MESSAGE_ID)
        found[message_id].append((record.key, comparable(record.value or b"")))
    return found


def without_generation(value: bytes) -> bytes:
    """The one thing in which a replay's write differs from the first."""
    write = decode_object(value)
    received_at_us, partition, offset, _, index = write.version
    return encode(msgspec.structs.replace(write, version=(received_at_us, partition, offset, 0, index)))
