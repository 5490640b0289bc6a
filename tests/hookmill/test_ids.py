"""Ids are public: these values may never change."""

from uuid import UUID

from hookmill.ids import chosen_message_id, message_id, new_request_id


def test_message_ids_are_what_they_always_were() -> None:
    # Base32 of the first 16 bytes of SHA-256 over the parts joined by NUL, computed once by hand.
    assert message_id("shop", "r-1", "event", 0) == "eer6llfofnxv4cbif4slczvvt4"
    assert chosen_message_id("shop", "m-1") == "do6w4owjocym244gbuqqixazei"


def test_each_part_of_a_message_id_counts() -> None:
    ids = {
        message_id("shop", "r-1", "event", 0),
        message_id("shop", "r-1", "event", 1),
        message_id("shop", "r-1", "object", 0),
        message_id("shop", "r-2", "event", 0),
        message_id("shoq", "r-1", "event", 0),
        message_id("shop", "r-1", "event", 0, generation=1),
        chosen_message_id("shop", "r-1"),
    }

    assert len(ids) == 7
    assert {len(each) for each in ids} == {26}


def test_request_ids_are_uuids_of_version_7_that_rise() -> None:
    ids = [new_request_id() for _ in range(1_000)]

    assert ids == sorted(ids)
    assert {UUID(each).version for each in ids} == {7}
