"""Calls become batches, and outcomes find their calls."""

import pytest

from hookmill.codec import FunctionError
from processors.runtimes.contract import Outcome, Status
from processors.runtimes.lane import Call, Lane, Ticket
from tests.processors.runtimes.languages import TRACK_NUMBER, webhook

OK = Outcome(Status.OK, 1.0)


def lane_with(*sizes: list[int]) -> tuple[Lane, list[Call]]:
    """A lane with a call for each list of body sizes."""
    lane = Lane(TRACK_NUMBER.code("python"))
    calls = [Call([webhook(bytes(size)) for size in call]) for call in sizes]
    for call in calls:
        lane.add(call)
    return lane, calls


def batches(lane: Lane) -> list[int]:
    """Numbers of invocations of the batches taken until nothing is left."""
    counts = []
    while batch := lane.take():
        counts.append(len(batch))
    return counts


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ([[0] * 5, [0] * 3], [8]),
        ([[0] * 128, [0]], [128, 1]),
        ([[0] * 300], [128, 128, 44]),
        ([[500_000] * 5], [2, 2, 1]),
        ([[1_048_576, 1]], [1, 1]),
        ([[1_048_575, 1]], [2]),
        ([[2_097_152, 2_097_152]], [1, 1]),
    ],
)
async def test_batch_is_up_to_128_invocations_and_1_mib(calls: list[list[int]], expected: list[int]) -> None:
    lane, _ = lane_with(*calls)

    assert batches(lane) == expected


async def test_call_is_done_when_every_invocation_has_its_outcome_in_order() -> None:
    lane, [call] = lane_with([0, 0])
    first, second = lane.take()
    other = Outcome(Status.ERROR, 2.0)

    second.call.settle(second.position, other)
    assert not call.done.done()
    first.call.settle(first.position, OK)

    assert await call.done == [OK, other]


async def test_given_back_invocations_come_first_and_in_order() -> None:
    lane, [first, second] = lane_with([0, 0, 0], [0])
    batch = lane.take()
    lane.add(late := Call([webhook()]))

    lane.give_back(batch[1:])

    assert lane.take() == [Ticket(first, 1), Ticket(first, 2), Ticket(second, 0), Ticket(late, 0)]


async def test_invocations_of_a_call_given_up_are_left_out() -> None:
    lane, [first, second] = lane_with([0, 0], [0])

    first.done.cancel()

    assert lane.take() == [Ticket(second, 0)]
    assert not lane.has_work


async def test_outcome_for_a_call_given_up_goes_nowhere() -> None:
    lane, [call] = lane_with([0])
    [ticket] = lane.take()

    call.done.cancel()
    ticket.call.settle(0, OK)

    assert call.done.cancelled()


async def test_load_error_is_the_outcome_of_all_that_wait() -> None:
    lane, [first, second] = lane_with([0, 0], [0])
    error = FunctionError("SyntaxError", "no")

    lane.reject_all(error)

    assert [(outcome.status, outcome.error) for outcome in (*await first.done, *await second.done)] == [
        (Status.REJECTED, error)
    ] * 3


async def test_bug_of_ours_is_raised_to_all_that_wait_and_run() -> None:
    lane, [first, second] = lane_with([0], [0])
    [running, _] = lane.take()

    lane.give_back([Ticket(second, 0)])
    lane.fail_all(ZeroDivisionError(), [running])

    for call in (first, second):
        with pytest.raises(ZeroDivisionError):
            await call.done
