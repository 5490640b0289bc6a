"""A Python function, loaded."""

import linecache
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

from . import segment
from .request import Request

_MODULE = "function"
_HANDLER = "on_request"

Handler = Callable[[Request, dict[str, Any]], Any]
"""Returns an awaitable, or anything, which is ignored."""


class NoHandler(Exception):
    """The file does not say what to do with a request."""


def load_handler(file: str, text: str) -> Handler:
    """The handler of the code, evaluated as a module of its own.

    Errors: `NoHandler`; `SyntaxError`; whatever the code raises at its top level.
    """
    # Tracebacks quote the source from here: there is no such file where the runner is.
    linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
    module = ModuleType(_MODULE)
    module.__file__ = file
    sys.modules[_MODULE] = module
    names = vars(module)
    names["segment"] = segment
    for name in segment.__all__:
        if isinstance(getattr(segment, name), type):
            names[name] = getattr(segment, name)
    code = compile(text, file, "exec", dont_inherit=True)
    exec(code, names)  # noqa: S102  # running user code is what this process is for
    handler = names.get(_HANDLER)
    if handler is None:
        raise NoHandler(f"{file} defines no {_HANDLER}.")
    if not callable(handler):
        raise NoHandler(f"{_HANDLER} of {file} is not a function but of type {type(handler).__name__}.")
    loaded: Handler = handler
    return loaded
