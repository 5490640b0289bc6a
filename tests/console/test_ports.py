"""Ports for servers of their own: free, and not among those that the system gives away."""

import socket

import pytest

from console.ports import LISTENABLE, first_free, free_port


def test_a_port_is_below_those_of_outgoing_connections() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()) as outgoing,
    ):
        assert free_port() in LISTENABLE
        assert outgoing.getsockname()[1] not in LISTENABLE


def test_a_port_that_is_taken_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", free_port())) as taken:
        port = taken.getsockname()[1]
        free = free_port()

        assert first_free([port, free]) == free
        with pytest.raises(OSError, match="None of the ports"):
            first_free([port])


def test_two_ports_of_one_server_are_never_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("console.ports.LISTENABLE", LISTENABLE[:100])

    first = free_port()

    assert all(free_port(besides=first) != first for _ in range(1_000))
