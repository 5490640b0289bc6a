"""Who a request is: its id, and the instant at which it first came."""

from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

from hookmill.ids import derived_request_id, new_request_id
from hookmill.selector import select
from ingest import metrics
from ingest.doors import Door

REMEMBERED: Final = 65_536
"""Deliveries whose first receipt is known; some 15 MB, and 20 minutes of 50 a second."""


class Identities:
    """Gives requests their ids; where the provider tells one, a repetition gets the id of the first, and its instant.

    The instant is the first part of the version of what the webhook writes. With an instant of its own, the late
    repetition of an old webhook would bring back an older state over what a newer one wrote (decision record 10).
    Instants are remembered within this process for the last `REMEMBERED` deliveries; ids need no memory.
    """

    def __init__(self) -> None:
        self._first_receipts: OrderedDict[str, int] = OrderedDict()

    def of(self, door: Door, headers: Sequence[tuple[str, str]], body: bytes, now_us: int) -> tuple[str, int]:
        """Request id, and instant of the first receipt in epoch microseconds."""
        selector = door.source.delivery_id
        if selector is None:
            return new_request_id(), now_us
        delivery_id = select(selector, headers, door.target, body)
        if delivery_id is None:
            metrics.count_without_delivery_id(door.source.id)
            return new_request_id(), now_us
        request_id = derived_request_id(door.source.id, delivery_id)
        return request_id, self._first_receipt(request_id, now_us)

    def _first_receipt(self, request_id: str, now_us: int) -> int:
        first = self._first_receipts.setdefault(request_id, now_us)
        if len(self._first_receipts) > REMEMBERED:
            self._first_receipts.popitem(last=False)
        return first
