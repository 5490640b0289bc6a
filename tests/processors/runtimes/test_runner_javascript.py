"""What holds for functions in JavaScript alone: forms of the handler, globals."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from processors.runtimes.contract import Status
from processors.runtimes.pool import ProcessPool
from tests.processors.runtimes.languages import Twins, events, handlers, webhook

pytestmark = [pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[ProcessPool]:
    async with ProcessPool(node=None, max_runners=3, idle_s=60) as pool:
        yield pool


FORMS = [
    "async function onRequest(request) { Segment.track({event: 'A', userId: '1'}) }",
    "function onRequest(request) { Segment.track({event: 'A', userId: '1'}) }",
    "var onRequest = async (request) => { Segment.track({event: 'A', userId: '1'}) }",
    "onRequest = async (request) => { Segment.track({event: 'A', userId: '1'}) }",
    "const onRequest = async (request) => { Segment.track({event: 'A', userId: '1'}) }",
    "let onRequest = async (request) => { Segment.track({event: 'A', userId: '1'}) } // no line end",
    "'use strict'; async function onRequest() { implicit = 1; Segment.track({event: 'A', userId: implicit && '1'}) }",
    "return; async function onRequest() { Segment.track({event: 'A', userId: '1'}) }",
    "\ufeffasync function onRequest(request) { Segment.track({event: 'A', userId: '1'}) }",
]


@pytest.mark.parametrize("form", FORMS)
async def test_every_form_of_a_handler_works(pool: ProcessPool, form: str) -> None:
    [outcome] = await pool.run(Twins(form, "").code("javascript"), [webhook()])

    assert outcome.status is Status.OK
    assert events(outcome) == [{"type": "track", "event": "A", "userId": "1"}]


async def test_globals_of_node_are_there_and_node_itself_is_not(pool: ProcessPool) -> None:
    function = handlers(
        """
        const present = {
          hash: crypto.createHash('sha256').update('a').digest('hex').slice(0, 8),
          base64: Buffer.from('é').toString('base64'), btoa: btoa('é'), atob: atob('aGk='),
          query: new URLSearchParams({a: '1 2'}).toString(), host: new URL('https://a.example/x').host,
          header: new Headers({A: 'b'}).get('a'),
        }
        const absent = [typeof require, typeof module, typeof process, typeof exports, typeof global, typeof self]
        Segment.track({event: 'A', userId: '1', properties: {present, absent}})
        """,
        "",
    )

    [outcome] = await pool.run(function.code("javascript"), [webhook()])

    assert events(outcome)[0]["properties"] == {
        "present": {
            "hash": "ca978112",
            "base64": "w6k=",
            "btoa": "6Q==",
            "atob": "hi",
            "query": "a=1+2",
            "host": "a.example",
            "header": "b",
        },
        "absent": ["undefined"] * 6,
    }


async def test_values_and_errors_are_of_the_functions_own_realm(pool: ProcessPool) -> None:
    function = handlers(
        """
        let error
        try { Segment.track({}) } catch (caught) { error = caught }
        Segment.track({event: 'A', userId: '1', properties: {
          object: request.json() instanceof Object, error: error instanceof Error,
          same: error instanceof ValidationError,
        }})
        """,
        "",
    )

    [outcome] = await pool.run(function.code("javascript"), [webhook()])

    assert events(outcome)[0]["properties"] == {"object": True, "error": True, "same": True}


async def test_error_that_nobody_awaits_is_in_the_log(pool: ProcessPool) -> None:
    function = handlers(
        """
        Promise.reject(new TypeError('forgotten'))
        await new Promise((done) => setTimeout(done, 5))
        """,
        "",
    )

    [outcome] = await pool.run(function.code("javascript"), [webhook()])

    assert outcome.status is Status.OK
    assert [(line.level, line.text.splitlines()[0]) for line in outcome.logs] == [
        ("error", "Uncaught TypeError: forgotten")
    ]


async def test_header_beyond_latin_1_does_not_hide_the_others(pool: ProcessPool) -> None:
    function = handlers("Segment.track({event: request.headers.get('b'), userId: '1'})", "")

    [outcome] = await pool.run(function.code("javascript"), [webhook(headers=[("a", "日本"), ("b", "plain")])])

    assert events(outcome)[0]["event"] == "plain"
