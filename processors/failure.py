"""Why webhooks fail, and what that means for another try."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Self

from hookmill.codec import FunctionError
from hookmill.errors import FailureKind
from processors.runtimes.contract import Outcome, Status


class Reason(StrEnum):
    """Why a delivery failed: a closed set, for metrics. Class and text of the error are in the record."""

    ERROR = "error"
    REJECTED = "rejected"
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASH = "crash"
    TOO_LARGE = "too_large"
    INVALID_OUTPUT = "invalid_output"
    UNKNOWN_SOURCE = "unknown_source"
    NO_FUNCTION = "no_function"
    UNKNOWN_FORMAT = "unknown_format"
    MALFORMED_HTTP = "malformed_http"
    PIPELINE_CRASH = "pipeline_crash"


_CLASSES: Final = {
    Reason.ERROR: "Error",
    Reason.REJECTED: "Rejected",
    Reason.TIMEOUT: "Timeout",
    Reason.MEMORY: "OutOfMemory",
    Reason.CRASH: "Crash",
    Reason.TOO_LARGE: "OutputTooLarge",
    Reason.INVALID_OUTPUT: "InvalidOutput",
    Reason.UNKNOWN_SOURCE: "UnknownSource",
    Reason.NO_FUNCTION: "NoFunction",
    Reason.UNKNOWN_FORMAT: "UnknownFormat",
    Reason.MALFORMED_HTTP: "MalformedHttp",
    Reason.PIPELINE_CRASH: "pipeline-crash",
}

_TEXTS: Final = {
    Status.ERROR: "The function failed and said nothing.",
    Status.REJECTED: "The function or its output was refused.",
    Status.TIMEOUT: "The function did not finish within its time limit.",
    Status.MEMORY: "The function exceeded its memory limit.",
    Status.CRASH: "The process that ran the function ended.",
    Status.TOO_LARGE: "The output of the function exceeds its limits.",
}


@dataclass(frozen=True)
class Failure:
    """Why one delivery of a webhook failed."""

    reason: Reason
    error: FunctionError

    @classmethod
    def of(cls, reason: Reason, message: str) -> Self:
        """A failure that we found, not the function."""
        return cls(reason, FunctionError(_CLASSES[reason], message))

    @classmethod
    def of_outcome(cls, outcome: Outcome) -> Self:
        """The failure that ended an invocation; `outcome` has one of the statuses that are failures."""
        reason = Reason(outcome.status.value)
        return cls(reason, outcome.error or FunctionError(_CLASSES[reason], _TEXTS[outcome.status]))

    @property
    def kind(self) -> FailureKind:
        """What another delivery of the same bytes may bring (DESIGN section 5, "Fail")."""
        match self.reason:
            case Reason.ERROR | Reason.TIMEOUT:
                return FailureKind.RETRIABLE
            case Reason.MEMORY | Reason.CRASH:
                return FailureKind.RUNNER_KILLED
            case _:
                return FailureKind.FINAL

    @property
    def status(self) -> Status:
        """The status that the invocation report shows."""
        match self.reason:
            case Reason.ERROR | Reason.TIMEOUT | Reason.MEMORY | Reason.CRASH | Reason.TOO_LARGE:
                return Status(self.reason.value)
            case _:
                return Status.REJECTED
