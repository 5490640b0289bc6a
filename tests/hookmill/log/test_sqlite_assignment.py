"""What a reader of the embedded log owns and where it stands."""

import pytest

from hookmill.log.sqlite.assignment import Assignment
from hookmill.records import TopicPartition

ONE, TWO = TopicPartition("t", 1), TopicPartition("t", 2)


@pytest.fixture
def assignment() -> Assignment:
    """Owns both, from 10 on."""
    assignment = Assignment()
    assignment.gain({ONE: 10, TWO: 10})
    assignment.let_go([ONE, TWO])
    return assignment


def test_a_gained_partition_is_owned_but_not_read_before_it_is_let_go() -> None:
    assignment = Assignment()

    assignment.gain({ONE: 10})

    assert assignment.owned == {ONE}
    assert assignment.readable() == {}
    assignment.let_go([ONE])
    assert assignment.readable() == {ONE: 10}


def test_what_was_read_before_a_seek_is_not_accepted_after_it(assignment: Assignment) -> None:
    assignment.seek({ONE: 3})

    assert not assignment.advance(ONE, asked=10, position=15)
    assert assignment.advance(ONE, asked=3, position=4)
    assert assignment.readable() == {ONE: 4, TWO: 10}


def test_what_was_read_before_a_pause_or_a_loss_is_not_accepted(assignment: Assignment) -> None:
    assignment.pause([ONE])
    assignment.lose([TWO])

    assert not assignment.advance(ONE, asked=10, position=15)
    assert not assignment.advance(TWO, asked=10, position=15)
    assignment.resume([ONE])
    assert assignment.readable() == {ONE: 10}


def test_a_partition_that_comes_back_is_not_paused_any_more(assignment: Assignment) -> None:
    assignment.pause([ONE])
    assignment.lose([ONE])

    assignment.gain({ONE: 20})
    assignment.let_go([ONE])

    assert assignment.readable() == {ONE: 20, TWO: 10}


def test_a_refused_commit_loses_the_partition_and_keeps_the_others(assignment: Assignment) -> None:
    assignment.commit({ONE: 12, TWO: 13}, refused={ONE})

    assert assignment.owned == {TWO}
    assert assignment.committed(is_alone=False) == {TWO: 13}


def test_without_group_the_reader_stands_where_it_has_read(assignment: Assignment) -> None:
    assignment.advance(ONE, asked=10, position=17)

    assert assignment.committed(is_alone=True) == {ONE: 17, TWO: 10}
    assert assignment.committed(is_alone=False) == {ONE: 10, TWO: 10}
