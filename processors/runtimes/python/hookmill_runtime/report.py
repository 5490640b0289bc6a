"""Errors of user code as the pool gets them: {class, message, line, stack}, and the status they mean."""

import traceback
from typing import Any

from .collector import TooLarge
from .load import Load
from .plain import whole
from .redact import Redact, redactor
from .segment import DropEvent, EventNotSupported, InvalidEventPayload, ValidationError
from .watch import TimeLimit

_MESSAGE_BYTES = 1_024
_STACK_BYTES = 4_096
_SOURCE_LINE_BYTES = 256
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


def the_one_inside(error: BaseException) -> BaseException:
    """What a task group wraps around a single error is taken off."""
    while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def describe_error(error: BaseException, load: Load) -> dict[str, Any]:
    """The error with its line in the function's file; the stack has the frames of the user's files and packages.

    A syntax error of that file has `column` and `source_line` too.
    """
    redact = redactor(load.secrets)
    kind = _KINDS.get(type(error), type(error).__name__)
    frames = _frames_of_user(error, load)
    line = next((frame.lineno for frame in reversed(frames) if frame.filename == load.file), None)
    place: dict[str, Any] = {}
    message = _text_of(error)
    if isinstance(error, SyntaxError) and error.filename in load.user_files:
        message = error.msg if error.filename == load.file else f"{error.msg} ({error.filename}, line {error.lineno})"
        if error.filename == load.file:
            line = error.lineno
            place = _place_of(error, load.text, redact)
    stack = f"{kind}: {message}\n" + "".join(reversed(frames.format()))
    return {
        "class": kind,
        "message": _cut(redact(message), _MESSAGE_BYTES),
        "line": line,
        "stack": _cut(redact(stack.rstrip()), _STACK_BYTES),
        **place,
    }


def _place_of(error: SyntaxError, text: str, redact: Redact) -> dict[str, Any]:
    lines = text.split("\n")
    if not error.lineno or error.lineno > len(lines):
        return {}
    line = _cut(redact(lines[error.lineno - 1]), _SOURCE_LINE_BYTES)
    return {"column": error.offset, "source_line": line} if error.offset else {"source_line": line}


def _frames_of_user(error: BaseException, load: Load) -> traceback.StackSummary:
    files = load.user_files
    frames = traceback.extract_tb(error.__traceback__)
    return traceback.StackSummary.from_list(
        [frame for frame in frames if frame.filename in files or (load.site and frame.filename.startswith(load.site))]
    )


def _text_of(error: BaseException) -> str:
    try:
        return str(error)
    except Exception:
        return ""  # the class of user code may fail at this too


def _cut(text: str, limit: int) -> str:
    return whole(text).encode()[:limit].decode(errors="ignore")
