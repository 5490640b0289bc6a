"""`hookmill dlq`, as a command, on both engines of the log."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hookmill.records import NewRecord
from hookmill.topics import Topic
from tests.processes import HOOKMILL, clean_environment, run_hookmill
from tests.redelivery.installation import Installation

HOUR_MS = 3_600_000
NOON_MS = 1_795_521_600_000  # 2026-11-24T12:00:00Z


embedded = pytest.mark.parametrize("installation", ["sqlite"], indirect=True)
"""Where the engine makes no difference."""


def letter(number: int, **changes: str) -> NewRecord:
    """Dead letter `number`: it failed so many hours after noon."""
    said = {
        "format": "1",
        "request-id": f"request-{number}",
        "source": "shop",
        "received-at": "1795521600000000",
        "delivery-count": "6",
        "stage": "function",
        "error-class": "TypeError",
        "error": f"order {number} has no total",
        "first-failed-at": str(NOON_MS),
        "last-failed-at": str(NOON_MS + number * HOUR_MS),
        "function-version": "0123456789abcdef",
        "x-unknown": "carried through",
        **changes,
    }
    headers = tuple((name, value.encode()) for name, value in said.items())
    return NewRecord(b'{"order": %d}\x00\xff' % number, key=b"key-%d" % number, headers=headers)


def dlq(installation: Installation, *arguments: str, **environment: str) -> tuple[int, str]:
    return run_hookmill("dlq", *arguments, env={**installation.environment, **environment})


def listed(installation: Installation, *arguments: str) -> list[dict[str, object]]:
    code, output = dlq(installation, "list", "--json", *arguments)
    assert code == 0, output
    return [json.loads(line) for line in output.splitlines()]


def fill(installation: Installation, *letters: NewRecord) -> None:
    asyncio.run(installation.send(Topic.DEAD_LETTERS, *letters))


def sent(installation: Installation, topic: Topic) -> list[tuple[bytes | None, bytes | None, dict[str, bytes]]]:
    records = asyncio.run(installation.records(topic))
    return sorted((record.key, record.value, dict(record.headers)) for record in records)


@embedded
def test_letters_are_listed_the_newest_first_and_found_by_what_is_known_of_them(installation: Installation) -> None:
    fill(
        installation,
        letter(1),
        letter(2, source="crm"),
        letter(3, stage="events:warehouse", **{"error-class": "SinkRejected"}),
        letter(4, **{"function-version": "fedcba9876543210"}),
    )

    def requests(*arguments: str) -> list[object]:
        return [found["requestId"] for found in listed(installation, *arguments)]

    assert requests() == ["request-4", "request-3", "request-2", "request-1"]
    assert requests("--limit", "2") == ["request-4", "request-3"]
    assert requests("--source", "crm") == ["request-2"]
    assert requests("--stage", "events:warehouse") == ["request-3"]
    assert requests("--class", "SinkRejected") == ["request-3"]
    assert requests("--function-version", "fedc") == ["request-4"]
    assert requests("--since", "2026-11-24T14:00", "--until", "2026-11-24T15:00+00:00") == ["request-2"]
    assert requests("--source", "nobody") == []
    assert "No dead letters." in dlq(installation, "list", "--source", "nobody")[1]


@embedded
def test_one_trouble_is_one_group_although_ids_and_numbers_differ(installation: Installation) -> None:
    fill(
        installation,
        *(letter(number) for number in range(1, 4)),
        letter(4, error="Cannot read 'total' of undefined"),
        letter(5, error="Cannot read 'sum' of undefined"),
        letter(6, source="crm"),
    )

    code, output = dlq(installation, "group", "--json")

    groups = [json.loads(line) for line in output.splitlines()]
    assert code == 0
    assert [(group["letters"], group["source"], group["example"]) for group in groups] == [
        (3, "shop", "order 3 has no total"),
        (2, "shop", "Cannot read 'sum' of undefined"),
        (1, "crm", "order 6 has no total"),
    ]
    assert len(listed(installation, "--fingerprint", groups[0]["fingerprint"])) == 4
    assert len(listed(installation, "--fingerprint", groups[0]["fingerprint"], "--source", "shop")) == 3


@embedded
def test_a_letter_is_shown_with_its_headers_and_its_exact_body(installation: Installation) -> None:
    fill(installation, letter(1, error="bad \x1b[31mescape"))
    (found,) = listed(installation)

    code, output = dlq(installation, "show", str(found["id"]))
    command = [HOOKMILL, "dlq", "show", str(found["id"]), "--body"]
    body = subprocess.check_output(command, env=clean_environment(installation.environment), timeout=120)

    assert code == 0
    assert "x-unknown: carried through" in output
    assert '{"order": 1}' in output
    assert "\x1b" not in output
    assert body == b'{"order": 1}\x00\xff'


def test_redriven_letters_are_first_deliveries_of_the_same_webhooks(installation: Installation) -> None:
    fill(installation, letter(1), letter(2), letter(3, stage="objects:warehouse"), letter(4, source="crm"))
    ids = {found["requestId"]: str(found["id"]) for found in listed(installation)}

    code, output = dlq(installation, "redrive", "--source", "shop", "--yes")

    assert code == 0, output
    assert "Redriven 3." in output
    assert [found["requestId"] for found in listed(installation)] == ["request-4"]
    kept = {
        "format": b"1",
        "source": b"shop",
        "received-at": b"1795521600000000",
        "delivery-count": b"1",
        "function-version": b"0123456789abcdef",
        "x-unknown": b"carried through",
    }
    for topic, stage, numbers in (
        (Topic.WEBHOOKS_REDELIVERY, b"function", (1, 2)),
        (Topic.OBJECTS_REDELIVERY, b"objects:warehouse", (3,)),
    ):
        assert sent(installation, topic) == [
            (
                b"key-%d" % number,
                b'{"order": %d}\x00\xff' % number,
                {
                    **kept,
                    "stage": stage,
                    "request-id": b"request-%d" % number,
                    "redrive-of": ids[f"request-{number}"].encode(),
                },
            )
            for number in numbers
        ]


@embedded
def test_what_was_settled_stays_settled_when_the_index_is_lost(installation: Installation) -> None:
    fill(installation, letter(1), letter(2), letter(3))
    ids = {found["requestId"]: str(found["id"]) for found in listed(installation)}
    assert dlq(installation, "redrive", ids["request-1"], "--yes")[0] == 0
    assert dlq(installation, "drop", ids["request-2"], "--yes")[0] == 0
    for path in Path(installation.config.data_dir).glob("dead-letters.index*"):
        path.unlink()

    states = {found["requestId"]: found["settled"] for found in listed(installation, "--settled")}

    assert states == {"request-1": "redriven", "request-2": "dropped", "request-3": None}
    assert [found["requestId"] for found in listed(installation)] == ["request-3"]


@embedded
def test_a_dry_run_and_a_question_nobody_answers_change_nothing(installation: Installation) -> None:
    fill(installation, letter(1), letter(2))

    dry_code, dry = dlq(installation, "redrive", "--all", "--dry-run")
    unasked_code, unasked = dlq(installation, "drop", "--all")

    assert dry_code == 0
    assert "Redrive 2 dead letters" in dry
    assert unasked_code == 78
    assert "--yes" in unasked
    assert len(listed(installation)) == 2
    assert sent(installation, Topic.WEBHOOKS_REDELIVERY) == []


@embedded
def test_an_edited_webhook_is_a_delivery_of_its_own_that_names_the_old_one(
    installation: Installation, tmp_path: Path
) -> None:
    fill(installation, letter(1))
    (found,) = listed(installation)
    editor = tmp_path / "editor.py"
    editor.write_text("import sys, pathlib\npathlib.Path(sys.argv[1]).write_bytes(b'{\"order\": 100}')\n")

    code, output = dlq(installation, "redrive", str(found["id"]), "--edit", EDITOR=f"{sys.executable} {editor}")

    assert code == 0, output
    ((key, value, headers),) = sent(installation, Topic.WEBHOOKS_REDELIVERY)
    assert (key, value) == (b"key-1", b'{"order": 100}')
    assert headers["redrive-of"] == str(found["id"]).encode()
    assert headers["request-id"] != b"request-1"
    assert headers["request-id"].decode() in output
    assert listed(installation) == []


@embedded
def test_an_editor_that_changes_nothing_or_fails_delivers_nothing(installation: Installation) -> None:
    fill(installation, letter(1))
    (found,) = listed(installation)

    unchanged, said = dlq(installation, "redrive", str(found["id"]), "--edit", EDITOR="true")
    failed, why = dlq(installation, "redrive", str(found["id"]), "--edit", EDITOR="false")

    assert (unchanged, failed) == (1, 78)
    assert "nothing was done" in said
    assert "exit code 1" in why
    assert len(listed(installation)) == 1


def test_letters_that_arrive_later_are_found_and_a_second_redrive_finds_none(installation: Installation) -> None:
    fill(installation, letter(1))
    assert dlq(installation, "redrive", "--all", "--yes")[0] == 0
    fill(installation, letter(2))

    assert [found["requestId"] for found in listed(installation)] == ["request-2"]
    assert dlq(installation, "redrive", "--all", "--yes")[0] == 0
    code, output = dlq(installation, "redrive", "--all", "--yes")

    assert code == 0
    assert "No dead letters." in output
    assert len(sent(installation, Topic.WEBHOOKS_REDELIVERY)) == 2


@embedded
def test_foreign_and_forged_letters_are_listed_like_any_other(installation: Installation) -> None:
    forged = NewRecord(b"", key=b"k", headers=(("settles", b"0-0"), ("settled", b"nonsense")))
    absurd = letter(1, **{"last-failed-at": "-5", "delivery-count": "99999999999", "stage": "nowhere"})
    fill(installation, NewRecord(b"no headers at all"), forged, absurd)

    assert len(listed(installation)) == 3
    code, output = dlq(installation, "redrive", "--all", "--yes")

    assert code == 0
    assert "3 are gone by retention or name no stage" in output
    assert len(listed(installation)) == 3
