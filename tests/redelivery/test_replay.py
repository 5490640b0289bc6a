"""`hookmill replay`, as a command."""

import asyncio
import functools
import json
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from hookmill.codec import HttpRequest, encode
from hookmill.records import NewRecord
from hookmill.registry import Function, Sink, Source, publish
from hookmill.topics import Topic
from redelivery.replay_journal import Journals, State
from tests.processes import HOOKMILL, clean_environment, run_hookmill
from tests.redelivery.installation import Installation, install

MINUTE_MS = 60_000
BEGIN_MS = time.time_ns() // 1_000_000 - 120 * MINUTE_MS
"""Two hours ago: logs forget what is old, and Kafka takes nothing of the future."""


def minute_text(minute: int) -> str:
    return datetime.fromtimestamp((BEGIN_MS + minute * MINUTE_MS) / 1_000, UTC).isoformat()


FROM_TO = ("--from", minute_text(2), "--to", minute_text(5))
SHOP = Source("shop", "Shop", (), "aa11000000000000")
OLD_CODE = Function("shop", "aa22000000000000", "python", "function.py", "...")
CODE = Function("shop", "aa11000000000000", "python", "function.py", "...")
WAREHOUSE = Sink("warehouse", "sqlite", events=True, objects=True)


def webhook(minute: int, source: str = "shop", body: bytes = b"{}", **changes: bytes) -> NewRecord:
    """Received so many minutes after the beginning, stored a little later."""
    received_at_ms = BEGIN_MS + minute * MINUTE_MS
    said = {
        "format": b"1",
        "request-id": b"request-%d" % minute,
        "source": source.encode(),
        "received-at": b"%d" % (received_at_ms * 1_000),
        "http": encode(HttpRequest("POST", "https://in.example/?shop=berlin", [("x-kind", "order")])),
        "delivery-count": b"1",
        "x-unknown": b"carried through",
        **changes,
    }
    return NewRecord(body, b"key-%d" % minute, tuple(said.items()), timestamp_ms=received_at_ms + 200)


def fill(installation: Installation, *webhooks: NewRecord) -> None:
    async def work() -> None:
        topic = installation.names.full(Topic.REGISTRY)
        await publish(installation.log, topic, [OLD_CODE, CODE, SHOP, WAREHOUSE])
        await installation.send(Topic.WEBHOOKS, *webhooks)

    asyncio.run(work())


def replay(installation: Installation, *arguments: str) -> tuple[int, str]:
    return run_hookmill("replay", *arguments, env=installation.environment)


def replayed(installation: Installation) -> dict[str, tuple[bytes | None, bytes | None, dict[str, bytes]]]:
    """Key, value and headers of what is on the topic for replays, by request id."""
    found = {}
    for record in asyncio.run(installation.records(Topic.WEBHOOKS_REPLAY)):
        said = dict(record.headers)
        found[said["request-id"].decode()] = (record.key, record.value, said)
    return found


@pytest.fixture
def embedded(tmp_path: Path) -> Installation:
    """Topics on the embedded log."""
    return asyncio.run(install(tmp_path / "data", None))


def test_the_webhooks_of_the_range_go_again_with_the_ids_and_the_origin_they_have(installation: Installation) -> None:
    fill(installation, *(webhook(minute) for minute in range(8)), webhook(3, "crm", **{"request-id": b"other"}))

    code, output = replay(installation, "--source", "shop", *FROM_TO, "--yes")

    assert code == 0, output
    assert "3 webhooks sent" in output
    found = replayed(installation)
    assert sorted(found) == ["request-2", "request-3", "request-4"]
    origins = {
        dict(record.headers)["request-id"]: f"{record.topic}:{record.partition}:{record.offset}".encode()
        for record in asyncio.run(installation.records(Topic.WEBHOOKS))
    }
    for minute in (2, 3, 4):
        key, value, said = found[f"request-{minute}"]
        before = webhook(minute)
        assert (key, value) == (before.key, before.value)
        replay_id = said.pop("replay-id").decode()
        assert said == {
            **dict(before.headers),
            "origin": origins[b"request-%d" % minute],
            "generation": b"-1",
        }
        assert replay_id in output


def test_a_recompute_names_its_version_its_generation_and_its_sink(embedded: Installation) -> None:
    fill(embedded, webhook(2))
    arguments = ("--source", "shop", *FROM_TO, "--mode", "recompute", "--yes")

    began_ms = time.time_ns() // 1_000_000
    assert replay(embedded, *arguments)[0] == 0
    ((_, _, deployed),) = replayed(embedded).values()
    assert replay(embedded, *arguments, "--function-version", "aa22", "--to-sink", "warehouse")[0] == 0
    ((_, _, chosen),) = replayed(embedded).values()

    assert deployed["replay-version"] == b"aa11000000000000"
    assert "replay-to" not in deployed
    assert chosen["replay-version"] == b"aa22000000000000"
    assert chosen["replay-to"] == b"warehouse"
    assert began_ms <= int(deployed["generation"]) < int(chosen["generation"])


def test_a_webhook_of_a_foreign_producer_keeps_the_identity_that_the_log_gave_it(embedded: Installation) -> None:
    fill(embedded, NewRecord(b"{}", headers=(("source", b"shop"),), timestamp_ms=BEGIN_MS + 3 * MINUTE_MS, partition=2))

    assert replay(embedded, "--source", "shop", *FROM_TO, "--yes")[0] == 0

    ((_, _, said),) = replayed(embedded).values()
    stored_ms = BEGIN_MS + 3 * MINUTE_MS
    place = f"{embedded.names.full(Topic.WEBHOOKS)}:2:0"
    assert (said["origin"], said["request-id"]) == (place.encode(), f"{place}:{stored_ms}".encode())
    assert said["received-at"] == b"%d" % (stored_ms * 1_000)


def test_only_webhooks_that_meet_all_conditions_go_again(embedded: Installation) -> None:
    fill(embedded, *(webhook(minute, body=b'{"n": %d}' % minute) for minute in range(2, 5)))
    conditions = ("--where", "/n!=3", "--where", "header.X-Kind=order", "--where", "query.shop=berlin")

    code, output = replay(embedded, "--source", "shop", *FROM_TO, *conditions, "--yes")

    assert code == 0, output
    assert sorted(replayed(embedded)) == ["request-2", "request-4"]
    assert "where /n!=3" in output


def test_a_range_without_webhooks_and_a_question_nobody_answers_send_nothing(embedded: Installation) -> None:
    fill(embedded, webhook(2))

    empty_code, empty = replay(embedded, "--source", "shop", "--from", "2020-01-01", "--to", "2020-01-02", "--yes")
    unasked_code, unasked = replay(embedded, "--source", "shop", *FROM_TO)

    assert (empty_code, unasked_code) == (0, 78)
    assert "0 webhooks of 0 looked at" in empty
    assert "1 webhook of 1 looked at" in unasked
    assert "--yes" in unasked
    assert replayed(embedded) == {}
    assert "No replays." in replay(embedded, "list")[1]


WRONG_INPUTS = (
    (["--source", "shop", "--from", "soonish", "--to", "now"], '"soonish" is no time'),
    (["--source", "shop", "--from", "2026-11-24", "--to", "2026-11-23"], "The range is empty"),
    (["--source", "shop", "--from", "1h"], "--source, --from and --to"),
    (["--source", "nobody", *FROM_TO], "Source 'nobody' is not deployed. Sources: shop."),
    (["--source", "shop", *FROM_TO, "--function-version", "bb"], "Version 'bb' of source 'shop' does not exist"),
    (["--source", "shop", *FROM_TO, "--function-version", "aa"], "is not one version alone"),
    (["--source", "shop", *FROM_TO, "--to-sink", "lake"], "Sink 'lake' is not in the registry. Sinks: warehouse."),
    (["--source", "shop", *FROM_TO, "--where", "total>5"], '"total>5" is no condition'),
    (["--source", "shop", *FROM_TO, "--rate", "0"], "--rate 0"),
    (["--resume", "../../etc/passwd"], "is no id of a replay"),
    (["--resume", "20261124-000000-abcd"], "There is no replay"),
    (["--resume", "20261124-000000-abcd", "--source", "shop"], "--resume takes the id"),
)
ALL_IN_ONE_PROCESS = """
import json, sys
from console.cli import app
from hookmill.errors import ConfigError
for arguments in json.loads(sys.argv[1]):
    try:
        app(["replay", *arguments, "--yes"], exit_on_error=False, print_error=False)
    except ConfigError as error:
        print(json.dumps(str(error)))
    else:
        print(json.dumps("nothing is wrong"))
"""


def test_wrong_inputs_are_told_and_nothing_is_sent(embedded: Installation) -> None:
    fill(embedded, webhook(2))
    arguments = json.dumps([arguments for arguments, _ in WRONG_INPUTS])

    told = subprocess.check_output(
        [sys.executable, "-c", ALL_IN_ONE_PROCESS, arguments], env=clean_environment(embedded.environment), timeout=120
    )

    errors = [json.loads(line) for line in told.splitlines()]
    assert len(errors) == len(WRONG_INPUTS)
    for error, (_, said) in zip(errors, WRONG_INPUTS, strict=True):
        assert said in error
    assert replayed(embedded) == {}


@pytest.mark.kills
def test_a_replay_that_is_killed_at_random_is_resumed_until_everything_was_sent(embedded: Installation) -> None:
    seed = time.time_ns()
    print(f"seed {seed}")
    chance = random.Random(seed)
    count = 4_000
    webhooks = [webhook(3, **{"request-id": b"%d" % number}) for number in range(count)]
    fill(embedded, *webhooks)
    journals = Journals(embedded.config.data_dir / "replays")
    arguments = ["--source", "shop", *FROM_TO, "--rate", "500", "--yes"]

    stops = 0
    while not journals.all() or journals.all()[0].state is not State.DONE:
        process = start(embedded, arguments)
        sent = journals.all()[0].sent if journals.all() else 0
        if sent == count:
            process.wait(60)  # it was killed before it said that it was done
            continue
        goal = min(count, sent + chance.randint(400, 1_000))
        wait_for(functools.partial(has_sent, journals, goal))
        time.sleep(chance.random() * 0.25)  # anywhere between two batches
        stops += process.poll() is None
        process.send_signal(chance.choice([signal.SIGKILL, signal.SIGINT]))
        process.wait(60)
        arguments = ["--resume", journals.all()[0].plan.id]

    found = [dict(record.headers)["request-id"] for record in asyncio.run(embedded.records(Topic.WEBHOOKS_REPLAY))]
    print(f"{stops} times stopped, {len(found) - count} sent twice")
    assert stops >= 2
    assert len(set(found)) == count
    assert len(found) <= count + 500 * stops
    assert journals.all()[0].sent == count
    assert replay(embedded, *arguments)[0] == 78


def test_a_cancelled_replay_stops_and_is_not_resumed(embedded: Installation) -> None:
    fill(embedded, *(webhook(3, **{"request-id": b"%d" % number}) for number in range(500)))
    journals = Journals(embedded.config.data_dir / "replays")
    process = start(embedded, ["--source", "shop", *FROM_TO, "--rate", "5", "--yes"])
    wait_for(lambda: has_sent(journals, 1))
    (progress,) = journals.all()

    second_code, second = replay(embedded, "--resume", progress.plan.id)
    code, output = replay(embedded, "cancel", progress.plan.id)
    ended = process.wait(60)
    resumed_code, resumed = replay(embedded, "--resume", progress.plan.id)
    listed = replay(embedded, "list")[1]

    assert (second_code, code, ended, resumed_code) == (78, 0, 1, 78)
    assert "Another process is at replay" in second
    assert "is cancelled" in resumed
    assert "cancelled" in listed
    assert 1 <= len(replayed(embedded)) < 500
    assert f"{len(replayed(embedded)):,} replayed webhooks wait" in listed
    assert json.loads((embedded.config.data_dir / "replays" / f"{progress.plan.id}.json").read_text())["sent"] == len(
        replayed(embedded)
    ), output


def start(installation: Installation, arguments: list[str]) -> "subprocess.Popen[bytes]":
    return subprocess.Popen(
        [HOOKMILL, "replay", *arguments],
        env=clean_environment(installation.environment),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def has_sent(journals: Journals, count: int) -> bool:
    return any(progress.sent >= count for progress in journals.all())


def wait_for(condition: object) -> None:
    assert callable(condition)
    deadline = time.monotonic() + 90
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
