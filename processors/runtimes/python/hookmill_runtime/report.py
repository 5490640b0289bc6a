"""Errors of user code as the pool gets them: {class, message, line, stack}, and the status they mean."""

import traceback
from collections.abc import Iterator
from types import TracebackType
from typing import Any

from .collector import TooLarge
from .segment import DropEvent, EventNotSupported, InvalidEventPayload, ValidationError
from .watch import TimeLimit

_MESSAGE_BYTES = 1_024
_STACK_BYTES = 4_096
_KINDS = {TimeLimit: "Timeout", MemoryError: "OutOfMemory"}


def status_of(error: BaseException) -> str:
    """The status of an invocation that ended with this error."""
    match error:
        case TimeLimit():
            return "timeout"
        case MemoryError():
            return "memory"
        case TooLarge():
            return "too_large"
        case DropEvent():
            return "dropped"
        case ValidationError() | EventNotSupported() | InvalidEventPayload():
            return "rejected"
        case _:
            return "error"


def describe_error(error: BaseException, file: str) -> dict[str, Any]:
    """The error with its line in the user's file; the stack begins with the first frame of that file."""
    kind = _KINDS.get(type(error), type(error).__name__)
    if isinstance(error, SyntaxError) and error.filename == file:
        message, line = error.msg, error.lineno
    else:
        message, line = _text_of(error), None
    in_file = next((tb for tb in _chain(error.__traceback__) if tb.tb_frame.f_code.co_filename == file), None)
    frames = traceback.extract_tb(in_file) if in_file is not None else traceback.StackSummary()
    for frame in frames:
        if frame.filename == file:
            line = frame.lineno
    stack = f"{kind}: {message}\n" + "".join(reversed(frames.format()))
    return {
        "class": kind,
        "message": _cut(message, _MESSAGE_BYTES),
        "line": line,
        "stack": _cut(stack.rstrip(), _STACK_BYTES),
    }


def _chain(step: TracebackType | None) -> Iterator[TracebackType]:
    while step is not None:
        yield step
        step = step.tb_next


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""  # the class of user code may fail at this too


def _cut(text: str, limit: int) -> str:
    return text.encode(errors="replace")[:limit].decode(errors="ignore")
