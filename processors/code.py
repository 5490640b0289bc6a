"""What a runner loads, from what the registry holds."""

from collections.abc import Iterator

from hookmill.codec import JsonValue
from hookmill.registry import Function, Source
from processors.runtimes.contract import Code


def code_of(source: Source, function: Function) -> Code:
    """The function with the settings and limits of its source."""
    return Code(
        source=source.id,
        version=function.version,
        language=function.language,
        file_name=function.file_name,
        text=function.code,
        settings=source.settings,
        secrets=[text for name in source.secret_settings for text in _texts(source.settings.get(name))],
        timeout_ms=source.timeout_ms,
        modules=function.modules,
        network=source.network,
    )


def _texts(value: JsonValue) -> Iterator[str]:
    """Every text in the setting; numbers as they would be printed."""
    match value:
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list():
            for item in value:
                yield from _texts(item)
        case None | bool():
            return
        case _:
            yield str(value)
