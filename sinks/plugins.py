"""Kinds of sinks that other packages bring along, as entry points of the group `hookmill.sinks`."""

from importlib.metadata import EntryPoint, entry_points
from typing import Final, cast

import msgspec

from hookmill.errors import ConfigError
from sinks.options import Options

GROUP: Final = "hookmill.sinks"
"""An entry point's name is the kind, its object the class of the kind's options."""

_METHODS: Final = ("check", "open", "target")


def plugin_kinds() -> list[str]:
    """The kinds that installed packages offer. None of them is imported for that."""
    return sorted({each.name for each in entry_points(group=GROUP)})


def plugin_options(kind: str, *, is_ours: bool) -> type[Options] | None:
    """The class of the kind's options, `None` if no package offers it.

    Errors: `ConfigError` when it cannot be told which package is meant, because several offer the kind, or one offers a
    kind that is Hookmill's own; when it cannot be imported; when it is no class of options.
    """
    offers = list(entry_points(group=GROUP, name=kind))
    if is_ours and offers:
        raise ConfigError(f'kind "{kind}" is Hookmill\'s own, and offered by {_packages(offers)} too: uninstall that.')
    if len(offers) > 1:
        raise ConfigError(f'kind "{kind}" is offered by {_packages(offers)}: uninstall all but one.')
    return _loaded(offers[0]) if offers else None


def _loaded(offer: EntryPoint) -> type[Options]:
    what = f'kind "{offer.name}" of {_packages([offer])}'
    try:
        found = offer.load()
    except Exception as error:  # whatever a package does when it is imported
        raise ConfigError(f"{what} cannot be loaded: {type(error).__name__}: {error}.") from error
    if not (isinstance(found, type) and issubclass(found, msgspec.Struct)):
        raise ConfigError(f"{what} is no kind of sink: {offer.value} must be a class of options, a msgspec.Struct.")
    missing = [name for name in _METHODS if not callable(getattr(found, name, None))]
    if missing:
        raise ConfigError(f"{what} is no kind of sink: {offer.value} has no method {missing[0]}().")
    return cast("type[Options]", found)  # as much of the Protocol as can be seen from outside


def _packages(offers: list[EntryPoint]) -> str:
    return " and ".join(sorted(f"package {each.dist.name if each.dist else each.value}" for each in offers))
