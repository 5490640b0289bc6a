"""Connections that lead to checked addresses only: the address that was checked is the one connected to."""

import asyncio
import socket
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from aiohttp import AddrInfoType, ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from hookmill import __version__
from hookmill.egress.addresses import is_public

MAX_CONNECTIONS: Final = 64
"""At once; with it the bytes of answers held at once, 4 MiB each."""
_LOOKUP_THREADS: Final = 8
"""Of our own: a name server that hangs must not take the threads of the rest of the process."""
_IDLE_S: Final = 15.0

Lookup = Callable[[str, int], Sequence[Any]]
"""Addresses of a host and port, as `socket.getaddrinfo` gives them; blocks. Errors: `OSError`."""


class AddressRefused(OSError):
    """The host has no address that may be connected to. No address in the text: all of one host then say the same."""

    def __init__(self) -> None:
        super().__init__("its address is not one of the public Internet")


def system_lookup(host: str, port: int) -> Sequence[Any]:
    """As the system resolves names."""
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def open_session(lookup: Lookup, *, may_be_private: bool) -> ClientSession:
    """A session that keeps nothing but connections: no cookies, no proxy of the environment, no redirects by itself."""
    connector = TCPConnector(
        resolver=_Resolver(lookup),
        socket_factory=_open_socket if may_be_private else _open_public_socket,
        limit=MAX_CONNECTIONS,
        keepalive_timeout=_IDLE_S,
    )
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None),  # each call has a deadline of its own
        headers={"Accept-Encoding": "gzip, deflate", "User-Agent": f"Hookmill/{__version__}"},
        skip_auto_headers=("Content-Type",),
    )


def _open_socket(info: AddrInfoType) -> socket.socket:
    family, kind, protocol, _, _ = info
    return socket.socket(family, kind, protocol)


def _open_public_socket(info: AddrInfoType) -> socket.socket:
    """The one way to an address, whether it was looked up or stood in the URL: whatever gets here is connected to.

    Errors: `AddressRefused`.
    """
    if not is_public(info[4][0]):
        raise AddressRefused
    return _open_socket(info)


class _Resolver(AbstractResolver):
    def __init__(self, lookup: Lookup) -> None:
        self._lookup = lookup
        self._threads = ThreadPoolExecutor(_LOOKUP_THREADS, thread_name_prefix="egress-lookup")

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, self._lookup, host, port)
        return [
            ResolveResult(
                hostname=host,
                host=address[0],
                port=address[1],
                family=kind,
                proto=protocol,
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for kind, _, protocol, _, address in found
        ]

    async def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
