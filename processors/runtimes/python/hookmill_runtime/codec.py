"""JSON in and out: orjson where the pool found it, else the standard library, with the same strictness."""

import json
import sys
from collections.abc import Callable
from datetime import date
from typing import Any

loads: Callable[[bytes | str], Any]
dumps: Callable[[Any], bytes]


def _strict_constant(name: str) -> None:
    raise json.JSONDecodeError(f"{name} is not JSON", "", 0)


def _portable_loads(text: bytes | str) -> Any:
    try:
        return json.loads(text if isinstance(text, str) else text.decode(), parse_constant=_strict_constant)
    except UnicodeDecodeError as error:
        raise json.JSONDecodeError("not UTF-8", "", error.start) from error


def _portable_dumps(value: Any) -> bytes:
    return json.dumps(
        value, ensure_ascii=False, separators=(",", ":"), default=_date_text, check_circular=True, allow_nan=False
    ).encode()


def _date_text(value: object) -> str:
    if isinstance(value, date):
        return value.isoformat()
    raise TypeError(f"Type is not JSON serializable: {type(value).__name__}")


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
    loads, dumps = orjson.loads, orjson.dumps


loads, dumps = _portable_loads, _portable_dumps
