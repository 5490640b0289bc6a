"""A call and its answer, as values, and what a call may consist of."""

import re
from dataclasses import dataclass
from typing import Final

from yarl import URL

from hookmill.egress.allow import DEFAULT_PORTS, host_of
from hookmill.egress.errors import FetchRefused

MAX_BODY_BYTES: Final = 1_048_576
MAX_HEADERS: Final = 100
MAX_HEADER_BYTES: Final = 32_768
"""Of all names and values of a call; servers accept 8 KiB to 64 KiB as a rule."""

_TOKEN: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""A method or a header's name (RFC 9110, section 5.6.2)."""
_CONTROL: Final = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_METHODS_REFUSED: Final = frozenset({"CONNECT", "TRACE"})
_WRITTEN_BY_US: Final = frozenset({"accept-encoding", "connection", "content-length", "keep-alive"})
"""Left out quietly: code that sets them means what is sent anyway."""
_HEADERS_REFUSED: Final = frozenset({"expect", "host", "te", "trailer", "transfer-encoding", "upgrade"})
"""With these a caller reaches another host than the one checked, or makes one call look like two."""
_OF_THE_BODY: Final = "content-"
_KEPT_FOR_ANOTHER_ORIGIN: Final = frozenset(
    {"accept", "accept-language", "content-language", "content-type", "user-agent"}
)
"""All others may be credentials, whatever they are called: `X-Api-Key` is no standard name."""

Headers = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Call:
    """What to ask of a host. Valid when made by `checked`."""

    method: str
    url: URL
    headers: Headers
    body: bytes = b""

    @classmethod
    def checked(cls, method: str, url: str, headers: Headers = (), body: bytes = b"") -> "Call":
        """The call without the headers that are ours to write. Errors: `FetchRefused` naming the rule it breaks."""
        if not _TOKEN.fullmatch(method) or method.upper() in _METHODS_REFUSED:
            raise FetchRefused(f"{method[:20]!r} is not a method that may be used.")
        if len(body) > MAX_BODY_BYTES:
            raise FetchRefused(f"A request body of {len(body)} bytes exceeds the limit of {MAX_BODY_BYTES} bytes.")
        return cls(method.upper(), parse_url(url), _checked_headers(headers), body)

    def redirected(self, status: int, location: str) -> "Call":
        """The call that a redirect asks for (Fetch standard, "HTTP-redirect fetch"). Errors: `FetchRefused`."""
        try:
            target = parse_url(str(self.url.join(_parsed(location))))
        except ValueError:
            raise FetchRefused(f"{host_of(self.url)} redirects to what is no URL.") from None
        method, headers, body = self.method, self.headers, self.body
        is_post = method == "POST" and status in (301, 302)
        if is_post or (status == 303 and method not in ("GET", "HEAD")):
            method, body = "GET", b""
            headers = tuple(header for header in headers if not header[0].lower().startswith(_OF_THE_BODY))
        if target.origin() != self.url.origin():
            headers = tuple(header for header in headers if header[0].lower() in _KEPT_FOR_ANOTHER_ORIGIN)
        return Call(method, target, headers, body)


@dataclass(frozen=True)
class Answer:
    """What a host said. Header values hold a character per byte, as `Headers` of the Web does; the body is unpacked."""

    status: int
    url: str
    """Of the last redirect."""
    headers: Headers
    body: bytes


def parse_url(text: str) -> URL:
    """An absolute URL of http or https without credentials. Errors: `FetchRefused`."""
    try:
        url = _parsed(text)
        host = host_of(url)
    except ValueError:
        raise FetchRefused("The URL is not valid: an absolute one of http or https is needed.") from None
    if url.scheme not in DEFAULT_PORTS:
        raise FetchRefused(f"A URL with http or https is needed, not {url.scheme[:20]}.")
    if url.raw_user is not None or url.raw_password is not None:
        raise FetchRefused(f"The URL for {host} has a user or password in it: send an Authorization header.")
    return url


def _parsed(text: str) -> URL:
    """Errors: `ValueError`."""
    try:
        return URL(text)
    except IndexError as error:  # of yarl 1.25.1, for `http://[]@`
        raise ValueError("not a URL") from error


def _checked_headers(headers: Headers) -> Headers:
    if len(headers) > MAX_HEADERS or sum(len(name) + len(value) for name, value in headers) > MAX_HEADER_BYTES:
        raise FetchRefused(f"A request may have {MAX_HEADERS} headers and {MAX_HEADER_BYTES} bytes of them.")
    for name, value in headers:
        if not _TOKEN.fullmatch(name):
            raise FetchRefused("A header's name has a character in it that no name may have.")
        if name.lower() in _HEADERS_REFUSED or name.lower().startswith("proxy-"):
            raise FetchRefused(f"The header {name} cannot be set.")
        if _CONTROL.search(value):
            raise FetchRefused(f"The value of the header {name} has a line end or another control character in it.")
    return tuple((name, value.strip(" \t")) for name, value in headers if name.lower() not in _WRITTEN_BY_US)
