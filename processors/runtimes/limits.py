"""What a runner holds a function to."""

import msgspec

from processors.runtimes.contract import Code

KIB = 1_024
MIB = 1_048_576
HEAP_MB = {"javascript": 128, "python": 256}
"""JavaScript: the heap, without the engine (RUNTIMES section 7). Python: the data segment, of which 20 MB are ours."""


class Limits(msgspec.Struct, frozen=True):
    """Of one invocation, but for `load_ms`, `memory_mb` (the process) and those of a batch.

    Source: DESIGN section 4 (messages, bytes) and RUNTIMES section 7 (time, memory, log).
    """

    timeout_ms: int
    memory_mb: int
    load_ms: int = 1_000
    messages: int = 1_000
    event_bytes: int = 32 * KIB
    output_bytes: int = 4 * MIB
    batch_output_bytes: int = 16 * MIB
    """A batch whose results exceed it ends there, and the rest becomes another batch: bounds the pool's memory."""
    batch_ms: int = 1_000
    """A batch that took longer ends there too: results of slow functions come out, and other sources get their turn."""
    log_lines: int = 100
    log_line_bytes: int = 4 * KIB
    log_bytes: int = 32 * KIB


def limits_of(code: Code) -> Limits:
    """The limits of a function."""
    return Limits(timeout_ms=code.timeout_ms, memory_mb=HEAP_MB[code.language])
