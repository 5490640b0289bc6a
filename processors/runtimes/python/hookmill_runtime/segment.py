"""The module `segment` of Python functions: helpers that send messages, and the errors a function may raise.

Same rules and texts as the JavaScript helpers (SEGMENT-SPEC 2.6, 2.7). `None` counts as not given. Each helper returns
the very message it queued. `context` and `integrations` are copied, `properties` and `traits` kept by reference.
"""

from typing import Any

from .collector import Collector, current

__all__ = [
    "DropEvent",
    "EventNotSupported",
    "InvalidEventPayload",
    "RetryError",
    "ValidationError",
    "alias",
    "group",
    "identify",
    "page",
    "screen",
    "set",
    "track",
]

Json = Any
"""User JSON."""


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


def identify(*, traits: Json = None, **common: Json) -> dict[str, Json]:
    """Who a user is. Common arguments as for `track`."""
    return _send("identify", {}, {"traits": traits}, common)


def track(*, event: Json = None, properties: Json = None, **common: Json) -> dict[str, Json]:
    """What a user did.

    Common arguments: `user_id`, `anonymous_id` (one of the two), `context`, `integrations`, `message_id`, `sent_at`,
    `timestamp`. Errors: `ValidationError` for what is missing.
    """
    return _send("track", {"event": event}, {"properties": properties}, common)


def page(*, name: Json = None, properties: Json = None, **common: Json) -> dict[str, Json]:
    """A page that a user saw. Common arguments as for `track`."""
    return _send("page", {}, {"name": name, "properties": properties}, common)


def screen(*, name: Json = None, properties: Json = None, **common: Json) -> dict[str, Json]:
    """A screen of an app that a user saw. Common arguments as for `track`."""
    return _send("screen", {}, {"name": name, "properties": properties}, common)


def group(*, group_id: Json = None, traits: Json = None, **common: Json) -> dict[str, Json]:
    """The account a user belongs to. Common arguments as for `track`."""
    return _send("group", {"groupId": group_id}, {"traits": traits}, common)


def alias(*, previous_id: Json = None, **common: Json) -> dict[str, Json]:
    """Another id the user had. Common arguments as for `track`."""
    return _send("alias", {"previousId": previous_id}, {}, common)


def set(*, collection: Json = None, id: Json = None, properties: Json = None) -> dict[str, Json]:
    """A row of the collection: later ones of the same id are merged into it."""
    message = {"collection": collection, "id": id}
    _require_defined(message)
    if _is_truthy(properties):
        message["properties"] = properties
    _open("set").objects.append(message)
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


def _send(kind: str, required: dict[str, Json], taken: dict[str, Json], common: dict[str, Json]) -> dict[str, Json]:
    _require_defined(required)
    if not _is_truthy(common.get("user_id")) and not _is_truthy(common.get("anonymous_id")):
        raise ValidationError("One of userId,anonymousId is required but not defined")
    for argument in common:
        if argument not in _COMMON:
            raise TypeError(f"{kind}() got an unexpected keyword argument {argument!r}")
    message = {"type": kind, **required}
    message.update({name: value for name, value in taken.items() if _is_truthy(value)})
    for argument, name in _COMMON.items():
        value = common.get(argument)
        if _is_truthy(value):
            message[name] = _copy(value) if name in _COPIED else value
    _open(kind).events.append(message)
    return message


def _open(helper: str) -> Collector:
    collector = current.get(None)
    if collector is None:
        raise RuntimeError(f"segment.{helper} was called outside of on_request.")
    if collector.is_closed:
        raise RuntimeError(f"segment.{helper} was called after on_request had ended.")
    collector.reserve()
    return collector


def _require_defined(fields: dict[str, Json]) -> None:
    for name, value in fields.items():
        if value is None or value == "":
            raise ValidationError(f"{name} is required but not defined")


def _is_truthy(value: Json) -> bool:
    """As JavaScript has it: an empty list or dict is there."""
    return isinstance(value, (dict, list)) or bool(value)


def _copy(value: Json) -> Json:
    if isinstance(value, dict):
        return {key: _copy(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_copy(item) for item in value]
    return value
