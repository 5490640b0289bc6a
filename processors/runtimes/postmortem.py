"""What is said of a function whose runner ended under it."""

from enum import Enum, auto

from hookmill.codec import FunctionError
from processors.runtimes.contract import Code, Outcome, Status
from processors.runtimes.errors import RunnerLost
from processors.runtimes.limits import Limits
from processors.runtimes.process import RunnerProcess

_STACK_CHARACTERS = 4_096


class Cause(Enum):
    """Why the pool ended a runner."""

    STUCK = auto()
    MEMORY = auto()


def load_error(process: RunnerProcess, code: Code, limits: Limits, took_ms: float) -> FunctionError:
    """The top level of the code ended the runner, or had to be ended with it."""
    place = f"The top level of {code.file_name}"
    if took_ms >= limits.load_ms:
        return FunctionError(
            "Timeout", f"{place} did not finish within {limits.load_ms} ms.", stack=_last_words(process)
        )
    message = f"{place} ended the runner: {process.describe_end()}."
    return FunctionError("RunnerCrashed", message, stack=_last_words(process))


def blame(
    process: RunnerProcess, limits: Limits, silent_ms: float, cause: Cause | None, allowed_mb: int, lost: RunnerLost
) -> Outcome:
    """The outcome of the invocation that was running. `cause`: why the pool ended the runner, if it did."""
    if cause is Cause.MEMORY:
        status, kind = Status.MEMORY, "OutOfMemory"
        message = f"The function's process used more than {allowed_mb} MB of memory, and was ended."
    elif cause is Cause.STUCK or silent_ms >= limits.timeout_ms:
        status, kind = Status.TIMEOUT, "Timeout"
        message = f"The function did not finish within {limits.timeout_ms} ms, and its runner was ended."
    else:
        status, kind = Status.CRASH, "RunnerCrashed"
        message = f"The function ended its runner: {lost}, {process.describe_end()}."
    return Outcome(status, silent_ms, error=FunctionError(kind, message, stack=_last_words(process)))


def _last_words(process: RunnerProcess) -> str:
    return process.last_words()[-_STACK_CHARACTERS:]
