"""What a runner pool promises: invocations in, one outcome each, whatever the user's code does."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from hookmill.codec import Fetches, FunctionError, JsonValue, LogLine


class Status(StrEnum):
    """How an invocation ended (RUNTIMES section 7, "Error taxonomy")."""

    OK = "ok"
    ERROR = "error"
    """The function threw; another try may succeed."""
    REJECTED = "rejected"
    """`ValidationError`, `EventNotSupported`, `InvalidEventPayload`, or the code does not load: final."""
    DROPPED = "dropped"
    """`DropEvent`: the function wants nothing of it."""
    TIMEOUT = "timeout"
    MEMORY = "memory"
    CRASH = "crash"
    TOO_LARGE = "too_large"
    """The output exceeds its limits: final."""
    INFRA = "infra"
    """The invocation did not run, for a reason of ours: nothing is counted against the webhook."""


class Code(msgspec.Struct, frozen=True):
    """What a runner loads: one version of one source's function with its settings and limits."""

    source: str
    version: str
    language: str
    """`javascript` or `python`."""
    file_name: str
    text: str
    settings: dict[str, JsonValue] = {}
    timeout_ms: int = 1_000
    modules: dict[str, str] = {}
    """Helper modules beside the function: text by file name. Python only; JavaScript is bundled at deploy."""
    site: str | None = None
    """Absolute folder of installed packages that the function may import, read-only. JavaScript: a `node_modules`, of
    which the globals `_`, `AWS`, `FormData`, `OAuth` and `xml` are taken."""
    secrets: list[str] = []
    """Values that must not show in log lines and errors; those shorter than 6 characters are not looked for."""
    network: tuple[str, ...] = ()
    """Hosts that the function may call, as `hookmill.egress.allow` reads them; none: it has no network."""


class Invocation(msgspec.Struct, frozen=True, gc=False):
    """One webhook to run the function on. `headers` are [name, value] in order of arrival."""

    request_id: str
    method: str
    url: str
    headers: list[tuple[str, str]]
    body: bytes


class Outcome(msgspec.Struct, frozen=True):
    """What came of one invocation. `events` and `objects` are empty unless `status` is `ok`.

    `events`: JSON objects as the helpers made them, `{"type": "track", ...}`, in order of the calls.
    `objects`: JSON objects `{"collection", "id", "properties"?}`, in order of the calls; `id` may still be a number.
    """

    status: Status
    duration_ms: float
    events: Sequence[msgspec.Raw] = ()
    objects: Sequence[msgspec.Raw] = ()
    error: FunctionError | None = None
    logs: Sequence[LogLine] = ()
    cpu_ms: float | None = None
    """Time on the processor; `None` where the runner cannot tell it from that of other invocations."""
    fetches: Fetches | None = None


class RunnerPool(Protocol):
    """Runs functions in child processes, one source and version to a process.

    A pool of its own starts and stops runners as work comes; it is an async context manager, and leaving it ends every
    child within a second.
    """

    async def run(self, code: Code, invocations: Sequence[Invocation]) -> Sequence[Outcome]:
        """One outcome per invocation, in their order. Any number of calls may be under way.

        Never raises for anything the user's code does; an invocation that hangs, exhausts memory or kills its runner is
        the only one that fails, none that finished runs twice. `INFRA` outcomes mean that no runner could be had.
        Cancelling the call gives the invocations up; they may run to their end unseen.
        """
        ...

    async def check(self, code: Code) -> FunctionError | None:
        """Why the code does not load (syntax, no handler, error or endless loop at the top level), or `None`."""
        ...
