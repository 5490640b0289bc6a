"""Refusals: every answer of the receiver but 202, each with what was observed, what is allowed, and what to do."""

from http import HTTPStatus
from typing import Final

from hookmill.errors import FailureKind, HookmillError

_RETRY_AFTER_S: Final = 1
"""Long enough to matter, short enough for senders that give up after a few tries; a guess."""


class Refused(HookmillError):
    """The request is not stored, or not known to be: `status`, and `code` for machines, the text for people.

    `closes`: the rest of the body is not worth reading, so the connection ends with the answer.
    """

    kind = FailureKind.FINAL

    def __init__(
        self,
        status: HTTPStatus,
        code: str,
        message: str,
        *,
        headers: dict[str, str] | None = None,
        closes: bool = False,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = headers or {}
        self.closes = closes


def path_unknown() -> Refused:
    """The path is none of the receiver's; it is not repeated, for it may hold a token."""
    return Refused(HTTPStatus.NOT_FOUND, "path_unknown", "No webhook address: use /?b=<token> or /v1/webhooks/<token>.")


def method_not_allowed(method: str) -> Refused:
    """Webhooks are posted."""
    return Refused(
        HTTPStatus.METHOD_NOT_ALLOWED,
        "method_not_allowed",
        f"{method} is not allowed here: webhooks are sent with POST.",
        headers={"Allow": "POST"},
    )


def token_missing() -> Refused:
    """No token in any of the places for it."""
    return Refused(
        HTTPStatus.UNAUTHORIZED,
        "token_missing",
        "No token: send it as /?b=<token>, as /v1/webhooks/<token> or in the header X-Segment-Source-Function-Token.",
    )


def token_unknown() -> Refused:
    """A token that opens no source."""
    return Refused(
        HTTPStatus.UNAUTHORIZED,
        "token_unknown",
        "The token opens no source: copy the address again, or wait until the source is deployed.",
    )


def encoding_not_accepted(encoding: str) -> Refused:
    """The server never decompresses (RELIABILITY 5.2)."""
    return Refused(
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        "encoding_not_accepted",
        f"Content-Encoding {encoding[:40]!r} is not accepted: send the body uncompressed.",
    )


def body_too_large(source: str, limit_bytes: int, declared_bytes: int | None) -> Refused:
    """`declared_bytes` is the Content-Length; `None` for a chunked body that went on beyond the limit."""
    size = "A chunked body" if declared_bytes is None else f"A body of {declared_bytes:,} bytes"
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "body_too_large",
        f'{size} exceeds the limit of {limit_bytes:,} bytes for source "{source}".',
        closes=True,
    )


def record_too_large() -> Refused:
    """The log refuses the record; nothing of it is stored."""
    return Refused(
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        "record_too_large",
        "Body and headers together are larger than the log takes: send fewer or shorter headers.",
    )


def body_too_slow(received_bytes: int, timeout_s: float) -> Refused:
    """The body did not arrive in time."""
    return Refused(
        HTTPStatus.REQUEST_TIMEOUT,
        "body_too_slow",
        f"Only {received_bytes:,} bytes of the body arrived within {timeout_s:g} s: send the webhook again.",
        closes=True,
    )


def body_malformed() -> Refused:
    """The framing of the body is broken; where the next request starts is unknown."""
    return Refused(
        HTTPStatus.BAD_REQUEST, "body_malformed", "The transfer coding of the body cannot be read.", closes=True
    )


def expectation_unknown() -> Refused:
    """RFC 9110, 10.1.1: 100-continue is the only one there is."""
    return Refused(
        HTTPStatus.EXPECTATION_FAILED, "expectation_unknown", "Only Expect: 100-continue is understood.", closes=True
    )


def overloaded(limit_bytes: int) -> Refused:
    """The cap on bodies held at once is reached; nothing of the request is stored."""
    return _try_again("overloaded", f"The receiver holds its limit of {limit_bytes:,} bytes: send the webhook again.")


def log_full() -> Refused:
    """Nothing is stored until the operator makes room."""
    return _try_again("log_full", "The log takes no more records, the webhook is not stored: send it again.")


def outcome_unknown() -> Refused:
    """The log did not say in time that the record is durable."""
    return _try_again(
        "outcome_unknown", "The log did not confirm the webhook, which may or may not be stored: send it again."
    )


def _try_again(code: str, message: str) -> Refused:
    return Refused(HTTPStatus.SERVICE_UNAVAILABLE, code, message, headers={"Retry-After": str(_RETRY_AFTER_S)})
