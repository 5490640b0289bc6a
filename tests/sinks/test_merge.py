"""The merge of object writes, per column."""

from hypothesis import given
from hypothesis import strategies as st

from sinks.flatten import Row
from sinks.merge import ObjectRow, merge


def row(position: int, **columns: int | None) -> ObjectRow:
    return ObjectRow((position, 0, 0, 0, 0), dict(columns))


def after(*batches: list[ObjectRow]) -> Row:
    """The row that a warehouse would hold."""
    held: Row = {}
    stored = None
    for batch in batches:
        merged = merge(stored, batch)
        if merged is not None:
            held.update(merged.columns)
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


WRITES = st.lists(
    st.tuples(
        st.integers(1, 30),
        st.dictionaries(st.sampled_from("abcd"), st.one_of(st.none(), st.integers(0, 99)), max_size=4),
    ),
    min_size=1,
    max_size=12,
    unique_by=lambda pair: pair[0],
)


@given(WRITES, st.randoms(use_true_random=False))
def test_order_repetition_and_batching_make_no_difference(writes: list[tuple[int, Row]], random: object) -> None:
    expected: Row = {}
    for _, columns in sorted(writes, key=lambda pair: pair[0]):
        expected |= columns
    arrivals = [ObjectRow((position, 0, 0, 0, 0), columns) for position, columns in writes * 2]
    random.shuffle(arrivals)  # type: ignore[attr-defined]

    batches = []
    while arrivals:
        size = random.randint(1, 4)  # type: ignore[attr-defined]
        batches.append(arrivals[:size])
        del arrivals[:size]

    assert after(*batches) == expected
