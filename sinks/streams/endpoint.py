"""One URL that a sink posts to, and what its answers mean."""

import time
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Final, NoReturn, Self

from hookmill.egress.allow import AllowList, host_of
from hookmill.egress.call import MAX_BODY_BYTES, Answer, Call, Headers, parse_url
from hookmill.egress.errors import FetchFailed, FetchRefused
from hookmill.egress.guard import Egress
from hookmill.errors import ConfigError
from sinks.contract import SinkUnavailable

TIMEOUT_S: Final = 15.0
"""Of one request: what Segment's library for Python waits (SEGMENT-SPEC W14), and Standard Webhooks advises."""
_LONGEST_RETRY_AFTER_S: Final = 900.0
"""A destination that asks for more is asked again after this."""
_OF_THE_ENDPOINT: Final = frozenset({401, 403, 404, 405, 407, 408, 410, 425, 429})
"""Of the 4xx those that would come for any body: about credentials, the address, or the moment. One wrong key must not
turn every message into a dead letter."""

_AWAY: Final = frozenset({502, 503, 504})
"""Of the 5xx those of a gateway, or of a server that says that it is away."""


class Refused(Exception):
    """The destination will never take this body."""


class Stumbled(SinkUnavailable):
    """The destination fails, maybe of this body alone."""


class Endpoint:
    """Entered: bodies can be posted, several at once. Redirects are not followed: a body goes where the operator said.

    The URL comes from `sinks.toml`, so it is held to public addresses unless the operator allows private ones.
    """

    def __init__(self, url: str, *, allow_private: bool, timeout_s: float = TIMEOUT_S) -> None:
        target = parse_url(url)
        self._url = url
        self._host = host_of(target)
        self._allowed = AllowList.parse([f"{target.scheme}://{self._host}:{target.port}"], "url")
        self._allow_private = allow_private
        self._timeout_s = timeout_s
        self._egress = Egress(allow_private=allow_private)

    async def __aenter__(self) -> Self:
        await self._egress.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._egress.__aexit__(kind, error, trace)

    async def post(self, body: bytes, headers: Headers) -> None:
        """The destination has answered 2xx.

        Errors: `Refused`: this body is at fault. `SinkUnavailable`: any other would fare as badly, unless it is
        `Stumbled`; of this one it is not known whether it was taken.
        """
        if len(body) > MAX_BODY_BYTES:
            raise Refused(f"its {len(body)} bytes exceed the limit of {MAX_BODY_BYTES} bytes for a request")
        answer = await self._answer("POST", (("Content-Type", "application/json"), *headers), body)
        if not 200 <= answer.status < 300:
            self._fail(answer)

    async def knock(self) -> None:
        """The destination speaks HTTP and is not away, whatever it says to a question for its options.

        Errors: `SinkUnavailable`.
        """
        answer = await self._answer("OPTIONS", ())
        if answer.status in _AWAY:
            self._fail(answer)

    async def _answer(self, method: str, headers: Headers, body: bytes = b"") -> Answer:
        try:
            call = Call.checked(method, self._url, headers, body)
            return await self._egress.fetch(call, self._allowed, timeout_s=self._timeout_s, follows_redirects=False)
        except FetchRefused as error:
            hint = "" if self._allow_private else " HOOKMILL_SINKS__ALLOW_PRIVATE_NETWORK=true allows private ones."
            raise SinkUnavailable(f"{error}{hint}") from None
        except FetchFailed as error:
            raise SinkUnavailable(str(error)) from None

    def _fail(self, answer: Answer) -> NoReturn:
        if 400 <= answer.status < 500 and answer.status not in _OF_THE_ENDPOINT:
            raise Refused(f"{self._host} answered {answer.status}")
        stumbles = answer.status >= 500 and answer.status not in _AWAY
        failure = Stumbled if stumbles else SinkUnavailable
        raise failure(f"{self._host} answered {answer.status}.", _retry_after_s(answer.headers))


def check_url(url: str) -> None:
    """It can be an `Endpoint`'s. Errors: `ConfigError`."""
    try:
        parse_url(url)
    except FetchRefused as error:
        raise ConfigError(f"url: {error}") from None


def host(url: str) -> str:
    """The URL's host, which may be shown: paths and queries may hold secrets."""
    return host_of(parse_url(url))


def _retry_after_s(headers: Headers) -> float:
    """What `Retry-After` says, in seconds or as a date (RFC 9110, 10.2.3), within bounds; 0 without one."""
    value = next((value for name, value in headers if name.lower() == "retry-after"), "").strip()
    if value.isascii() and value.isdigit() and len(value) <= 9:
        seconds = float(value)
    else:
        try:
            seconds = parsedate_to_datetime(value).timestamp() - time.time()
        except (ValueError, OverflowError):
            return 0.0
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER_S)
