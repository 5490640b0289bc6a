"""Ids are public: these values may never change."""

from uuid import RFC_4122, UUID

from hookmill.ids import chosen_message_id, derived_request_id, message_id, new_request_id


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
        chosen_message_id("shop", "r-1"),
    }

    assert len(ids) == 6
    assert {len(each) for each in ids} == {26}


def test_request_ids_are_uuids_of_version_7_that_rise() -> None:
    ids = [new_request_id() for _ in range(1_000)]

    assert ids == sorted(ids)
    assert {UUID(each).version for each in ids} == {7}


def test_the_request_id_of_a_delivery_is_a_uuid_of_version_8_that_stays_what_it_is() -> None:
    # SHA-256 over "hookmill-1", "delivery", source and delivery id joined by NUL, version and variant put in by hand.
    assert derived_request_id("shop", "msg_1") == "2da0841c-b640-8571-8bed-50b39d2d5543"
    assert UUID(derived_request_id("shop", "msg_1")).version == 8
    assert UUID(derived_request_id("shop", "msg_1")).variant == RFC_4122


def test_a_delivery_of_another_source_is_another_request() -> None:
    assert len({derived_request_id("shop", "1"), derived_request_id("shop", "2"), derived_request_id("crm", "1")}) == 3
