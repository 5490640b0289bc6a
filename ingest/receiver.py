"""The receiver: takes webhooks in by HTTP and answers 202 when the log has them."""

import asyncio
import time
from collections.abc import Callable
from typing import Final

from aiohttp import HttpVersion11, StreamReader, hdrs, web
from aiohttp.http_parser import RawRequestMessage
from aiohttp.typedefs import RawHeaders
from multidict import CIMultiDictProxy

from hookmill.config import IngestConfig
from hookmill.errors import ConfigError
from hookmill.log import RecordSender
from hookmill.records import NewRecord
from hookmill.registry import Registry
from hookmill.telemetry import get_logger
from ingest import metrics, refusals
from ingest.answers import AcceptedAnswers, accepted_answer, refused_answer, refused_bytes
from ingest.body import BodyReader, HeldBytes
from ingest.connections import Connection, Connections, require_c_parser
from ingest.doors import Door, Doors
from ingest.group_commit import GroupCommit
from ingest.identity import Identities
from ingest.refusals import Refused
from ingest.webhook_record import webhook_record

log = get_logger(__name__)

_SENDER_WENT_AWAY: Final = 499
"""nginx's status for it; nobody reads the answer, only the metric has it."""

_CLOSE_S: Final = 1.0
"""For connections that are still open after the drain."""


def _epoch_us() -> int:
    return time.time_ns() // 1_000


class Receiver:
    """Receives webhooks for the sources of `registry` and stores them on `topic`. A service; `url` is set once started.

    `sender` is open before the start and until after the stop. `now_us` gives epoch microseconds. `requests_in_work`
    counts the requests whose head has come and whose answer has not gone.
    """

    name = "ingest"

    def __init__(
        self,
        config: IngestConfig,
        registry: Registry,
        sender: RecordSender,
        topic: str,
        now_us: Callable[[], int] = _epoch_us,
    ) -> None:
        self._config = config
        self._now_us = now_us
        self._doors = Doors(registry, config.max_body_bytes)
        self._held = HeldBytes(config.max_inflight_bytes)
        self._identities = Identities()
        self._bodies = BodyReader(self._held, config.body_timeout_s)
        self._commit = GroupCommit(sender, topic, config.store_timeout_s)
        self._accepted = AcceptedAnswers()
        self._public_url = config.public_url.rstrip("/") if config.public_url else ""
        self.requests_in_work = 0
        self._idle = asyncio.Event()
        self._is_draining = False
        self._runner: web.ServerRunner | None = None
        self.url = ""

    async def start(self) -> None:
        """Listening. Errors: `ConfigError` when the address cannot be used or aiohttp lacks its C parser."""
        require_c_parser()
        self._commit.start()
        runner = web.ServerRunner(Connections(self._handle, self._take), shutdown_timeout=_CLOSE_S)
        await runner.setup()
        config = self._config
        try:
            await web.TCPSite(runner, config.host, config.port).start()
        except OSError as error:
            await runner.cleanup()
            await self._commit.stop()
            raise ConfigError(
                f"Address {config.host}:{config.port} cannot be used for webhooks ({error.strerror}). "
                "Choose another with --port or HOOKMILL_INGEST__PORT."
            ) from error
        self._runner = runner
        host, port = runner.addresses[0][:2]
        self.url = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        metrics.report_inflight_bytes(lambda: self._held.now)

    async def wait(self) -> None:
        """Raises what broke the storing of records; else never ends."""
        await self._commit.wait()

    async def stop(self) -> None:
        """No connection is taken any more, requests in work are answered within the drain timeout, all are closed."""
        assert self._runner is not None
        self._is_draining = True
        for site in self._runner.sites:
            await site.stop()
        try:
            async with asyncio.timeout(self._config.drain_timeout_s):
                while self.requests_in_work:
                    self._idle.clear()
                    await self._idle.wait()
        except TimeoutError:
            log.warning(
                "ingest.drain_cut", requests=self.requests_in_work, drain_timeout_s=self._config.drain_timeout_s
            )
        await self._commit.stop()
        await self._runner.cleanup()

    def _take(self, connection: Connection, message: RawRequestMessage, content: StreamReader) -> bool:
        """Whether the request, which is complete, is being stored; what is out of the ordinary is left to `_handle`."""
        headers = message.headers
        if (
            self._is_draining
            or message.should_close
            or message.version != HttpVersion11
            or hdrs.CONTENT_ENCODING in headers
        ):
            return False
        try:
            door = self._doors.find(message.method, message.path, headers)
            body = self._bodies.read_arrived(content, door)
        except Refused:
            return False
        request_id, record = self._record(message.method, message.raw_headers, headers, door, body)
        self.requests_in_work += 1
        taken = _Taken(self, connection, door.source.id, request_id, len(body))
        try:
            self._commit.store(record, taken)
        except Refused as refused:
            taken.set_exception(refused)
        return True

    def answer_taken(self, taken: "_Taken", refused: Refused | None) -> None:
        """The request that was taken is stored, or not, and is answered so."""
        self._held.release(taken.body_bytes)
        closes = self._is_draining
        if refused is None:
            metrics.count_stored(taken.source, taken.body_bytes)
            answer = self._accepted.answer_bytes(taken.request_id, closes)
        else:
            metrics.count_answer(taken.source, refused.status.value)
            closes = closes or refused.closes
            answer = refused_bytes(refused, closes)
        taken.connection.answer(answer, closes=closes)
        self._request_ended()

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        source = metrics.UNKNOWN_SOURCE
        self.requests_in_work += 1
        try:
            door = self._doors.find(request.method, request.raw_path, request.headers)
            source = door.source.id
            _refuse_encoded(request)
            if request.content.is_eof():
                body = self._bodies.read_arrived(request.content, door)
            else:
                body = await self._bodies.read(request, door)
            try:
                request_id, record = self._record(request.method, request.raw_headers, request.headers, door, body)
                stored = asyncio.get_running_loop().create_future()
                self._commit.store(record, stored)
                await stored
            finally:
                self._held.release(len(body))
        except Refused as refused:
            metrics.count_answer(source, refused.status.value)
            return refused_answer(refused, closes=self._is_draining)
        except ConnectionError:
            metrics.count_answer(source, _SENDER_WENT_AWAY)
            return web.Response(status=_SENDER_WENT_AWAY)
        finally:
            self._request_ended()
        metrics.count_stored(source, len(body))
        return accepted_answer(request_id, closes=self._is_draining)

    def _record(
        self, method: str, raw_headers: RawHeaders, headers: CIMultiDictProxy[str], door: Door, body: bytes
    ) -> tuple[str, NewRecord]:
        base_url = self._base_url(headers)
        return webhook_record(self._identities, method, raw_headers, door, base_url, body, self._now_us())

    def _request_ended(self) -> None:
        self.requests_in_work -= 1
        if self._is_draining and not self.requests_in_work:
            self._idle.set()

    def _base_url(self, headers: CIMultiDictProxy[str]) -> str:
        if self._public_url:
            return self._public_url
        host = headers.get(hdrs.HOST)
        return f"http://{host}" if host else self.url


class _Taken:
    """Waits for the record of a request that was taken, and has it answered."""

    __slots__ = ("_receiver", "body_bytes", "connection", "request_id", "source")

    def __init__(
        self, receiver: Receiver, connection: Connection, source: str, request_id: str, body_bytes: int
    ) -> None:
        self._receiver = receiver
        self.connection = connection
        self.source = source
        self.request_id = request_id
        self.body_bytes = body_bytes

    def done(self) -> bool:
        """False: the answer is owed to the receiver's books although the sender may have gone."""
        return False

    def set_result(self, result: None, /) -> None:
        """202."""
        self._receiver.answer_taken(self, None)

    def set_exception(self, error: Refused, /) -> None:
        """The refusal."""
        self._receiver.answer_taken(self, error)


def _refuse_encoded(request: web.BaseRequest) -> None:
    encoding = request.headers.get(hdrs.CONTENT_ENCODING)
    if encoding is not None and encoding.lower() != "identity":
        raise refusals.encoding_not_accepted(encoding)
