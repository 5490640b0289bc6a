"""Webhooks out: each message is one POST, signed as Standard Webhooks says.

The body is `{"type", "timestamp", "source", "data"}`: `event.<type of call>`, `object.set` or `object.delete`, when the
webhook came that the message was made of, the slug of its source, and the message as on the log. At least once: a
message comes again after a crash or an answer that was lost, with the `webhook-id` it had.

Source: https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hmac
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import msgspec

from hookmill.codec import JsonValue, encode
from hookmill.errors import ConfigError
from sinks.contract import Event, Message, RecordRejected, Sink
from sinks.options import Surroundings, secret
from sinks.streams.endpoint import Endpoint, check_url, host
from sinks.streams.parcels import Courier, Parcel, Piece

_REQUESTS_AT_ONCE: Final = 16
_KEY_PREFIX: Final = "whsec_"
_MIN_KEY_BYTES: Final = 24
"""Standard Webhooks: between 24 and 64 bytes; longer ones do no harm."""
_NOT_BOUNDED: Final = 2**63


class WebhookOptions(msgspec.Struct, frozen=True):
    """`url`: where to; `secret_env`: the environment variable with the secret, `whsec_` and its key in base64."""

    url: str
    secret_env: str

    def check(self) -> None:
        """See `Options`."""
        check_url(self.url)
        if not self.secret_env:
            raise ConfigError("secret_env must name the environment variable that holds the secret for signatures.")

    def open(self, around: Surroundings) -> Sink:
        """See `Options`."""
        return WebhookOut(Endpoint(self.url, allow_private=around.allow_private), self.secret_env)

    def target(self, data_dir: Path) -> str:
        """See `Options`."""
        return f"at {host(self.url)}"


class WebhookOut:
    """A `Sink` that posts every message to one endpoint."""

    def __init__(self, endpoint: Endpoint, secret_env: str) -> None:
        self._endpoint = endpoint
        self._secret_env = secret_env
        self._key = b""
        self._courier = Courier(self._post, _REQUESTS_AT_ONCE)

    async def __aenter__(self) -> Self:
        self._key = signing_key(secret(self._secret_env), self._secret_env)
        await self._endpoint.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._endpoint.__aexit__(kind, error, trace)

    async def check(self) -> Sequence[str]:
        """See `Checkable`: the secret is one, the endpoint answers. Whether it likes the signature, only a webhook can
        tell."""
        async with self:
            await self._endpoint.knock()
        return ()

    async def write(self, batch: Sequence[Message]) -> None:
        """See `Sink`."""
        pieces = [Piece((index,), _body(message), _id(message)) for index, message in enumerate(batch)]
        rejected = {
            piece.indexes[0]: "its message id cannot be a header"
            for piece in pieces
            if not (piece.key.isascii() and piece.key.isprintable())
        }
        if rejected:
            raise RecordRejected(rejected)
        await self._courier.deliver(pieces, 1, _NOT_BOUNDED)
        self._courier.forget()

    async def _post(self, parcel: Parcel) -> None:
        (piece,) = parcel
        now_s = int(time.time())
        await self._endpoint.post(
            piece.json,
            (
                ("Webhook-Id", piece.key),
                ("Webhook-Timestamp", str(now_s)),
                ("Webhook-Signature", signature(self._key, piece.key, now_s, piece.json)),
                ("Idempotency-Key", piece.key),
            ),
        )


def signing_key(text: str, variable: str) -> bytes:
    """The key in a secret of Standard Webhooks. Errors: `ConfigError` naming the variable that the secret is from."""
    try:
        key = base64.b64decode(text.removeprefix(_KEY_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if len(key) < _MIN_KEY_BYTES:
        raise ConfigError(
            f"{variable} holds no secret of Standard Webhooks: whsec_ and {_MIN_KEY_BYTES} bytes in base64."
        )
    return key


def signature(key: bytes, webhook_id: str, timestamp_s: int, body: bytes) -> str:
    """The value of `webhook-signature`: version 1, HMAC-SHA256."""
    digest = hmac.digest(key, b"%b.%d.%b" % (webhook_id.encode(), timestamp_s, body), "sha256")
    return f"v1,{base64.b64encode(digest).decode()}"


def _id(message: Message) -> str:
    """Its message id; what a recompute made is another webhook than what it replaces."""
    if isinstance(message, Event):
        return f"{message.message_id}-{message.generation}" if message.generation else message.message_id
    return message.write.message_id


def _body(message: Message) -> bytes:
    if isinstance(message, Event):
        kind, timestamp = f"event.{message.message.get('type')}", message.message.get("receivedAt")
    else:
        kind = "object.delete" if message.write.deleted else "object.set"
        timestamp = message.write.received_at
    envelope: dict[str, JsonValue] = {
        "type": kind,
        "timestamp": timestamp,
        "source": message.source,
        "data": msgspec.Raw(message.raw),
    }
    return encode(envelope)
