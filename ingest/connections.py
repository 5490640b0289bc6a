"""Connections: aiohttp's server with our limits, and with answers to broken HTTP that repeat nothing of it."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from http import HTTPStatus
from typing import Any, Final, cast

from aiohttp import StreamReader, http_parser, web
from aiohttp.http_parser import RawRequestMessage

from hookmill.errors import ConfigError
from hookmill.telemetry import get_logger
from ingest import metrics
from ingest.answers import refused_answer
from ingest.refusals import Refused

log = get_logger(__name__)

_KEEPALIVE_S: Final = 15.0
"""Also bounds slow request heads and silent connections (RELIABILITY 5.2)."""

_LINGERING_S: Final = 2.0
"""After an early answer the rest of the body is read and thrown away for so long, so that the sender sees the answer
instead of a reset (RFC 9112, 9.6); then the connection is closed."""


def require_c_parser() -> None:
    """aiohttp parses in C. Errors: `ConfigError`; its parser in Python had holes (CVE-2025-69224) and is slow."""
    if http_parser.HttpRequestParser is http_parser.HttpRequestParserPy:
        raise ConfigError(
            "aiohttp runs with its parser in Python, which the receiver does not trust with strangers. Unset "
            "AIOHTTP_NO_EXTENSIONS, or install a build of aiohttp with extensions."
        )


class Connections(web.Server):
    """A server whose connections answer errors themselves.

    A request that came in one piece, with nobody ahead of it on its connection, is offered to `take` first, without a
    task, a request and a response of aiohttp's, which cost more than all we do with it. `take` says whether it has
    taken it, and calls `Connection.answer` once; what it leaves goes to `handle`.
    """

    def __init__(
        self,
        handle: Callable[[web.BaseRequest], Awaitable[web.StreamResponse]],
        take: Callable[["Connection", RawRequestMessage, StreamReader], bool],
    ) -> None:
        super().__init__(self._in_turn, access_log=None)
        self._handle = handle
        self.take = take

    def __call__(self) -> web.RequestHandler:
        """A new connection."""
        return Connection(self, asyncio.get_running_loop())

    async def _in_turn(self, request: web.BaseRequest) -> web.StreamResponse:
        connection = cast(Connection, request.protocol)
        await connection.answered()
        response = await self._handle(request)
        connection.handled(request, response)
        return response


class Connection(web.RequestHandler):
    """aiohttp answers what it cannot parse with the line in question and logs it with a stack; both may hold tokens."""

    __slots__ = ("_answered", "_is_done_with_last", "_owes_answer", "_take")

    def __init__(self, server: Connections, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to have none
            auto_decompress=False,
            keepalive_timeout=_KEEPALIVE_S,
            lingering_time=_LINGERING_S,
        )
        self._take = server.take
        self._owes_answer = False
        self._answered: asyncio.Future[None] | None = None
        self._is_done_with_last = False
        self._parser: Any = _Parser(self._parser, self._offer)

    def answer(self, answer: bytes, *, closes: bool) -> None:
        """The answer to the request that was taken is on its way, if the sender is still there."""
        self._owes_answer = False
        if self._answered is not None:
            self._answered.set_result(None)
            self._answered = None
        if self.transport is None or self.transport.is_closing():
            return
        self.transport.write(answer)
        self._next_keepalive_close_time = self._loop.time() + _KEEPALIVE_S
        if closes:
            self.force_close()

    async def answered(self) -> None:
        """The request that was taken, if there is one, has its answer."""
        if self._owes_answer:
            self._answered = self._loop.create_future()
            await self._answered

    def handled(self, request: web.BaseRequest, response: web.StreamResponse) -> None:
        """aiohttp writes this response, and then it waits for the next request, if nothing speaks against it."""
        stays_open = request.keep_alive and response.keep_alive is not False
        self._is_done_with_last = stays_open and request.content.is_eof() and not self._messages

    def _offer(self, messages: Sequence[tuple[RawRequestMessage, StreamReader]], is_upgraded: bool) -> bool:
        """Whether the request is taken: it is the only one on this connection, and whole. Else it goes to aiohttp."""
        message, payload = messages[0]
        if len(messages) == 1 and not is_upgraded and payload.is_eof() and self._is_idle():
            self._owes_answer = True  # before it is asked, for the answer may come at once
            if self._take(self, message, payload):
                return True
            self._owes_answer = False
        self._is_done_with_last = False
        return False

    def _is_idle(self) -> bool:
        """aiohttp waits for a request, or has answered the last and will do so when its task is run next.

        A sender that is quick is back before that, each time: all its requests would be left to aiohttp.
        """
        if self._owes_answer or self._messages or self._paused:
            return False
        if self._waiter is not None:
            return not self._waiter.done()
        return self._is_done_with_last and not (self._request_in_progress or self._close or self._force_close)

    def _process_keepalive(self) -> None:
        if self._owes_answer:
            self._next_keepalive_close_time = self._loop.time() + _KEEPALIVE_S
        super()._process_keepalive()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Reading goes on if it was paused.

        aiohttp 3.14 parses an empty packet for every body that is read, 1.2 us of each request, although only a paused
        parser can have something left.
        """
        if self._reading_paused:
            super().resume_reading(resume_parser)

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """A refusal that ends the connection: 400 for what is not HTTP, 500 for a fault of ours."""
        if status == HTTPStatus.BAD_REQUEST:
            log.debug("request.malformed", error=type(exc).__name__)
            refused = Refused(HTTPStatus.BAD_REQUEST, "http_malformed", "The request is not well-formed HTTP/1.1.")
        else:
            log.error("request.failed", exc_info=exc)
            refused = Refused(
                HTTPStatus.INTERNAL_SERVER_ERROR, "internal", "The receiver failed on this request: send it again."
            )
        metrics.count_answer(metrics.UNKNOWN_SOURCE, refused.status.value)
        return refused_answer(refused, closes=True)


class _Parser:
    """aiohttp's parser, whose requests are offered before aiohttp gets them."""

    __slots__ = ("_offer", "_parser")

    def __init__(
        self, parser: Any, offer: Callable[[Sequence[tuple[RawRequestMessage, StreamReader]], bool], bool]
    ) -> None:
        self._parser = parser
        self._offer = offer

    def feed_data(self, data: bytes) -> tuple[Any, bool, bytes]:
        """The requests that nobody took, whether the connection is upgraded, and what follows then."""
        messages, is_upgraded, tail = self._parser.feed_data(data)
        if messages and self._offer(messages, is_upgraded):
            self._parser.message_consumed()
            return (), False, b""
        return messages, is_upgraded, tail

    def __getattr__(self, name: str) -> Any:
        return getattr(self._parser, name)
