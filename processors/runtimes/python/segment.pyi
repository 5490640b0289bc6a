"""The module `segment` of Hookmill functions in Python, for editors and type checkers.

A function is `async def on_request(request: Request, settings: dict[str, Any]) -> None`, or the same without `async`.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from typing import Any, TypedDict, TypeVar, Unpack, overload

__all__ = [
    "DropEvent",
    "EventNotSupported",
    "FetchError",
    "Headers",
    "InvalidEventPayload",
    "Request",
    "Response",
    "RetryError",
    "SearchParams",
    "Url",
    "ValidationError",
    "alias",
    "cache",
    "delete",
    "group",
    "http",
    "identify",
    "page",
    "screen",
    "set",
    "track",
]

_Json = Any
_Message = dict[str, _Json]
_Id = str | int | None
_Time = str | float | datetime | None
_Value = TypeVar("_Value")

class Headers(Mapping[str, str]):
    """Headers by name in any case; several of one name are joined by a comma."""

    def __getitem__(self, name: str) -> str: ...
    def __iter__(self) -> Iterator[str]: ...
    def __len__(self) -> int: ...

class SearchParams:
    """Parameters of the query, in their order."""

    @overload
    def get(self, name: str, default: None = None) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get_all(self, name: str) -> list[str]:
        """All values of the name."""

    def __contains__(self, name: object) -> bool: ...
    def __iter__(self) -> Iterator[tuple[str, str]]: ...

class Url:
    """The URL the sender called, without its token. `str(url)` is all of it."""

    @property
    def host(self) -> str:
        """Host, and port if one is given."""

    @property
    def path(self) -> str:
        """Path as sent, without the query."""

    @property
    def query(self) -> str:
        """What follows the question mark, as sent."""

    @property
    def search_params(self) -> SearchParams:
        """`request.url.search_params.get("name")`: parameters of the query, decoded."""

class Request:
    """One webhook. What is not asked for is not parsed."""

    body: bytes
    """The exact bytes that came."""

    def text(self) -> str:
        """The body as UTF-8; what is not becomes U+FFFD."""

    def json(self) -> _Json:
        """The body parsed, the same object every time. Errors: `json.JSONDecodeError`."""

    @property
    def method(self) -> str:
        """`POST` as a rule."""

    @property
    def url(self) -> Url:
        """The URL the sender called."""

    @property
    def headers(self) -> Headers:
        """The headers it sent, without credentials."""

class ValidationError(Exception):
    """A setting or an input is invalid: final, no other try."""

class EventNotSupported(Exception):
    """This kind of webhook is not handled: final, no other try."""

class InvalidEventPayload(Exception):
    """The webhook lacks something: final, no other try."""

class RetryError(Exception):
    """Another try may succeed."""

class DropEvent(Exception):
    """Nothing is wanted of this webhook: counted, not kept."""

class _Common(TypedDict, total=False):
    user_id: _Id
    """This or `anonymous_id` is needed."""
    anonymous_id: _Id
    context: Mapping[str, _Json] | None
    integrations: Mapping[str, _Json] | None
    message_id: str | None
    """Chosen by the function; else one is derived from the webhook, the same with every delivery."""
    sent_at: _Time
    timestamp: _Time
    """When it happened: ISO 8601, epoch milliseconds or a `datetime`. Without it: when the webhook came."""

def identify(*, traits: Mapping[str, _Json] | None = None, **common: Unpack[_Common]) -> _Message:
    """Who a user is."""

def track(*, event: str, properties: Mapping[str, _Json] | None = None, **common: Unpack[_Common]) -> _Message:
    """What a user did. Errors: `ValidationError` for what is missing."""

def page(
    *, name: str | None = None, properties: Mapping[str, _Json] | None = None, **common: Unpack[_Common]
) -> _Message:
    """A page that a user saw."""

def screen(
    *, name: str | None = None, properties: Mapping[str, _Json] | None = None, **common: Unpack[_Common]
) -> _Message:
    """A screen of an app that a user saw."""

def group(*, group_id: str | int, traits: Mapping[str, _Json] | None = None, **common: Unpack[_Common]) -> _Message:
    """The account a user belongs to."""

def alias(*, previous_id: str | int, **common: Unpack[_Common]) -> _Message:
    """Another id the user had."""

def set(*, collection: str, id: str | int, properties: Mapping[str, _Json] | None = None) -> _Message:
    """A row of the collection: later ones of the same id are merged into it."""

def delete(*, collection: str, id: str | int) -> _Message:
    """The row is gone, but for what later calls set."""

class Cache:
    """Not shared with other processes, and gone with this one: a value may vanish at any time."""

    @overload
    async def load(self, key: str, ttl_ms: float | None, fn: Callable[[], Awaitable[_Value]]) -> _Value:
        """The value kept under `key`, at most `ttl_ms` old; else what `fn`, async or not, returns now.

        `None` and -1: however old. What `fn` raises is raised, and nothing is kept.
        """

    @overload
    async def load(self, key: str, ttl_ms: float | None, fn: Callable[[], _Value]) -> _Value: ...
    def delete(self, key: str) -> None:
        """Forgotten, if it was there."""

cache: Cache
"""Values that stay between invocations."""

class FetchError(Exception):
    """The call was refused, or had no answer; the text says why. Another status than 200 is an answer."""

class Response:
    """What a host answered."""

    status: int
    url: str
    """Of the last redirect."""
    headers: Headers
    body: bytes
    """Unpacked."""

    def text(self) -> str:
        """The body as UTF-8; what is not becomes U+FFFD."""

    def json(self) -> _Json:
        """The body parsed. Errors: `json.JSONDecodeError`."""

class Http:
    """Calls hosts that `[network] allow` of source.toml names, within the time of the invocation, 50 times at most."""

    async def get(self, url: str, *, headers: Mapping[str, str] | None = None) -> Response:
        """What the host answers, redirects followed. Errors: `FetchError`."""

    async def post(
        self, url: str, *, json: _Json = None, body: bytes | str = b"", headers: Mapping[str, str] | None = None
    ) -> Response:
        """`json` is sent as such, else `body` as it is. Errors: `FetchError`."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        json: _Json = None,
        body: bytes | str = b"",
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """As `post`, with any method. Errors: `FetchError`."""

http: Http
"""Calls to other hosts."""

events: list[_Message]
"""Events that this invocation queued so far."""

objects: list[_Message]
"""Objects that this invocation queued so far."""
