"""Where records of the embedded log go."""

import pytest

from hookmill.errors import RecordTooLarge
from hookmill.log.sqlite.placement import joined, place
from hookmill.records import NewRecord
from hookmill.topics import DAY_MS, TopicSpec

SPEC = TopicSpec("t", 4, DAY_MS, 2_000_000)


@pytest.mark.parametrize(
    ("key", "partition"),
    # crc32 of the key modulo 4, worked out with another tool: echo -n key | gzip -c | tail -c8 | hexdump
    [(b"", 0x00000000 % 4), (b"a", 0xE8B7BE43 % 4), (b"123456789", 0xCBF43926 % 4)],
)
def test_the_partition_of_a_key_never_changes(key: bytes, partition: int) -> None:
    (piece,) = place([NewRecord(b"v", key=key)], SPEC, keyless_partition=1, now_ms=1)

    assert piece.partition == partition


def test_keyless_records_of_a_call_stay_together_and_a_given_partition_wins() -> None:
    records = [NewRecord(b"1"), NewRecord(b"2", key=b"a", partition=0), NewRecord(b"3")]

    pieces = place(records, SPEC, keyless_partition=2, now_ms=1)

    assert [(piece.partition, [stored.value for stored in piece.records]) for piece in pieces] == [
        (2, [b"1", b"3"]),
        (0, [b"2"]),
    ]


def test_a_piece_is_no_more_than_a_span() -> None:
    many = place([NewRecord(b"x")] * 1_001, SPEC, keyless_partition=0, now_ms=1)
    large = place([NewRecord(b"x" * 600_000)] * 3, SPEC, keyless_partition=0, now_ms=1)
    huge = place([NewRecord(b"x" * 1_500_000), NewRecord(b"x")], SPEC, keyless_partition=0, now_ms=1)

    assert [len(piece.records) for piece in many] == [500, 500, 1]
    assert [len(piece.records) for piece in large] == [1, 1, 1]
    assert [len(piece.records) for piece in huge] == [1, 1]


def test_the_limit_counts_key_value_and_headers_and_is_inclusive() -> None:
    spec = TopicSpec("t", 1, DAY_MS, 100)
    fits = NewRecord(b"v" * 80, key=b"k" * 10, headers=(("name", b"value."),))

    (piece,) = place([fits], spec, keyless_partition=0, now_ms=1)

    assert piece.size_bytes == 100
    with pytest.raises(RecordTooLarge, match=r'101 bytes exceeds the limit of 100 bytes of topic "t"'):
        place([NewRecord(b"v" * 101)], spec, keyless_partition=0, now_ms=1)


def test_a_partition_that_does_not_exist_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="4 partitions"):
        place([NewRecord(b"x", partition=4)], SPEC, keyless_partition=0, now_ms=1)


def test_small_calls_are_joined_into_one_row_per_partition_in_their_order() -> None:
    calls = [
        place([NewRecord(b"%d" % number, timestamp_ms=100 - number)], SPEC, keyless_partition=number % 2, now_ms=1)
        for number in range(6)
    ]

    pieces = joined([piece for call in calls for piece in call])

    assert [(piece.partition, [stored.value for stored in piece.records]) for piece in pieces] == [
        (0, [b"0", b"2", b"4"]),
        (1, [b"1", b"3", b"5"]),
    ]
    assert [piece.max_timestamp_ms for piece in pieces] == [100, 99]
