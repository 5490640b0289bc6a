"""The module `segment` of Python functions: helpers that send messages, and the errors a function may raise.

Same rules and texts as the JavaScript helpers (SEGMENT-SPEC 2.6, 2.7; `delete` is ours). `None` counts as not given.
Each helper returns the very message it queued. `context` and `integrations` are copied, `properties` and `traits` kept
by reference. `events` and `objects` are what the invocation queued so far. `../segment.pyi` is this module as editors
see it.
"""

from collections.abc import Mapping
from typing import Any, TypedDict, Unpack

from .cache import Cache
from .collector import Collector, current
from .http import FetchError, Http, Response
from .plain import MAX_LEVELS
from .request import Headers, Request, SearchParams, Url

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

Json = Any
"""User JSON."""

cache = Cache()
"""Values that stay between invocations."""

http = Http()
"""Calls to other hosts."""


class Common(TypedDict, total=False):
    """Arguments of every event."""

    user_id: Json
    anonymous_id: Json
    context: Json
    integrations: Json
    message_id: Json
    sent_at: Json
    timestamp: Json


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


ERRORS = {
    error.__name__: error for error in (ValidationError, EventNotSupported, InvalidEventPayload, RetryError, DropEvent)
}
"""Known to functions by their names alone, without an import."""


def identify(*, traits: Json = None, **common: Unpack[Common]) -> dict[str, Json]:
    """Who a user is."""
    return _send("identify", {}, {"traits": traits}, common)


def track(*, event: Json = None, properties: Json = None, **common: Unpack[Common]) -> dict[str, Json]:
    """What a user did. One of `user_id` and `anonymous_id` is needed. Errors: `ValidationError` for what is missing."""
    return _send("track", {"event": event}, {"properties": properties}, common)


def page(*, name: Json = None, properties: Json = None, **common: Unpack[Common]) -> dict[str, Json]:
    """A page that a user saw."""
    return _send("page", {}, {"name": name, "properties": properties}, common)


def screen(*, name: Json = None, properties: Json = None, **common: Unpack[Common]) -> dict[str, Json]:
    """A screen of an app that a user saw."""
    return _send("screen", {}, {"name": name, "properties": properties}, common)


def group(*, group_id: Json = None, traits: Json = None, **common: Unpack[Common]) -> dict[str, Json]:
    """The account a user belongs to."""
    return _send("group", {"groupId": group_id}, {"traits": traits}, common)


def alias(*, previous_id: Json = None, **common: Unpack[Common]) -> dict[str, Json]:
    """Another id the user had."""
    return _send("alias", {"previousId": previous_id}, {}, common)


def set(*, collection: Json = None, id: Json = None, properties: Json = None) -> dict[str, Json]:
    """A row of the collection: later ones of the same id are merged into it."""
    message = {"collection": collection, "id": id}
    _require_defined(message)
    if _is_truthy(properties):
        message["properties"] = properties
    _open("set").objects.append(message)
    return message


def delete(*, collection: Json = None, id: Json = None) -> dict[str, Json]:
    """The row is gone, but for what later calls set."""
    message = {"collection": collection, "id": id}
    _require_defined(message)
    message["deleted"] = True
    _open("delete").objects.append(message)
    return message


_COMMON = {
    "user_id": "userId",
    "anonymous_id": "anonymousId",
    "context": "context",
    "integrations": "integrations",
    "message_id": "messageId",
    "sent_at": "sentAt",
    "timestamp": "timestamp",
}
_COPIED = frozenset({"context", "integrations"})


def __getattr__(name: str) -> list[dict[str, Json]]:
    if name == "events":
        return _running("events").events
    if name == "objects":
        return _running("objects").objects
    raise AttributeError(f"module 'segment' has no attribute {name!r}")


def _send(kind: str, required: dict[str, Json], taken: dict[str, Json], common: Mapping[str, Json]) -> dict[str, Json]:
    if not common.keys() <= _COMMON.keys():
        unknown = next(argument for argument in common if argument not in _COMMON)
        raise TypeError(f"{kind}() got an unexpected keyword argument {unknown!r}")
    _require_defined(required)
    if not _is_truthy(common.get("user_id")) and not _is_truthy(common.get("anonymous_id")):
        raise ValidationError("One of userId,anonymousId is required but not defined")
    message = {"type": kind, **required}
    message.update({name: value for name, value in taken.items() if _is_truthy(value)})
    for argument, name in _COMMON.items():
        if argument in common and _is_truthy(value := common[argument]):
            message[name] = _copy(value, f"segment.{kind}: {name}") if name in _COPIED else value
    _open(kind).events.append(message)
    return message


def _open(helper: str) -> Collector:
    collector = _running(helper)
    if collector.is_closed:
        raise RuntimeError(f"segment.{helper} was called after on_request had ended.")
    collector.reserve()
    return collector


def _running(name: str) -> Collector:
    collector = current.get(None)
    if collector is None:
        raise RuntimeError(f"segment.{name} was called outside of on_request.")
    return collector


def _require_defined(fields: dict[str, Json]) -> None:
    for name, value in fields.items():
        if value is None or value == "":
            raise ValidationError(f"{name} is required but not defined")


def _is_truthy(value: Json) -> bool:
    """As JavaScript has it: an empty list or dict is there."""
    return bool(value) or isinstance(value, (dict, list, tuple))


def _copy(value: Json, what: str, levels: int = MAX_LEVELS) -> Json:
    if not levels:
        raise TypeError(f"{what} refers back to itself, or is nested deeper than {MAX_LEVELS} levels.")
    if isinstance(value, dict):
        return {key: _copy(item, what, levels - 1) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_copy(item, what, levels - 1) for item in value]
    return value
