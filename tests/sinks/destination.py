"""An HTTP destination on a loopback address, for tests of sinks that post."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Self

from aiohttp import web
from aiohttp.test_utils import TestServer

Answer = Callable[["Request"], Awaitable[web.Response | None]]
"""`None` resets the connection."""


@dataclass(frozen=True)
class Request:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes


class Destination:
    """A server that keeps what it was sent and answers as the test says; 200 unless it says something."""

    def __init__(self) -> None:
        self.requests: list[Request] = []
        self.answer: Answer = accept
        self.arrived = asyncio.Event()
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._take)
        self._server = TestServer(app, host="127.0.0.1")

    async def __aenter__(self) -> Self:
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    @property
    def port(self) -> int:
        assert self._server.port is not None
        return self._server.port

    def url(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def _take(self, request: web.Request) -> web.Response:
        taken = Request(request.path, dict(request.headers), await request.read())
        self.requests.append(taken)
        self.arrived.set()
        answer = await self.answer(taken)
        if answer is None and request.transport is not None:
            request.transport.abort()
        return answer or web.Response(status=500)


async def accept(request: Request) -> web.Response:
    """200, as Segment's APIs answer."""
    return web.json_response({"success": True})


def answering(status: int, **headers: str) -> Answer:
    """Always this."""

    async def answer(request: Request) -> web.Response:
        return web.Response(status=status, headers={name.replace("_", "-"): text for name, text in headers.items()})

    return answer
