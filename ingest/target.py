"""Request targets: where the token is in them, and what is left of them without it."""

from typing import Final, NamedTuple
from urllib.parse import unquote

_PATH_PREFIX: Final = "/v1/webhooks/"
_TOKEN_PARAMETER: Final = "b"  # noqa: S105 - the name of the parameter in Segment's addresses


class Target(NamedTuple):
    """A known address: its token, empty if it has none, and path and query without the token."""

    token: str
    cleaned: str


def parse_target(raw: str) -> Target | None:
    """What the target of a request line says; `None` for a path that is none of ours.

    `/?b=<token>` loses every `b` and keeps the other parameters byte for byte; `/v1/webhooks/<token>` becomes `/` and
    keeps its query. Tokens are percent-decoded, but `+` stays: base64 has it, a space no token has.
    """
    path, question_mark, query = _origin_form(raw).partition("?")
    if path == "/":
        return _from_query(query)
    token = path.removeprefix(_PATH_PREFIX)
    if token == path or "/" in token:
        return None
    return Target(_decoded(token), "/" + question_mark + query)


def _from_query(query: str) -> Target:
    token = ""
    kept = []
    for pair in query.split("&"):
        name, _, value = pair.partition("=")
        if _decoded(name) == _TOKEN_PARAMETER:
            token = token or _decoded(value)
        else:
            kept.append(pair)
    rest = "&".join(kept)
    return Target(token, f"/?{rest}" if rest else "/")


def _origin_form(raw: str) -> str:
    """Path and query; a proxy sends them after scheme and host, which a server must accept (RFC 9112, 3.2.2)."""
    if raw.startswith("/"):
        return raw
    _, _, rest = raw.partition("://")
    _, slash, path = rest.partition("/")
    return slash + path


def _decoded(text: str) -> str:
    return unquote(text, errors="surrogateescape")
