"""Events that a recompute made take the place of those it supersedes, in any order and however often they come."""

from itertools import permutations
from pathlib import Path

import msgspec
import pytest

from sinks.contract import Event
from sinks.warehouses.sqlite import SqliteWarehouse
from tests.sinks.database import rows
from tests.sinks.messages import event


def made_by(generation: int, message_id: str, **fields: object) -> Event:
    return msgspec.structs.replace(event(message_id, **fields), generation=generation)


async def written(file: Path, *batches: list[Event]) -> dict[str, dict[str, dict[str, object]]]:
    """Tables with their rows, without our own columns, after the batches."""
    async with SqliteWarehouse(file) as sink:
        for batch in batches:
            await sink.write(batch)
    found = {table: rows(file, f"pipedrive__{table}") for table in ("tracks", "paid", "refunded")}
    return {
        table: {key: {name: value for name, value in row.items() if name[0] != "_"} for key, row in by_id.items()}
        for table, by_id in found.items()
    }


OLD = made_by(0, "m1", event="Paid", properties={"total": 1, "old": True})
NEW = made_by(7, "m1", event="Refunded", properties={"total": 2})
NEWEST = made_by(8, "m1", event="Paid", properties={"total": 3})
OTHERS = [made_by(0, "m2", event="Paid"), made_by(0, "m3", event="Refunded")]


async def test_an_event_of_a_higher_generation_takes_the_place_of_the_old_one_whatever_it_is_called(
    tmp_path: Path,
) -> None:
    fresh = await written(tmp_path / "fresh.db", [*OTHERS, made_by(0, "m1", event="Refunded", properties={"total": 2})])
    live = await written(tmp_path / "live.db", [OLD, *OTHERS], [NEW], [NEW])

    assert live == fresh


@pytest.mark.parametrize("order", list(permutations([OLD, NEW, NEWEST])))
async def test_the_highest_generation_wins_within_a_batch(tmp_path: Path, order: tuple[Event, ...]) -> None:
    live = await written(tmp_path / "live.db", [*OTHERS, *order])

    assert {table: found["m1"].get("total") for table, found in live.items() if "m1" in found} == {
        "tracks": None,
        "paid": 3,
    }
    assert "old" not in live["paid"]["m1"]


async def test_an_event_of_a_lower_or_the_same_generation_changes_nothing(tmp_path: Path) -> None:
    same = made_by(8, "m1", event="Paid", properties={"total": 4})

    live = await written(tmp_path / "live.db", [NEWEST, *OTHERS], [made_by(0, "m1", event="Paid")], [same])

    assert live["paid"]["m1"]["total"] == 3


async def test_a_repaired_event_appears_only_where_it_is_missing(tmp_path: Path) -> None:
    repairs = [made_by(-1, "m1", event="Paid", properties={"total": 9}), made_by(-1, "m4", event="Paid")]

    live = await written(tmp_path / "live.db", [OLD, *OTHERS], repairs)

    assert live["paid"]["m1"]["total"] == 1
    assert live["tracks"].keys() == {"m1", "m2", "m3", "m4"}


async def test_traits_of_a_user_are_those_of_the_recompute(tmp_path: Path) -> None:
    file = tmp_path / "live.db"
    identify = [
        made_by(generation, f"m{generation}", type="identify", userId="u", traits={"plan": plan})
        for generation, plan in ((0, "free"), (7, "paid"), (-1, "none"))
    ]

    async with SqliteWarehouse(file) as sink:
        for each in identify:
            await sink.write([each])

    assert rows(file, "pipedrive__users")["u"]["plan"] == "paid"
