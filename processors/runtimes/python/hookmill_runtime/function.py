"""A Python function, loaded."""

import inspect
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import segment
from .load import Load
from .modules import evaluate, make_importable
from .request import Request

_MODULE = "function"
_HANDLER = "on_request"

Handler = Callable[[Request, dict[str, Any]], Any]
"""Returns an awaitable, or anything, which is ignored."""


class NoHandler(Exception):
    """The file does not say what to do with a request."""


def load_handler(load: Load) -> Handler:
    """The handler of the code, evaluated as a module of its own.

    Errors: `NoHandler`; `SyntaxError`; whatever the code raises at its top level.
    """
    make_importable(load.modules, load.site)
    module = ModuleType(_MODULE)
    module.__file__ = load.file
    sys.modules[_MODULE] = module
    names = vars(module)
    names["segment"] = segment
    names.update(segment.ERRORS)
    evaluate(load.file, load.text, module)
    handler = names.get(_HANDLER)
    if handler is None:
        raise NoHandler(f"{load.file} defines no {_HANDLER}.")
    _check(handler, load.file)
    loaded: Handler = handler
    return loaded


def _check(handler: Any, file: str) -> None:
    """Finds now what would fail, or quietly do nothing, with every webhook. Errors: `NoHandler`."""
    if not callable(handler):
        raise NoHandler(f"{_HANDLER} of {file} is not a function but of type {type(handler).__name__}.")
    if inspect.isgeneratorfunction(handler) or inspect.isasyncgenfunction(handler):
        raise NoHandler(f"{_HANDLER} of {file} has a yield in it, so that calling it does not run it.")
    try:
        inspect.signature(handler).bind(None, None)
    except TypeError as error:
        raise NoHandler(f"{_HANDLER} of {file} cannot be called with request and settings: {error}.") from None
    except ValueError:
        return  # written in C, without a signature
