"""Ports for servers that are started as processes of their own, and take their port a moment after it was chosen."""

import contextlib
import random
import socket
from collections.abc import Iterable

LISTENABLE = range(10_000, 32_768)
"""Below the ports that systems give to outgoing connections: Linux from 32768 (ip(7)), others from 49152 (RFC 6335).
One of those may be taken by any connection before the server starts, or while it starts anew."""


def free_port(*, besides: int | None = None) -> int:
    """A port of 127.0.0.1 that is free, not given away by the system, and not `besides`, which will be taken soon.

    Errors: `OSError`.
    """
    return first_free(port for port in random.sample(LISTENABLE, 100) if port != besides)


def first_free(ports: Iterable[int]) -> int:
    """The first of the ports that a server could take on 127.0.0.1. Errors: `OSError` when there is none."""
    for port in ports:
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return port
    raise OSError("None of the ports tried on 127.0.0.1 is free.")
