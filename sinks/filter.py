"""Which messages a sink wants, of all that its topics carry. Pure."""

from collections.abc import Callable

from hookmill.registry import Only
from sinks.contract import Event, Message, SourcedObject

Wants = Callable[[Message], bool]


def everything(message: Message) -> bool:
    """Of a sink without a filter."""
    return True


def wants(only: Only) -> Wants:
    """The rule of `only`: each list restricts what has the thing it names, so `events` says nothing of identify calls
    and `collections` nothing of events. An empty list restricts nothing."""
    if only == Only():
        return everything
    sources, types = frozenset(only.sources), frozenset(only.types)
    events, collections = frozenset(only.events), frozenset(only.collections)

    def is_wanted(message: Message) -> bool:
        if sources and message.source not in sources:
            return False
        match message:
            case Event(message=fields):
                kind = fields.get("type")
                is_type = not types or _is_in(kind, types)
                return is_type and (not events or kind != "track" or _is_in(fields.get("event"), events))
            case SourcedObject(write=write):
                return not collections or write.collection in collections

    return is_wanted


def _is_in(value: object, names: frozenset[str]) -> bool:
    return isinstance(value, str) and value in names
