"""Connections: aiohttp's server with our limits, and with answers to broken HTTP that repeat nothing of it."""

import asyncio
from http import HTTPStatus
from typing import Final

from aiohttp import http_parser, web

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
    """A server whose connections answer errors themselves."""

    def __call__(self) -> web.RequestHandler:
        """A new connection."""
        return _Connection(
            self,
            loop=asyncio.get_running_loop(),
            access_log=None,  # type: ignore[arg-type] # aiohttp's own way to have none
            auto_decompress=False,
            keepalive_timeout=_KEEPALIVE_S,
            lingering_time=_LINGERING_S,
        )


class _Connection(web.RequestHandler):
    """aiohttp answers what it cannot parse with the line in question and logs it with a stack; both may hold tokens."""

    __slots__ = ()

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
