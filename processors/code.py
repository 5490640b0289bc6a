"""What a runner loads, from what the registry holds."""

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
        timeout_ms=source.timeout_ms,
        modules=function.modules,
        network=source.network,
    )
