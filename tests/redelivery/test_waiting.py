"""Who is due on a delay partition, by both clocks."""

import pytest

from hookmill.headers import NOT_BEFORE
from hookmill.records import Record
from redelivery.clock import Now
from redelivery.waiting import Waiting

DELAY_S = 125.0
START_MS = 1_800_000_000_000
HOUR_MS = 3_600_000


def record(offset: int, not_before: bytes | None) -> Record:
    headers = () if not_before is None else ((NOT_BEFORE, not_before),)
    return Record("hookmill.delay.125s", 0, offset, START_MS, None, b"", headers)


def waiting_for(*seconds_from_start: float) -> Waiting:
    waiting = Waiting(DELAY_S)
    waiting.add(
        record(offset, b"%d" % (START_MS + round(seconds * 1_000))) for offset, seconds in enumerate(seconds_from_start)
    )
    return waiting


def after(seconds: float, wall_jump_ms: int = 0) -> Now:
    return Now(START_MS + round(seconds * 1_000) + wall_jump_ms, seconds)


def offsets(records: list[Record]) -> list[int]:
    return [record.offset for record in records]


def test_records_are_due_at_their_instant_and_not_a_millisecond_before() -> None:
    waiting = waiting_for(10, 10.5, 125)

    assert offsets(waiting.due(after(9.999))) == []
    assert offsets(waiting.due(after(10))) == [0]
    assert offsets(waiting.due(after(124.999))) == [0, 1]
    assert offsets(waiting.due(after(125))) == [0, 1, 2]


def test_records_stay_until_they_are_moved() -> None:
    waiting = waiting_for(10, 20)

    waiting.moved(len(waiting.due(after(10))))

    assert offsets(waiting.due(after(60))) == [1]
    assert waiting.remaining_s(after(15)) == 5


def test_a_record_that_has_to_wait_holds_those_behind_it() -> None:
    waiting = waiting_for(20, 10)

    assert offsets(waiting.due(after(15))) == []
    assert offsets(waiting.due(after(20))) == [0, 1]


@pytest.mark.parametrize("not_before", [None, b"", b"-1", b"soon", b"1e99", b"9" * 19, b"\xff", b"1" * 65_536])
def test_a_wait_that_cannot_be_read_is_over(not_before: bytes | None) -> None:
    waiting = Waiting(DELAY_S)
    waiting.add([record(0, not_before)])

    assert offsets(waiting.due(after(0))) == [0]


def test_a_clock_set_forward_ends_waits_by_its_time() -> None:
    waiting = waiting_for(100)

    assert offsets(waiting.due(after(1, HOUR_MS))) == [0]


def test_a_clock_set_back_delays_what_was_there_by_the_wait_of_the_topic_at_most() -> None:
    waiting = waiting_for(10, 20, 124)
    seen = after(5, -HOUR_MS)

    assert waiting.needs_mark(seen)
    waiting.mark(seen, 3)

    assert waiting.remaining_s(seen) == DELAY_S
    assert not waiting.needs_mark(seen)
    assert offsets(waiting.due(after(5 + DELAY_S - 0.001, -HOUR_MS))) == []
    assert offsets(waiting.due(after(5 + DELAY_S, -HOUR_MS))) == [0, 1, 2]


def test_what_came_after_the_mark_has_its_own_time() -> None:
    """Written after the clock was set back, so due by the new time; not 10 s after it was written."""
    waiting = waiting_for(124, 120 + DELAY_S - 3_600)
    waiting.mark(after(5, -HOUR_MS), 1)

    assert offsets(waiting.due(after(130, -HOUR_MS))) == [0]
    assert offsets(waiting.due(after(120 + DELAY_S, -HOUR_MS))) == [0, 1]


def test_a_second_forged_wait_needs_a_mark_of_its_own() -> None:
    waiting = waiting_for(9e9, 9e9)
    waiting.mark(after(0), 1)

    assert offsets(waiting.due(after(DELAY_S))) == [0]
    waiting.moved(1)
    assert waiting.needs_mark(after(DELAY_S))


def test_clocks_that_differ_a_little_need_no_mark() -> None:
    assert not waiting_for(DELAY_S + 1).needs_mark(after(0))
    assert waiting_for(DELAY_S + 1.001).needs_mark(after(0))
    assert not Waiting(DELAY_S).needs_mark(after(0))
