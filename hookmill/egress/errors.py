"""Errors of calls that leave through the guard.

Their texts name the host and the rule, never a path, a query or the value of a header.
"""

from hookmill.errors import FailureKind, HookmillError


class FetchRefused(HookmillError):
    """A rule forbids the call, or what came of it: the same call will be refused again."""

    kind = FailureKind.FINAL


class FetchFailed(HookmillError):
    """The call was allowed and had no answer: the host is away, slow or broken. The outcome there is unknown."""

    kind = FailureKind.RETRIABLE
