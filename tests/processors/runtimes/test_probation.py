"""When a source works alone, how long it pauses, and when that is over."""

import pytest

from processors.runtimes.probation import Probation


def noted(*times_s: float) -> Probation:
    probation = Probation()
    for now_s in times_s:
        probation.note_fault(now_s)
    return probation


@pytest.mark.parametrize(
    ("times_s", "is_on"),
    [
        ((), False),
        ((0, 1), False),
        ((0, 1, 2), True),
        ((0, 5, 10), True),
        ((0, 5, 10.1), False),
        ((0, 9, 11, 12), True),
        ((0, 20, 40, 60), False),
    ],
)
def test_three_faults_in_ten_seconds_begin_it(times_s: tuple[float, ...], is_on: bool) -> None:
    assert noted(*times_s).is_on == is_on


def test_beginning_is_told_once() -> None:
    probation = Probation()

    assert [probation.note_fault(now_s) for now_s in (0, 1, 2, 3, 4)] == [False, False, True, False, False]


def test_pauses_double_up_to_a_second() -> None:
    pauses = [noted(*range(count)).pause_s for count in range(2, 9)]

    assert pauses == [0.0, 0.1, 0.2, 0.4, 0.8, 1.0, 1.0]


@pytest.mark.parametrize(("now_s", "is_forgotten"), [(31.9, False), (32.0, True)])
def test_thirty_quiet_seconds_end_it(now_s: float, is_forgotten: bool) -> None:
    assert noted(0, 1, 2).is_forgotten(now_s) == is_forgotten
