"""Rows as columns, and writes by the ids that are stored: held against what is plainly meant."""

from hypothesis import given
from hypothesis import strategies as st

from sinks.columns import by_stored_id, columns_of, shapes_of
from sinks.merge import ObjectRow
from sinks.values import as_text

ROWS = st.lists(st.dictionaries(st.sampled_from("abc"), st.none() | st.integers()), max_size=6)
IDS = st.text(st.sampled_from("ab\x00\ufffd"), max_size=3)
WRITES = st.builds(lambda at: ObjectRow((at, 0, 0, 0, 0), {}), st.integers(0, 9))


@given(ROWS)
def test_a_row_has_in_each_column_what_it_says_of_it_or_null(rows: list[dict[str, int | None]]) -> None:
    columns = columns_of(rows, shapes_of(rows))

    assert columns.keys() == {name for row in rows for name in row}
    for name, values in columns.items():
        assert list(values) == [row.get(name) for row in rows]


@given(st.dictionaries(IDS, st.lists(WRITES, min_size=1, max_size=3)))
def test_writes_to_ids_that_are_stored_alike_are_those_of_one_object_in_their_order(
    writes: dict[str, list[ObjectRow]],
) -> None:
    given_first = {object_id: list(of_it) for object_id, of_it in writes.items()}

    stored = by_stored_id(writes)

    assert stored == {
        text: [write for object_id, of_it in given_first.items() if as_text(object_id) == text for write in of_it]
        for text in map(as_text, writes)
    }
    assert writes == given_first
