"""Calls through the guard, to real servers on this machine."""

import asyncio
import gzip
import shutil
import socket
import ssl
import subprocess
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hookmill.egress.allow import AllowList
from hookmill.egress.call import Answer, Call
from hookmill.egress.errors import FetchFailed, FetchRefused
from hookmill.egress.guard import MAX_ANSWER_BYTES, MAX_REDIRECTS, Egress

DEADLINE_S = 20.0
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Host:
    """A server on a loopback address that keeps what it was sent."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.answer: Handler = _say_hello
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._take)
        self._server = TestServer(app, host="127.0.0.1")

    async def __aenter__(self) -> "Host":
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    @property
    def port(self) -> int:
        assert self._server.port is not None
        return self._server.port

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    async def _take(self, request: web.Request) -> web.StreamResponse:
        self.requests.append((request.method, request.path_qs, dict(request.headers), await request.read()))
        return await self.answer(request)


async def _say_hello(request: web.Request) -> web.Response:
    return web.Response(text="hello", headers={"X-Name": "caf\u00e9"})


def answering(response: Callable[[], web.Response]) -> Handler:
    async def answer(request: web.Request) -> web.Response:
        return response()

    return answer


def redirecting(*targets: str) -> Handler:
    """To the first target at the path `/`, to the next at the following paths."""
    left = list(targets)

    async def answer(request: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": left.pop(0)}) if left else web.Response(text="end")

    return answer


@pytest.fixture
async def host() -> AsyncIterator[Host]:
    async with Host() as server:
        yield server


def names(**addresses: Sequence[str]) -> Callable[[str, int], Sequence[Any]]:
    """A name server; of several addresses, each lookup gives the next."""
    answers = {name.replace("_", "."): list(found) for name, found in addresses.items()}

    def lookup(name: str, port: int) -> Sequence[Any]:
        found = answers[name]
        address = found.pop(0) if len(found) > 1 else found[0]
        return socket.getaddrinfo(address, port, type=socket.SOCK_STREAM)

    return lookup


async def fetch(
    url: str,
    *allowed: str,
    method: str = "GET",
    headers: tuple[tuple[str, str], ...] = (),
    body: bytes = b"",
    timeout_s: float = DEADLINE_S,
    egress: Egress | None = None,
    **options: Any,
) -> Answer:
    """Through a guard that lets private addresses be called, unless another is given."""
    async with egress or Egress(allow_private=True) as guard:
        call = Call.checked(method, url, headers, body)
        return await guard.fetch(call, AllowList.parse(allowed, "the list"), timeout_s=timeout_s, **options)


async def test_call_arrives_as_it_was_asked_for_and_the_answer_comes_back(host: Host) -> None:
    answer = await fetch(
        host.url("/a?b=c"),
        f"127.0.0.1:{host.port}",
        method="POST",
        headers=(("Authorization", "Bearer x"), ("X-Two", "1"), ("X-Two", "2")),
        body=b"\x00\xff",
    )

    [(method, path, headers, body)] = host.requests
    assert (method, path, body) == ("POST", "/a?b=c", b"\x00\xff")
    assert headers["Authorization"] == "Bearer x"
    assert headers["Host"] == f"127.0.0.1:{host.port}"
    assert "Content-Type" not in headers
    assert (answer.status, answer.body, answer.url) == (200, b"hello", host.url("/a?b=c"))
    # A character per byte: what came are two bytes of UTF-8.
    assert ("X-Name", "caf\u00c3\u00a9") in answer.headers


@pytest.mark.parametrize("status", [404, 500])
async def test_answer_with_an_error_status_is_an_answer(host: Host, status: int) -> None:
    host.answer = answering(lambda: web.Response(status=status, text="no"))

    answer = await fetch(host.url(), f"127.0.0.1:{host.port}")

    assert (answer.status, answer.body) == (status, b"no")


@pytest.mark.parametrize(
    "spelling",
    [
        "127.0.0.1",
        "localhost",
        "127.1",
        "127.000.000.001",
        "0177.0.0.1",
        "0x7f.0.0.1",
        "0x7f000001",
        "2130706433",
        "017700000001",
        "0.0.0.0",
        "0",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "127.0.0.1.",
    ],
)
async def test_no_spelling_of_a_private_address_is_connected_to(host: Host, spelling: str) -> None:
    with pytest.raises(FetchRefused):
        await fetch(host.url(host=spelling), f"{spelling}:{host.port}", egress=Egress())

    assert host.requests == []


async def test_name_of_a_private_address_is_refused_in_clear_words(host: Host) -> None:
    egress = Egress(lookup=names(inside_example=["127.0.0.1"]))

    with pytest.raises(FetchRefused) as refusal:
        await fetch(host.url("/?key=secret", "inside.example"), f"inside.example:{host.port}", egress=egress)

    assert str(refusal.value) == "inside.example is not allowed: its address is not one of the public Internet."
    assert host.requests == []


async def test_wildcard_does_not_stand_for_private_addresses(host: Host) -> None:
    egress = Egress(allow_private=True, lookup=names(a_inside_example=["127.0.0.1"]))

    with pytest.raises(FetchRefused, match="public Internet"):
        await fetch(host.url(host="a.inside.example"), f"*.inside.example:{host.port}", egress=egress)

    assert host.requests == []


async def test_address_looked_up_is_the_one_connected_to(host: Host) -> None:
    """A name that changes its address between check and connection gets nowhere: there is one lookup."""
    lookup = names(turning_example=["127.0.0.1", "127.0.0.2"])
    egress = Egress(allow_private=True, lookup=lookup)

    answer = await fetch(host.url(host="turning.example"), f"turning.example:{host.port}", egress=egress)

    assert answer.status == 200
    assert lookup("turning.example", 80)[0][4][0] == "127.0.0.2"  # nobody had asked for it


async def test_private_address_behind_a_public_name_is_refused_whenever_it_appears(host: Host) -> None:
    egress = Egress(lookup=names(turning_example=["192.0.2.1", "127.0.0.1", "::1"]))
    for _ in range(3):
        with pytest.raises(FetchRefused, match="public Internet"):
            await fetch(host.url(host="turning.example"), f"turning.example:{host.port}", egress=egress)

    assert host.requests == []


async def test_redirect_is_followed_with_the_rules_of_the_first_call(host: Host) -> None:
    host.answer = redirecting("/one", "two")

    answer = await fetch(host.url(), f"127.0.0.1:{host.port}")

    assert (answer.status, answer.url) == (200, host.url("/two"))
    assert [path for _, path, _, _ in host.requests] == ["/", "/one", "/two"]


async def test_redirect_to_a_host_not_allowed_is_refused(host: Host) -> None:
    async with Host() as inside:
        host.answer = redirecting(inside.url("/admin?key=secret"))

        with pytest.raises(FetchRefused) as refusal:
            await fetch(host.url(), f"127.0.0.1:{host.port}")

        assert str(refusal.value) == f"http://127.0.0.1:{inside.port} is not allowed: the list does not name it."
        assert inside.requests == []


async def test_redirect_to_a_private_address_is_refused(host: Host) -> None:
    async with Host() as inside:
        host.answer = redirecting(inside.url("/", "a.inside.example"))
        egress = Egress(allow_private=True, lookup=names(open_example=["127.0.0.1"], a_inside_example=["127.0.0.1"]))
        allowed = (f"open.example:{host.port}", f"*.inside.example:{inside.port}")

        with pytest.raises(FetchRefused, match=r"a\.inside\.example is not allowed: its address"):
            await fetch(host.url(host="open.example"), *allowed, egress=egress)

        assert inside.requests == []


async def test_redirect_to_another_host_takes_no_credentials_along(host: Host) -> None:
    async with Host() as other:
        host.answer = redirecting(other.url())
        allowed = (f"127.0.0.1:{host.port}", f"127.0.0.1:{other.port}")

        await fetch(host.url(), *allowed, headers=(("Authorization", "Bearer x"), ("X-Api-Key", "y")))

        [(_, _, headers, _)] = other.requests
        assert not {"Authorization", "X-Api-Key"} & set(headers)


async def test_redirects_without_end_are_refused(host: Host) -> None:
    host.answer = redirecting(*["/"] * 20)

    with pytest.raises(FetchRefused, match=f"more than {MAX_REDIRECTS} times"):
        await fetch(host.url(), f"127.0.0.1:{host.port}")

    assert len(host.requests) == MAX_REDIRECTS + 1


async def test_redirect_is_handed_back_where_it_is_not_to_be_followed(host: Host) -> None:
    host.answer = redirecting("http://inside.example/")

    answer = await fetch(host.url(), f"127.0.0.1:{host.port}", follows_redirects=False)

    assert answer.status == 302
    assert ("Location", "http://inside.example/") in answer.headers


async def test_answer_may_have_four_mebibytes_and_not_a_byte_more(host: Host) -> None:
    async with Egress(allow_private=True) as egress:
        host.answer = answering(lambda: web.Response(body=bytes(MAX_ANSWER_BYTES)))
        whole = await fetch(host.url(), f"127.0.0.1:{host.port}", egress=egress)
        host.answer = answering(lambda: web.Response(body=bytes(MAX_ANSWER_BYTES + 1)))

        with pytest.raises(FetchRefused, match="more than 4194304 bytes"):
            await fetch(host.url(), f"127.0.0.1:{host.port}", egress=egress)

    assert len(whole.body) == MAX_ANSWER_BYTES


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_packed_answer_is_unpacked_and_a_bomb_is_not(host: Host, encoding: str) -> None:
    pack = gzip.compress if encoding == "gzip" else zlib.compress
    bomb = pack(bytes(100 * 2**20))
    async with Egress(allow_private=True) as egress:
        host.answer = answering(lambda: web.Response(body=pack(b"small"), headers={"Content-Encoding": encoding}))
        small = await fetch(host.url(), f"127.0.0.1:{host.port}", egress=egress)
        host.answer = answering(lambda: web.Response(body=bomb, headers={"Content-Encoding": encoding}))

        with pytest.raises(FetchRefused, match="more than 4194304 bytes"):
            await fetch(host.url(), f"127.0.0.1:{host.port}", egress=egress)

    assert small.body == b"small"


async def test_host_that_does_not_answer_in_time_is_given_up(host: Host) -> None:
    never = asyncio.Event()

    async def answer(request: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    host.answer = answer
    try:
        with pytest.raises(FetchFailed, match=r"127\.0\.0\.1 did not answer within 100 ms"):
            await fetch(host.url(), f"127.0.0.1:{host.port}", timeout_s=0.1)
    finally:
        never.set()


async def test_no_cookie_is_kept_for_the_next_call(host: Host) -> None:
    host.answer = answering(lambda: web.Response(headers={"Set-Cookie": "a=b; Path=/"}))
    egress = Egress(allow_private=True, lookup=names(open_example=["127.0.0.1"]))
    async with egress:
        call = Call.checked("GET", host.url(host="open.example"))
        for _ in range(2):
            await egress.fetch(call, AllowList.parse([f"open.example:{host.port}"], "the list"), timeout_s=DEADLINE_S)

    assert [headers.get("Cookie") for _, _, headers, _ in host.requests] == [None, None]


async def test_proxy_of_the_environment_is_not_used(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    async with Host() as proxy:
        monkeypatch.setenv("http_proxy", proxy.url())
        monkeypatch.setenv("HTTP_PROXY", proxy.url())

        await fetch(host.url(), f"127.0.0.1:{host.port}")

        assert proxy.requests == []


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    ],
)
async def test_server_that_does_not_speak_http_is_a_failure_without_its_words(answer: bytes) -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(FetchFailed) as failure:
            await fetch(f"http://127.0.0.1:{port}/", f"127.0.0.1:{port}")

    assert "OpenSSH" not in str(failure.value)
    assert str(failure.value).startswith("127.0.0.1 gave no answer: ")


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
async def test_certificate_that_nobody_vouches_for_is_not_taken(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    options = ["-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=api.example.com"]
    names_of_it = ["-addext", "subjectAltName=DNS:api.example.com"]
    files = ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(["openssl", "req", *options, *names_of_it, *files], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    asked_for: list[str | None] = []
    context.sni_callback = lambda _, name, __: asked_for.append(name)
    app = web.Application()
    app.router.add_get("/", _say_hello)
    server = TestServer(app, host="127.0.0.1", scheme="https")
    await server.start_server(ssl=context)
    try:
        with pytest.raises(FetchFailed, match=r"api\.example\.com gave no answer: its certificate is not valid"):
            await fetch(
                f"https://api.example.com:{server.port}/",
                f"api.example.com:{server.port}",
                egress=Egress(allow_private=True, lookup=names(api_example_com=["127.0.0.1"])),
            )
    finally:
        await server.close()

    assert asked_for == ["api.example.com"]


async def test_name_without_address_and_port_without_server_are_failures() -> None:
    def lookup(name: str, port: int) -> Sequence[Any]:
        raise socket.gaierror(socket.EAI_NONAME, "not known")

    with pytest.raises(FetchFailed, match=r"nowhere\.example gave no answer: its name has no address"):
        await fetch("http://nowhere.example/", "nowhere.example", egress=Egress(lookup=lookup))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        with pytest.raises(FetchFailed, match="no connection could be made"):
            await fetch(f"http://127.0.0.1:{port}/", f"127.0.0.1:{port}")
