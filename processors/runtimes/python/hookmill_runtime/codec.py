"""JSON in and out: orjson where the pool found it, else the standard library, with the same strictness."""

import json
import sys
from collections.abc import Callable
from typing import Any

from .plain import date_text, to_plain

loads: Callable[[bytes | str], Any]
"""Errors: `json.JSONDecodeError`, also for what is not UTF-8 and for NaN."""

dumps: Callable[[Any], bytes]
"""Compact JSON in UTF-8, as `plain` describes it. Errors: `NotJson`, a `TypeError` that says where."""


def _strict_constant(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is not JSON", "", 0)


def _portable_loads(text: bytes | str) -> Any:
    try:
        return json.loads(text if isinstance(text, str) else text.decode(), parse_constant=_strict_constant)
    except UnicodeDecodeError as error:
        raise json.JSONDecodeError("not UTF-8", "", error.start) from error


def _portable_dumps(value: Any) -> bytes:
    return json.dumps(to_plain(value), ensure_ascii=False, separators=(",", ":")).encode()


def use_orjson(folder: str) -> None:
    """`loads` and `dumps` are orjson's if it is in `folder`, which does not stay on the search path."""
    global loads, dumps
    sys.path.append(folder)
    try:
        import orjson
    except ImportError:
        return
    finally:
        sys.path.remove(folder)
    write = orjson.dumps
    options = orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS

    def orjson_dumps(value: Any) -> bytes:
        try:
            return write(value, date_text, options)
        except TypeError:
            # Says where, which orjson does not, and writes the text that orjson refuses.
            return write(to_plain(value))

    loads, dumps = orjson.loads, orjson_dumps


loads, dumps = _portable_loads, _portable_dumps
