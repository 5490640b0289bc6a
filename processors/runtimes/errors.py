"""Errors of the runtimes."""

from hookmill.codec import FunctionError
from hookmill.errors import ConfigError, FailureKind, HookmillError


class RunnerUnavailable(HookmillError):
    """No runner can be had, for a reason that is not the function's."""

    kind = FailureKind.DEPENDENCY


class NodeMissing(ConfigError):
    """There is no Node.js for the functions in JavaScript."""


class LoadFailed(Exception):
    """The function does not load; between runner and pool only."""

    def __init__(self, error: FunctionError) -> None:
        self.error = error
        super().__init__(error.message)


class RunnerLost(Exception):
    """The runner ended or broke the protocol; between runner and pool only. The text says of the runner what it did."""
