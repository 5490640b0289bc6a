"""The parts of the Kafka engine that need no broker: partitions, batches, spans."""

import random

import pytest
from aiokafka import ConsumerRecord
from hypothesis import given, settings
from hypothesis import strategies as st

from hookmill.errors import RecordTooLarge
from hookmill.log.kafka.batches import Destination, pack, partitions_of
from hookmill.log.kafka.spans import SpanBuffer
from hookmill.records import NewRecord, TopicPartition

MIB = 1_048_576
WIDE = Destination("t", partitions=4, max_batch_bytes=4 * MIB)
PLACE = TopicPartition("t", 0)


# From org.apache.kafka.common.utils.UtilsTest.testMurmur2
JAVA_HASHES = {
    b"21": -973932308,
    b"foobar": -790332482,
    b"a-little-bit-long-string": -985981536,
    b"a-little-bit-longer-string": -1486304829,
    b"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8": -58897971,
    b"abc": 479470107,
}


@pytest.mark.parametrize("key", JAVA_HASHES)
def test_keys_go_where_java_clients_send_them(key: bytes) -> None:
    assert partitions_of([key], 2**31) == {key: JAVA_HASHES[key] & 0x7FFFFFFF}


@pytest.mark.parametrize("key", JAVA_HASHES)
def test_keys_go_there_as_well_among_many_of_their_length(key: bytes) -> None:
    others = [bytes([number]) * len(key) for number in range(100)]

    assert partitions_of([*others, key], 2**31)[key] == JAVA_HASHES[key] & 0x7FFFFFFF


@settings(deadline=None)
@given(st.integers(0, 70), st.randoms(use_true_random=False))
def test_a_key_goes_to_the_same_partition_alone_and_among_many(length: int, chance: random.Random) -> None:
    keys = [chance.randbytes(length) for _ in range(20)]

    together = partitions_of(keys, 2**31)

    assert together == {key: partition for each in keys for key, partition in partitions_of([each], 2**31).items()}


def test_keyless_records_of_one_send_go_to_one_partition_together() -> None:
    batches = pack([NewRecord(b"1"), NewRecord(b"2"), NewRecord(b"3")], WIDE, keyless_partition=2)

    assert [(partition, batch.record_count()) for partition, batch in batches] == [(2, 3)]


def test_a_named_partition_overrules_the_key() -> None:
    record = NewRecord(b"v", key=b"foobar", partition=1)

    assert [partition for partition, _ in pack([record], WIDE, 0)] == [1]
    assert partitions_of([b"foobar"], 4) != {b"foobar": 1}


def test_a_record_over_the_batch_size_is_a_batch_of_its_own() -> None:
    small, large = NewRecord(b"s"), NewRecord(bytes(2 * MIB))

    batches = pack([small, large, small], WIDE, 0)

    assert [batch.record_count() for _, batch in batches] == [1, 1, 1]


def test_batches_stay_below_what_the_topic_takes() -> None:
    narrow = Destination("t", partitions=1, max_batch_bytes=10_000)

    batches = pack([NewRecord(bytes(1_000))] * 25, narrow, 0)

    assert sum(batch.record_count() for _, batch in batches) == 25
    assert max(batch.size() for _, batch in batches) <= 10_000


def test_a_record_over_the_limit_of_its_topic_is_refused() -> None:
    # 10,000 less the headroom of 4,096 for the frame of the batch
    narrow = Destination("t", partitions=1, max_batch_bytes=10_000)

    assert pack([NewRecord(bytes(5_903), headers=(("h", b""),))], narrow, 0)
    with pytest.raises(RecordTooLarge, match=r"Record of 5,905 bytes exceeds the limit of 5,904 bytes"):
        pack([NewRecord(b""), NewRecord(bytes(5_904), headers=(("h", b""),))], narrow, 0)


def test_a_tombstone_without_key_is_refused() -> None:
    with pytest.raises(ValueError, match="needs a key"):
        pack([NewRecord(None)], WIDE, 0)


def test_a_partition_the_topic_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="has 4 partitions"):
        pack([NewRecord(b"", partition=4)], WIDE, 0)


def test_a_span_holds_at_most_500_records() -> None:
    buffer = SpanBuffer()
    buffer.add(PLACE, [_fetched(offset, b"x") for offset in range(1_100)])

    spans = [buffer.take([PLACE])[0] for _ in range(3)]

    assert [len(span.records) for span in spans] == [500, 500, 100]
    assert [span.next_offset for span in spans] == [500, 1_000, 1_100]
    assert buffer.take([PLACE]) == []


def test_a_span_holds_at_most_one_mebibyte_or_one_record() -> None:
    buffer = SpanBuffer()
    sizes = [MIB // 2, MIB // 2, 1, 2 * MIB, 1]
    buffer.add(PLACE, [_fetched(offset, bytes(size)) for offset, size in enumerate(sizes)])

    spans = [buffer.take([PLACE])[0] for _ in range(4)]

    assert [len(span.records) for span in spans] == [2, 1, 1, 1]


def test_partitions_that_are_not_asked_for_keep_their_records() -> None:
    buffer = SpanBuffer()
    buffer.add(PLACE, [_fetched(0, b"x")])

    assert buffer.take([TopicPartition("t", 1)]) == []
    assert buffer.holds(PLACE)


def _fetched(offset: int, value: bytes) -> ConsumerRecord:
    return ConsumerRecord("t", 0, offset, 1, 0, None, value, None, -1, len(value), ())
