"""Records are public: samples of each form are read by today's readers, and by those of the release before."""

from pathlib import Path

import msgspec

from hookmill.codec import JsonValue, ObjectWrite, decode_object, encode

SAMPLES = Path(__file__).parent / "samples"


class ObjectWriteBeforeDeletions(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """`ObjectWrite` as sinks had it that knew of no deletions."""

    collection: str
    id: str
    version: tuple[int, int, int, int, int]
    message_id: str
    received_at: str
    properties: dict[str, JsonValue] = {}


def sample(name: str) -> bytes:
    return (SAMPLES / f"{name}.json").read_bytes()


def test_an_object_write_from_before_deletions_deletes_nothing() -> None:
    assert decode_object(sample("object-write")) == ObjectWrite(
        collection="deals",
        id="d1",
        version=(1_764_000_000_000_000, 3, 17, 0, 1),
        message_id="m-2",
        received_at="2026-11-23T10:00:00.000Z",
        properties={"title": "A", "value": 1.5, "closed": None},
        deleted=False,
    )


def test_a_deletion_is_an_object_write_that_is_marked() -> None:
    assert decode_object(sample("object-write-deleted")) == ObjectWrite(
        collection="deals",
        id="d1",
        version=(1_764_000_000_000_000, 3, 17, 0, 2),
        message_id="m-3",
        received_at="2026-11-23T10:00:00.000Z",
        deleted=True,
    )


def test_object_writes_are_written_as_the_samples_are() -> None:
    for name in ("object-write", "object-write-deleted"):
        assert encode(decode_object(sample(name))) == sample(name)


def test_sinks_from_before_deletions_read_one_as_a_write_that_sets_nothing() -> None:
    write = msgspec.json.decode(sample("object-write-deleted"), type=ObjectWriteBeforeDeletions)

    assert (write.collection, write.id, write.properties) == ("deals", "d1", {})
