"""The guard: the only way by which a call that user code or a setting asked for leaves this process."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final, Self

from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ClientSession,
    InvalidURL,
    ServerDisconnectedError,
)

from hookmill.egress.allow import AllowList, host_of
from hookmill.egress.call import Answer, Call
from hookmill.egress.connections import AddressRefused, Lookup, open_session, system_lookup
from hookmill.egress.errors import FetchFailed, FetchRefused

MAX_ANSWER_BYTES: Final = 4_194_304
"""Of a body, unpacked."""
MAX_REDIRECTS: Final = 5
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class Egress:
    """Entered: calls can be made, any number at once. Left: all connections are closed.

    With `allow_private`, hosts that a list names in full, not by a wildcard, may have private addresses too.
    """

    def __init__(self, *, allow_private: bool = False, lookup: Lookup = system_lookup) -> None:
        self._allow_private = allow_private
        self._lookup = lookup
        self._sessions: dict[bool, ClientSession] = {}

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        for session in self._sessions.values():
            await session.close()
        self._sessions.clear()

    async def fetch(
        self, call: Call, allowed: AllowList, *, timeout_s: float, follows_redirects: bool = True
    ) -> Answer:
        """The answer, whatever its status; redirects are followed, each held to the same rules.

        Errors: `FetchRefused`; `FetchFailed`. Cancelling gives the call up.
        """
        try:
            async with asyncio.timeout(timeout_s):
                for _ in range(MAX_REDIRECTS + 1):
                    async with self._send(call, allowed) as response:
                        location = response.headers.get("Location")
                        if not (follows_redirects and response.status in _REDIRECTS and location):
                            return await _answer_of(call, response)
                    call = call.redirected(response.status, location)
                raise FetchRefused(f"{host_of(call.url)} redirects more than {MAX_REDIRECTS} times.")
        except TimeoutError:
            raise FetchFailed(f"{host_of(call.url)} did not answer within {timeout_s * 1_000:.0f} ms.") from None

    @asynccontextmanager
    async def _send(self, call: Call, allowed: AllowList) -> AsyncIterator[ClientResponse]:
        rule = allowed.rule_for(call.url)
        session = self._session(may_be_private=self._allow_private and not rule.is_wildcard)
        host = host_of(call.url)
        try:
            async with session.request(
                call.method, call.url, headers=call.headers, data=call.body or None, allow_redirects=False
            ) as response:
                yield response
        except InvalidURL:  # such as an address that is not in its usual form
            raise FetchRefused(f"{host} is not a valid host.") from None
        except ClientError as error:
            if isinstance(error, ClientConnectorError) and isinstance(error.os_error, AddressRefused):
                raise FetchRefused(f"{host} is not allowed: {error.os_error}.") from None
            raise FetchFailed(f"{host} gave no answer: {_reason(error)}.") from None

    def _session(self, *, may_be_private: bool) -> ClientSession:
        """One per kind of address, so that no connection is shared between the kinds; opened when first needed."""
        if may_be_private not in self._sessions:
            self._sessions[may_be_private] = open_session(self._lookup, may_be_private=may_be_private)
        return self._sessions[may_be_private]


async def _answer_of(call: Call, response: ClientResponse) -> Answer:
    content = bytearray()
    async for part in response.content.iter_any():  # unpacked in parts of at most 256 KiB: no bomb can go off
        content += part
        if len(content) > MAX_ANSWER_BYTES:
            raise FetchRefused(f"{host_of(call.url)} answers with more than {MAX_ANSWER_BYTES} bytes.")
    headers = tuple((name.decode("latin-1"), value.decode("latin-1")) for name, value in response.raw_headers)
    return Answer(response.status, str(call.url), headers, bytes(content))


def _reason(error: ClientError) -> str:
    """What happened, told by the class: texts of the library quote addresses and URLs."""
    match error:
        case ClientConnectorCertificateError():
            return "its certificate is not valid"
        case ClientConnectorSSLError():
            return "no agreement on TLS"
        case ClientConnectorDNSError():
            return "its name has no address"
        case ClientConnectorError():
            return "no connection could be made"
        case ServerDisconnectedError():
            return "it closed the connection"
        case ClientPayloadError():
            return "its body is malformed or incomplete"
        case _:
            return "it does not speak HTTP as it should"
