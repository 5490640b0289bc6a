"""The merge of object writes, per column."""

from datetime import UTC, datetime
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from sinks.flatten import Row
from sinks.merge import ObjectRow, deleted_at, merge


def row(position: int, **columns: int | None) -> ObjectRow:
    return ObjectRow((position, 0, 0, 0, 0), dict(columns))


def deletion(position: int) -> ObjectRow:
    return ObjectRow((position, 0, 0, 0, 0), None)


def after(*batches: list[ObjectRow]) -> Row | None:
    """The row that a warehouse would hold; `None` when there is none."""
    held: Row | None = None
    stored = None
    for batch in batches:
        merged = merge(stored, batch)
        if merged is not None:
            held = None if merged.columns is None else {**(held or {}), **merged.columns}
            stored = merged.versions
    return held


def test_a_missing_column_is_kept() -> None:
    assert after([row(1, a=1, b=1)], [row(2, b=2)]) == {"a": 1, "b": 2}


def test_a_late_write_still_gives_what_newer_ones_did_not_touch() -> None:
    assert after([row(2, b=2)], [row(1, a=1, b=1)]) == {"a": 1, "b": 2}


def test_null_clears_for_good() -> None:
    assert after([row(2, a=None)], [row(1, a=1)]) == {"a": None}


def test_a_row_that_is_ahead_is_not_written() -> None:
    merged = merge(None, [row(2, a=2)])
    assert merged is not None

    assert merge(merged.versions, [row(1, a=1)]) is None


def test_a_deleted_row_is_gone_and_older_writes_do_not_bring_it_back() -> None:
    assert after([row(1, a=1)], [deletion(3)]) is None
    assert after([row(1, a=1)], [deletion(3)], [row(2, a=2, b=2)]) is None
    assert after([deletion(3)], [row(2, a=2)]) is None


def test_a_newer_write_brings_a_row_back_with_only_its_own_columns() -> None:
    assert after([row(1, a=1, b=1)], [deletion(2)], [row(3, b=3)]) == {"b": 3}
    assert after([row(1, a=1, b=1)], [deletion(2)], [row(3, b=3)], [row(1, a=1, b=1)]) == {"b": 3}


def test_a_late_deletion_takes_what_is_older_and_leaves_the_rest() -> None:
    assert after([row(1, a=1, b=1)], [row(3, b=3)], [deletion(2)]) == {"a": None, "b": 3}
    assert after([row(3, b=3)], [deletion(2)], [row(1, a=1)]) == {"b": 3}


def test_a_deletion_that_is_known_is_not_written() -> None:
    merged = merge(None, [deletion(2)])
    assert merged is not None

    assert merge(merged.versions, [deletion(2)]) is None
    assert merge(merged.versions, [deletion(1), row(2, a=1)]) is None


def test_a_write_that_sets_nothing_yields_to_the_deletion_it_was_read_as() -> None:
    """A sink from before there were deletions read them as writes of `received_at` alone."""
    assert after([row(1, a=1)], [row(2, received_at=2)], [deletion(2)]) is None


def test_a_tombstone_tells_when_the_object_was_deleted() -> None:
    merged = merge(None, [ObjectRow((1_764_000_000_000_000, 1, 2, 0, 0), None)])
    assert merged is not None

    assert deleted_at(merged.versions) == datetime(2025, 11, 24, 16, 0, tzinfo=UTC)


WRITES = st.lists(
    st.tuples(
        st.integers(1, 30),
        st.one_of(
            st.none(),
            st.dictionaries(st.sampled_from("abcd"), st.one_of(st.none(), st.integers(0, 99)), min_size=1, max_size=4),
        ),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda pair: pair[0],
)


@settings(deadline=None)
@given(WRITES, st.randoms(use_true_random=False))
def test_order_repetition_and_batching_make_no_difference(writes: list[tuple[int, Row | None]], random: Random) -> None:
    expected: Row | None = None
    for _, columns in sorted(writes, key=lambda pair: pair[0]):
        expected = None if columns is None else {**(expected or {}), **columns}
    arrivals = [ObjectRow((position, 0, 0, 0, 0), columns) for position, columns in writes * 2]
    random.shuffle(arrivals)

    batches = []
    while arrivals:
        size = random.randint(1, 4)
        batches.append(arrivals[:size])
        del arrivals[:size]

    assert _without_nulls(after(*batches)) == _without_nulls(expected)


def _without_nulls(held: Row | None) -> Row | None:
    """A column that was taken away is null, as one that was never there."""
    return None if held is None else {column: value for column, value in held.items() if value is not None}
