"""What holds for functions in both languages from one invocation to the next, and for the place of their errors.

What holds for a single one is the table in `conformance`.
"""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from processors.runtimes.contract import Status
from processors.runtimes.pool import ProcessPool
from tests.processors.runtimes.languages import LANGUAGES, Twins, events, handlers, webhook

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.parametrize("language", LANGUAGES)]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[ProcessPool]:
    async with ProcessPool(node=None, max_runners=3, idle_s=60) as pool:
        yield pool


async def test_nothing_is_sent_by_an_invocation_that_throws(pool: ProcessPool, language: str) -> None:
    function = handlers(
        """
        Segment.track({event: 'A', userId: '1', properties: request.json()})
        if (request.json().bad) throw new TypeError('bad')
        """,
        """
        segment.track(event='A', user_id='1', properties=request.json())
        if request.json().get('bad'): raise TypeError('bad')
        """,
    )

    bad, good = await pool.run(function.code(language), [webhook({"bad": 1}), webhook({"n": 1})])

    assert (bad.status, list(bad.events)) == (Status.ERROR, [])
    assert events(good) == [{"type": "track", "event": "A", "userId": "1", "properties": {"n": 1}}]


async def test_error_has_its_line_and_frames_of_the_user_only(pool: ProcessPool, language: str) -> None:
    function = Twins(
        "\nfunction inner() {\n  throw new RangeError('deep')\n}\nasync function onRequest() {\n  inner()\n}\n",
        "\n\ndef inner():\n    raise IndexError('deep')\nasync def on_request(request, settings):\n    inner()\n",
    )
    code = function.code(language)

    [outcome] = await pool.run(code, [webhook()])

    assert outcome.error is not None
    lines = code.text.splitlines()
    assert "deep" in lines[(outcome.error.line or 0) - 1]
    assert outcome.error.stack.startswith(f"{outcome.error.kind}: deep")
    frames = [line for line in outcome.error.stack.splitlines() if line.strip().startswith(("at ", "File "))]
    assert len(frames) == 2
    assert all(code.file_name in frame for frame in frames)


async def test_top_level_state_stays_and_settings_are_fresh(pool: ProcessPool, language: str) -> None:
    function = Twins(
        """
        let count = 0
        async function onRequest(request, settings) {
          count += 1
          settings.list.push(count)
          Segment.track({event: 'A', userId: '1', properties: {count, list: settings.list}})
        }
        """,
        """
        count = 0
        async def on_request(request, settings):
            global count
            count += 1
            settings['list'].append(count)
            segment.track(event='A', user_id='1', properties={'count': count, 'list': settings['list']})
        """,
    )

    outcomes = await pool.run(function.code(language, settings={"list": []}), [webhook(), webhook()])

    assert [events(outcome)[0]["properties"] for outcome in outcomes] == [
        {"count": 1, "list": [1]},
        {"count": 2, "list": [2]},
    ]


async def test_what_an_invocation_leaves_running_does_not_reach_the_next(pool: ProcessPool, language: str) -> None:
    function = handlers(
        """
        setTimeout(() => Segment.track({event: 'late', userId: '1'}), 5)
        if (request.json().n) await new Promise((done) => setTimeout(done, 30))
        """,
        """
        import asyncio
        async def late():
            await asyncio.sleep(0.005)
            segment.track(event='late', user_id='1')
        asyncio.get_running_loop().create_task(late())
        if request.json()['n']: await asyncio.sleep(0.03)
        """,
    )

    first, second = await pool.run(function.code(language), [webhook({"n": 0}), webhook({"n": 1})])

    assert events(first) == []
    assert events(second) == [{"type": "track", "event": "late", "userId": "1"}]


async def test_body_that_is_not_json_is_an_error_of_the_function(pool: ProcessPool, language: str) -> None:
    function = handlers("request.json()", "request.json()")

    [outcome] = await pool.run(function.code(language), [webhook(b"\xff{")])

    assert outcome.status is Status.ERROR
    assert outcome.error is not None
    assert outcome.error.kind == {"javascript": "SyntaxError", "python": "JSONDecodeError"}[language]
    assert outcome.error.line == 2
