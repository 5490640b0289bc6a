"""The webhook as a Python function sees it."""

import re
from collections.abc import Iterator, Mapping
from json import JSONDecodeError
from typing import Any, overload
from urllib.parse import parse_qsl, urlsplit

from . import codec

_COOKIE_SEPARATOR = "; "
_SEPARATOR = ", "
# A whole surrogate pair, half of one, or any other escape. Senders that cut texts to a length leave halves, which
# JavaScript takes and orjson does not.
_ESCAPES = re.compile(rb"\\u[dD][89abAB]..\\u[dD][c-fC-F]..|\\u[dD][89a-fA-F]..|\\.", re.DOTALL)
_HALF_BYTES = 6
_REPLACEMENT = rb"\ufffd"


class Headers(Mapping[str, str]):
    """Headers by name in any case; several of one name are joined by a comma, as `Headers` of the Web does."""

    def __init__(self, pairs: list[list[str]]) -> None:
        self._values: dict[str, str] = {}
        for name, value in pairs:
            key = name.lower()
            separator = _COOKIE_SEPARATOR if key == "cookie" else _SEPARATOR
            self._values[key] = f"{self._values[key]}{separator}{value}" if key in self._values else value

    def __getitem__(self, name: str) -> str:
        return self._values[name.lower()]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)


class SearchParams:
    """Parameters of the query, in their order."""

    def __init__(self, query: str) -> None:
        self._pairs = parse_qsl(query, keep_blank_values=True)

    @overload
    def get(self, name: str, default: None = None) -> str | None: ...
    @overload
    def get(self, name: str, default: str) -> str: ...
    def get(self, name: str, default: str | None = None) -> str | None:
        """The first value of the name."""
        return next((value for key, value in self._pairs if key == name), default)

    def get_all(self, name: str) -> list[str]:
        """All values of the name."""
        return [value for key, value in self._pairs if key == name]

    def __contains__(self, name: object) -> bool:
        return any(key == name for key, _ in self._pairs)

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._pairs)


class Url:
    """The URL the sender called, without its token. `str(url)` is all of it."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._parts = urlsplit(text)
        self._search_params: SearchParams | None = None

    @property
    def host(self) -> str:
        """Host, and port if one is given."""
        return self._parts.netloc

    @property
    def path(self) -> str:
        """Path as sent, without the query."""
        return self._parts.path

    @property
    def query(self) -> str:
        """What follows the question mark, as sent."""
        return self._parts.query

    @property
    def search_params(self) -> SearchParams:
        """`request.url.search_params.get("name")`: parameters of the query, decoded."""
        if self._search_params is None:
            self._search_params = SearchParams(self._parts.query)
        return self._search_params

    def __str__(self) -> str:
        return self._text


class Request:
    """One webhook. What is not asked for is not parsed."""

    def __init__(self, meta: bytes, body: bytes) -> None:
        self._meta = meta
        self._call: list[Any] | None = None
        self._headers: Headers | None = None
        self._url: Url | None = None
        self._json: Any = None
        self._is_parsed = False
        self.body = body
        """The exact bytes that came."""

    def text(self) -> str:
        """The body as UTF-8; what is not becomes U+FFFD."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """The body parsed, the same object every time. Errors: `json.JSONDecodeError`."""
        if not self._is_parsed:
            self._json = _parse(self.body)
            self._is_parsed = True
        return self._json

    @property
    def method(self) -> str:
        """`POST` as a rule."""
        method: str = self._read_call()[0]
        return method

    @property
    def url(self) -> Url:
        """The URL the sender called."""
        if self._url is None:
            self._url = Url(self._read_call()[1])
        return self._url

    @property
    def headers(self) -> Headers:
        """The headers it sent, without credentials."""
        if self._headers is None:
            self._headers = Headers(self._read_call()[2])
        return self._headers

    def _read_call(self) -> list[Any]:
        if self._call is None:
            self._call = codec.loads(self._meta)
        return self._call


def _parse(body: bytes) -> Any:
    try:
        return codec.loads(body)
    except JSONDecodeError as error:
        whole = _ESCAPES.sub(lambda escape: _REPLACEMENT if len(escape[0]) == _HALF_BYTES else escape[0], body)
        if whole == body:
            raise _not_json(body, error) from None
        return _parse(whole)


def _not_json(body: bytes, error: JSONDecodeError) -> JSONDecodeError:
    """The error with what is wrong at the level of bytes said as such."""
    if not body:
        return JSONDecodeError("The body is empty", "", 0)
    try:
        text = body.decode()
    except UnicodeDecodeError as wrong:
        why = f"The body is not UTF-8: it has the byte 0x{body[wrong.start]:02x} at offset {wrong.start}"
        return JSONDecodeError(why, body[: wrong.start].decode(), wrong.start)
    return JSONDecodeError(f"The body is not JSON: {error.msg}", text, min(error.pos, len(text)))
