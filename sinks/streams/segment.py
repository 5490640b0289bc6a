"""To Segment, or whatever speaks its Tracking API (`/v1/batch`) and Objects API (`/v1/set`).

Segment folds repetitions of an event by its `messageId`. Objects have no versions there: writes that come in one batch
are merged by ours, of others the last to come stays; `null` clears nothing (SEGMENT-SPEC W35, W36).
"""

import base64
import contextlib
from collections.abc import Sequence
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from hookmill.errors import ConfigError
from sinks.contract import Message, RecordRejected, Sink
from sinks.options import Surroundings, secret
from sinks.streams.endpoint import Endpoint, Refused, check_url, host
from sinks.streams.parcels import Courier, Parcel, Piece
from sinks.streams.segment_items import EVENTS, pieces_of

MAX_BATCH_EVENTS: Final = 2_500
MAX_BODY_BYTES: Final = 500_000
"""W4: 500 KB, read as the smaller of its two meanings."""
MAX_SET_OBJECTS: Final = 10
"""W19."""
_ENVELOPE_BYTES: Final = 256
"""Of a body, beside its pieces; a name of a collection has up to 100."""
_NOTHING: Final = (Piece((), b"", "check", "check"),)
"""A parcel that makes a body without items; its collection is called `check`."""


class SegmentOptions(msgspec.Struct, frozen=True):
    """`write_key_env`: the environment variable with the write key; `url`, `objects_url`: the hosts of the two APIs.

    Workspaces in the EU have https://events.eu1.segmentapis.com and https://objects.euw1.segment.com.
    """

    write_key_env: str
    url: str = "https://api.segment.io"
    objects_url: str = "https://objects.segment.com"

    def check(self) -> None:
        """See `Options`."""
        check_url(self.url)
        check_url(self.objects_url)
        if not self.write_key_env:
            raise ConfigError("write_key_env must name the environment variable that holds the write key.")

    def open(self, around: Surroundings) -> Sink:
        """See `Options`."""
        return Segment(
            Endpoint(f"{self.url.rstrip('/')}/v1/batch", allow_private=around.allow_private),
            Endpoint(f"{self.objects_url.rstrip('/')}/v1/set", allow_private=around.allow_private),
            self.write_key_env,
        )

    def target(self, data_dir: Path) -> str:
        """See `Options`."""
        return f"at {host(self.url)}"


class Segment:
    """A `Sink` that calls the two APIs."""

    def __init__(self, tracking: Endpoint, objects: Endpoint, write_key_env: str) -> None:
        self._tracking = tracking
        self._objects = objects
        self._write_key_env = write_key_env
        self._authorization = ""
        self._event_courier = Courier(self._post_events, 4)
        self._object_courier = Courier(self._post_objects, 1)

    async def __aenter__(self) -> Self:
        user = f"{secret(self._write_key_env)}:".encode()  # W3: the empty password counts
        self._authorization = f"Basic {base64.b64encode(user).decode()}"
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._tracking.__aexit__(kind, error, trace)
        await self._objects.__aexit__(kind, error, trace)

    async def check(self) -> Sequence[str]:
        """See `Checkable`: both APIs answer a request without messages otherwise than that the key is wrong."""
        async with self:
            for post in (self._post_events, self._post_objects):
                with contextlib.suppress(Refused):  # that it is empty
                    await post(_NOTHING)
        return ()

    async def write(self, batch: Sequence[Message]) -> None:
        """See `Sink`."""
        pieces, rejected = pieces_of(batch)
        if rejected:
            raise RecordRejected(rejected)
        room = MAX_BODY_BYTES - _ENVELOPE_BYTES
        events = [piece for piece in pieces if piece.group == EVENTS]
        objects = [piece for piece in pieces if piece.group != EVENTS]
        await self._event_courier.deliver(events, MAX_BATCH_EVENTS, room)
        await self._object_courier.deliver(objects, MAX_SET_OBJECTS, room)
        self._event_courier.forget()
        self._object_courier.forget()

    async def _post_events(self, parcel: Parcel) -> None:
        sent_at = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        body = b'{"batch":[%b],"sentAt":"%b"}' % (_joined(parcel), sent_at.encode())
        await self._tracking.post(body, self._headers(parcel))

    async def _post_objects(self, parcel: Parcel) -> None:
        body = b'{"collection":"%b","objects":[%b]}' % (parcel[0].group.encode(), _joined(parcel))
        # W21: what comes close together is applied in order.
        await self._objects.post(body, (*self._headers(parcel), ("Synchronous", "true")))

    def _headers(self, parcel: Parcel) -> tuple[tuple[str, str], ...]:
        keys = sha256("\n".join(piece.key for piece in parcel).encode("utf-8", "replace")).hexdigest()
        return (("Authorization", self._authorization), ("Idempotency-Key", keys))


def _joined(pieces: Sequence[Piece]) -> bytes:
    return b",".join(piece.json for piece in pieces)
