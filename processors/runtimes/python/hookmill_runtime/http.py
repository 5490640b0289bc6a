"""`segment.http`: calls to the hosts that the source allows. The pool makes them; there is no other way out of here."""

import asyncio
import os
from collections.abc import Mapping
from itertools import count
from typing import Any, Final

from . import codec, frames
from .collector import Collector, current
from .frames import Channel, Frame
from .request import Headers

MAX_AT_ONCE: Final = 8
"""More wait their turn; the pool ends a runner that asks for more."""
MAX_BODY_BYTES: Final = 1_048_576
MAX_HEAD_BYTES: Final = 60_000
"""Of URL and headers: the pool takes 65,536 bytes with what is around them."""
_OFF: Final = (
    "The network is off for this source. Name the hosts that its function may reach in source.toml: "
    '[network] allow = ["api.example.com"].'
)


class FetchError(Exception):
    """The call was refused, or had no answer; the text says why. Another status than 200 is an answer."""


class Response:
    """What a host answered."""

    def __init__(self, status: int, url: str, headers: Headers, body: bytes) -> None:
        self.status = status
        self.url = url
        """Of the last redirect."""
        self.headers = headers
        self.body = body
        """Unpacked."""

    def text(self) -> str:
        """The body as UTF-8; what is not becomes U+FFFD."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body parsed. Errors: `json.JSONDecodeError`."""
        return codec.loads(self.body)


class Line:
    """To the pool. While a call is under way the loop reads what comes; between batches the harness does."""

    def __init__(self, channel: Channel, loop: asyncio.AbstractEventLoop) -> None:
        self._channel = channel
        self._loop = loop
        self._numbers = count()
        self._room = asyncio.Semaphore(MAX_AT_ONCE)
        self._waiting: dict[int, asyncio.Future[Frame]] = {}

    async def call(self, head: dict[str, Any], body: bytes) -> Frame:
        """The pool's answer, whatever it is."""
        await self._room.acquire()
        number = next(self._numbers)
        self._channel.send(frames.FETCH, {"id": number, **head}, body)
        if not self._waiting:
            self._loop.add_reader(self._channel.descriptor, self._read)
        answer: asyncio.Future[Frame] = self._loop.create_future()
        self._waiting[number] = answer
        return await answer

    def settle(self, frame: Frame) -> None:
        """Every call is answered once, also one that nobody waits for any more: only then there is room for another."""
        answer = self._waiting.pop(frame.header["id"])
        self._room.release()
        if not self._waiting:
            self._loop.remove_reader(self._channel.descriptor)
        if not answer.done():
            answer.set_result(frame)

    def _read(self) -> None:
        frame = self._channel.receive()
        if frame is None:
            os._exit(0)  # the pool is gone
        self.settle(frame)


class Http:
    """Makes calls, each within the time that is left to the invocation, 50 at most."""

    def __init__(self) -> None:
        self.line: Line | None = None
        """Set once there is network."""

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Response:
        """Errors: as `request`."""
        return await self.request("GET", url, headers=headers)

    async def post(
        self, url: str, *, json: Any = None, body: bytes | str = b"", headers: Mapping[str, str] | None = None
    ) -> Response:
        """Errors: as `request`."""
        return await self.request("POST", url, json=json, body=body, headers=headers)

    async def request(
        self,
        method: str,
        url: str,
        *,
        json: Any = None,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """What the host answers, redirects followed. `json` is sent as such, else `body` as it is.

        Errors: `FetchError`.
        """
        if self.line is None:
            raise FetchError(_OFF)
        pairs = [(str(name), str(value)) for name, value in (headers or {}).items()]
        content = body.encode() if isinstance(body, str) else bytes(body)
        if json is not None:
            content = codec.dumps(json)
            if not any(name.lower() == "content-type" for name, _ in pairs):
                pairs.append(("Content-Type", "application/json"))
        index = _running().index
        head = {"index": index, "method": str(method), "url": str(url), "headers": pairs, "redirect": "follow"}
        if len(content) > MAX_BODY_BYTES:
            raise FetchError(f"A request body of {len(content)} bytes exceeds the limit of {MAX_BODY_BYTES} bytes.")
        if len(codec.dumps(head)) > MAX_HEAD_BYTES:
            raise FetchError(f"The URL and the headers of a request exceed the limit of {MAX_HEAD_BYTES} bytes.")
        return _response(await self.line.call(head, content))


def _response(frame: Frame) -> Response:
    head = frame.header
    if "error" in head:
        raise FetchError(head["error"])
    headers = Headers(head.get("headers", []))
    return Response(head["status"], head["url"], headers, bytes(frame.content[frame.sections_at :]))


def _running() -> Collector:
    collector = current.get(None)
    if collector is None:
        raise RuntimeError("segment.http was called outside of on_request.")
    if collector.is_closed:
        raise RuntimeError("segment.http was called after on_request had ended.")
    return collector
