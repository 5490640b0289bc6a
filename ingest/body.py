"""Bodies: read whole, within the source's limit, the receiver's memory and a deadline."""

import asyncio

from aiohttp import StreamReader, hdrs, web

from ingest import refusals
from ingest.doors import Door


class HeldBytes:
    """The bytes of all bodies held at once, never more than `limit_bytes`."""

    def __init__(self, limit_bytes: int) -> None:
        self._limit_bytes = limit_bytes
        self.now = 0

    def reserve(self, size: int) -> None:
        """`size` more bytes are held. Errors: `Refused` with 503 beyond the limit; nothing is held then."""
        if self.now + size > self._limit_bytes:
            raise refusals.overloaded(self._limit_bytes)
        self.now += size

    def release(self, size: int) -> None:
        """`size` bytes are free again."""
        self.now -= size


class BodyReader:
    """Reads bodies; whoever gets one releases its length from `held` when done with it."""

    def __init__(self, held: HeldBytes, timeout_s: float) -> None:
        self._held = held
        self._timeout_s = timeout_s

    def read_arrived(self, content: StreamReader, door: Door) -> bytes:
        """The body of a request that is complete already, which nearly all are: no deadline, no wait."""
        size = content.total_bytes
        if size > door.max_body_bytes:
            raise refusals.body_too_large(door.source.id, door.max_body_bytes, size)
        self._held.reserve(size)
        return content.read_nowait()

    async def read(self, request: web.BaseRequest, door: Door) -> bytes:
        """The body, waited for; the sender that asks for it is told to go on.

        Errors: `Refused` with 400, 408, 413, 417 or 503; `ConnectionError` when the sender goes away.
        """
        declared_bytes = _content_length(request)
        if declared_bytes is not None and declared_bytes > door.max_body_bytes:
            raise refusals.body_too_large(door.source.id, door.max_body_bytes, declared_bytes)
        reserved_bytes = declared_bytes or 0
        self._held.reserve(reserved_bytes)
        chunks: list[bytes] = []
        received_bytes = 0
        try:
            async with asyncio.timeout(self._timeout_s):
                await _answer_expectation(request)
                # One pause of the transport per body instead of one per 512 KiB.
                request.content.set_read_chunk_size(door.max_body_bytes)
                while chunk := await request.content.readany():
                    received_bytes += len(chunk)
                    if received_bytes > door.max_body_bytes:
                        raise refusals.body_too_large(door.source.id, door.max_body_bytes, declared_bytes)
                    if received_bytes > reserved_bytes:
                        self._held.reserve(received_bytes - reserved_bytes)
                        reserved_bytes = received_bytes
                    chunks.append(chunk)
        except TimeoutError:
            self._held.release(reserved_bytes)
            raise refusals.body_too_slow(received_bytes, self._timeout_s) from None
        except web.RequestPayloadError:
            self._held.release(reserved_bytes)
            raise refusals.body_malformed() from None
        except BaseException:
            self._held.release(reserved_bytes)
            raise
        return b"".join(chunks)


def _content_length(request: web.BaseRequest) -> int | None:
    declared = request.headers.get(hdrs.CONTENT_LENGTH)
    return None if declared is None else int(declared)


async def _answer_expectation(request: web.BaseRequest) -> None:
    expectation = request.headers.get(hdrs.EXPECT)
    if expectation is None:
        return
    if expectation.lower() != "100-continue":
        raise refusals.expectation_unknown()
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    # As aiohttp's own handler does it: what is counted here would make it refuse to answer errors.
    request.writer.output_size = 0
