"""Turns: who may run webhooks of a key, and what follows from how the one before ended."""

import asyncio
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from processors.turns import End, Turn, Turns


async def test_a_turn_comes_when_those_before_it_of_its_keys_have_ended() -> None:
    turns = Turns()
    first, other, second = turns.reserve([b"a"]), turns.reserve([b"b"]), turns.reserve([b"a"])
    coming = asyncio.create_task(second.come())
    await asyncio.sleep(0)
    before = (second.has_come(b"a"), other.has_come(b"b"), coming.done())

    turns.end(first, End.DONE)

    assert before == (False, True, False)
    assert await coming == {End.DONE}
    assert second.has_come(b"a")


async def test_how_those_before_ended_is_told() -> None:
    turns = Turns()
    first, second = turns.reserve([b"a"]), turns.reserve([b"b"])
    third = turns.reserve([b"a", b"b", b"c"])

    turns.end(second, End.LEFT)
    turns.end(first, End.FAILED)

    assert await third.come() == {End.LEFT, End.FAILED}


async def test_a_turn_that_ended_is_not_waited_for() -> None:
    turns = Turns()
    turns.end(turns.reserve([b"a"]), End.FAILED)

    assert await turns.reserve([b"a"]).come() == frozenset()
    assert len(turns) == 1


@settings(max_examples=100, deadline=None)
@given(st.lists(st.frozensets(st.sampled_from([b"a", b"b", b"c"]), min_size=1), max_size=12), st.randoms())
def test_turns_of_a_key_come_in_the_order_of_reservation_and_leave_nothing(
    wanted: list[frozenset[bytes]], random: Random
) -> None:
    async def run() -> list[int]:
        turns = Turns()
        came: list[int] = []

        async def take(number: int, turn: Turn) -> None:
            await turn.come()
            came.append(number)
            for _ in range(random.randrange(4)):
                await asyncio.sleep(0)
            turns.end(turn, End.DONE)

        reserved = list(enumerate(map(turns.reserve, wanted)))
        random.shuffle(reserved)
        async with asyncio.timeout(5), asyncio.TaskGroup() as group:
            for number, turn in reserved:
                group.create_task(take(number, turn))
        assert len(turns) == 0
        return came

    came = asyncio.run(run())

    for key in (b"a", b"b", b"c"):
        of_key = [number for number, keys in enumerate(wanted) if key in keys]
        assert [number for number in came if number in of_key] == of_key
