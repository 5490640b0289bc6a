"""What commands share: how their work runs."""

import gc
from collections.abc import Iterator

import pytest

from console.command import run_async


@pytest.fixture
def no_collections() -> Iterator[None]:
    """As `console.main` leaves it."""
    gc.disable()
    yield
    gc.enable()
    gc.unfreeze()


@pytest.mark.usefixtures("no_collections")
def test_collections_begin_with_the_work_and_pass_over_what_was_loaded() -> None:
    async def work() -> tuple[bool, int]:
        return gc.isenabled(), gc.get_freeze_count()

    is_enabled, passed_over = run_async(work())

    assert is_enabled
    assert passed_over > 10_000
