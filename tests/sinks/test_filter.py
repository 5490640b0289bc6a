"""What a sink's filter lets through."""

from typing import Any

import pytest

from hookmill.registry import Only
from sinks.contract import Message
from sinks.filter import wants
from tests.sinks.messages import event, write

PAID = event("m1", event="Paid")
SHIPPED = event("m2", event="Shipped", source="shop")
IDENTIFY = event("m3", type="identify", userId="u1")
DEAL = write("d1", 1, {})
ORDER = write("o1", 1, {}, collection="orders", source="shop")
ALL: list[Message] = [PAID, SHIPPED, IDENTIFY, DEAL, ORDER]


@pytest.mark.parametrize(
    ("only", "expected"),
    [
        (Only(), ALL),
        (Only(sources=("shop",)), [SHIPPED, ORDER]),
        (Only(types=("identify",)), [IDENTIFY, DEAL, ORDER]),
        (Only(events=("Paid",)), [PAID, IDENTIFY, DEAL, ORDER]),
        (Only(types=("track",), events=("Paid",)), [PAID, DEAL, ORDER]),
        (Only(collections=("orders",)), [PAID, SHIPPED, IDENTIFY, ORDER]),
        (Only(sources=("shop",), events=("Paid",), collections=("deals",)), []),
        (Only(events=("paid",)), [IDENTIFY, DEAL, ORDER]),
    ],
)
def test_each_list_restricts_what_has_the_thing_it_names(only: Only, expected: list[Message]) -> None:
    is_wanted = wants(only)

    assert [message for message in ALL if is_wanted(message)] == expected


@pytest.mark.parametrize("name", [None, 5, ["Paid"], {"Paid": 1}])
def test_a_track_call_whose_event_is_no_name_is_left_out_where_names_are_asked_for(name: Any) -> None:
    assert not wants(Only(events=("Paid",)))(event("m1", event=name))
