"""The same function in both languages makes the same messages and the same errors."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from processors.runtimes.contract import Status
from processors.runtimes.pool import ProcessPool
from tests.processors.runtimes.languages import LANGUAGES, Twins, events, handlers, objects, webhook

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.parametrize("language", LANGUAGES)]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[ProcessPool]:
    async with ProcessPool(node=None, max_runners=3, idle_s=60) as pool:
        yield pool


MESSAGES: dict[str, tuple[Twins, list[Any], list[Any]]] = {
    "track has type, event and user": (
        handlers("Segment.track({event: 'A', userId: '1'})", "segment.track(event='A', user_id='1')"),
        [{"type": "track", "event": "A", "userId": "1"}],
        [],
    ),
    "every common field is carried": (
        handlers(
            """
            Segment.track({event: 'A', userId: '1', anonymousId: '2', properties: {a: [1, null]}, context: {ip: '::1'},
              integrations: {All: false}, messageId: 'm', timestamp: '2020-01-01T00:00:00Z', sentAt: 's'})
            """,
            """
            segment.track(event='A', user_id='1', anonymous_id='2', properties={'a': [1, None]}, context={'ip': '::1'},
                integrations={'All': False}, message_id='m', timestamp='2020-01-01T00:00:00Z', sent_at='s')
            """,
        ),
        [
            {
                "type": "track",
                "event": "A",
                "userId": "1",
                "anonymousId": "2",
                "properties": {"a": [1, None]},
                "context": {"ip": "::1"},
                "integrations": {"All": False},
                "messageId": "m",
                "timestamp": "2020-01-01T00:00:00Z",
                "sentAt": "s",
            }
        ],
        [],
    ),
    "identify has traits": (
        handlers("Segment.identify({userId: '1', traits: {a: 1}})", "segment.identify(user_id='1', traits={'a': 1})"),
        [{"type": "identify", "userId": "1", "traits": {"a": 1}}],
        [],
    ),
    "group has its id and traits": (
        handlers(
            "Segment.group({groupId: 'g', anonymousId: '1', traits: {a: 1}})",
            "segment.group(group_id='g', anonymous_id='1', traits={'a': 1})",
        ),
        [{"type": "group", "groupId": "g", "anonymousId": "1", "traits": {"a": 1}}],
        [],
    ),
    "page and screen have a name": (
        handlers(
            """
            Segment.page({name: 'Home', userId: '1', properties: {a: 1}})
            Segment.screen({name: 'Home', userId: '1'})
            """,
            """
            segment.page(name='Home', user_id='1', properties={'a': 1})
            segment.screen(name='Home', user_id='1')
            """,
        ),
        [
            {"type": "page", "name": "Home", "userId": "1", "properties": {"a": 1}},
            {"type": "screen", "name": "Home", "userId": "1"},
        ],
        [],
    ),
    "alias has the previous id": (
        handlers("Segment.alias({previousId: '0', userId: '1'})", "segment.alias(previous_id='0', user_id='1')"),
        [{"type": "alias", "previousId": "0", "userId": "1"}],
        [],
    ),
    "set makes an object, properties or not": (
        handlers(
            """
            Segment.set({collection: 'deals', id: 7, properties: {a: {b: 1.5}}})
            Segment.set({collection: 'deals', id: 0})
            """,
            """
            segment.set(collection='deals', id=7, properties={'a': {'b': 1.5}})
            segment.set(collection='deals', id=0)
            """,
        ),
        [],
        [{"collection": "deals", "id": 7, "properties": {"a": {"b": 1.5}}}, {"collection": "deals", "id": 0}],
    ),
    "messages keep the order of the calls": (
        handlers(
            "for (const event of ['a', 'b', 'c']) { Segment.track({event, userId: 1}); await null; }",
            """
            import asyncio
            for event in ['a', 'b', 'c']:
                segment.track(event=event, user_id=1)
                await asyncio.sleep(0)
            """,
        ),
        [{"type": "track", "event": event, "userId": 1} for event in "abc"],
        [],
    ),
    "values are not checked, and falsy ones are left out": (
        handlers(
            "Segment.track({event: 12, userId: 0, anonymousId: 'x', properties: {}, context: false, messageId: ''})",
            """segment.track(event=12, user_id=0, anonymous_id='x', properties={}, context=False, message_id='')""",
        ),
        [{"type": "track", "event": 12, "anonymousId": "x", "properties": {}}],
        [],
    ),
    "a helper returns the message it queued, properties by reference, context as a copy": (
        handlers(
            """
            const properties = {a: 1}, context = {b: {c: 1}};
            const sent = Segment.track({event: 'A', userId: '1', properties, context});
            properties.a = 2; context.b.c = 2; sent.userId = '2';
            """,
            """
            properties, context = {'a': 1}, {'b': {'c': 1}}
            sent = segment.track(event='A', user_id='1', properties=properties, context=context)
            properties['a'] = 2; context['b']['c'] = 2; sent['userId'] = '2'
            """,
        ),
        [{"type": "track", "event": "A", "userId": "2", "properties": {"a": 2}, "context": {"b": {"c": 1}}}],
        [],
    ),
    "characters of any plane survive": (
        handlers(
            "Segment.track({event: 'Grüße 🎉\\u2028', userId: request.json().id})",
            "segment.track(event='Grüße 🎉\\u2028', user_id=request.json()['id'])",
        ),
        [{"type": "track", "event": "Grüße 🎉\u2028", "userId": "Ω"}],
        [],
    ),
    "a plain function works, and what it returns is ignored": (
        Twins(
            "function onRequest() { Segment.track({event: 'A', userId: '1'}); return {events: [{type: 'track'}]} }",
            "def on_request(request, settings):\n  segment.track(event='A', user_id='1')\n  return {'events': [1]}",
        ),
        [{"type": "track", "event": "A", "userId": "1"}],
        [],
    ),
    "the request has body, headers, query and the settings are an argument": (
        handlers(
            """
            Segment.track({event: request.text(), userId: request.url.searchParams.get('q'),
              properties: {same: request.json() === request.json(), type: request.headers.get('CONTENT-type'),
                list: request.headers.get('x-list'), none: request.headers.get('x-none'), url: String(request.url),
                key: settings.key}})
            """,
            """
            segment.track(event=request.text(), user_id=request.url.search_params.get('q'),
                properties={'same': request.json() is request.json(), 'type': request.headers.get('CONTENT-type'),
                    'list': request.headers.get('x-list'), 'none': request.headers.get('x-none'),
                    'url': str(request.url), 'key': settings['key']})
            """,
        ),
        [
            {
                "type": "track",
                "event": '{"b" : 1,\n "id":"Ω"}',
                "userId": "1 2",
                "properties": {
                    "same": True,
                    "type": "application/json",
                    "list": "a, b",
                    "none": None,
                    "url": "https://in.example/hook?q=1+2&q=3",
                    "key": {"deep": [1]},
                },
            }
        ],
        [],
    ),
}


@pytest.mark.parametrize("rule", MESSAGES)
async def test_messages(pool: ProcessPool, language: str, rule: str) -> None:
    function, expected_events, expected_objects = MESSAGES[rule]
    request = webhook(
        '{"b" : 1,\n "id":"Ω"}'.encode(),
        url="https://in.example/hook?q=1+2&q=3",
        headers=[("Content-Type", "application/json"), ("X-List", "a"), ("x-list", "b")],
    )

    [outcome] = await pool.run(function.code(language, settings={"key": {"deep": [1]}}), [request])

    assert outcome.error is None
    assert events(outcome) == expected_events
    assert objects(outcome) == expected_objects


ERRORS: dict[str, tuple[Twins, Status, str, str]] = {
    "track needs an event": (
        handlers("Segment.track({userId: '1'})", "segment.track(user_id='1')"),
        Status.REJECTED,
        "ValidationError",
        "event is required but not defined",
    ),
    "an empty event is none": (
        handlers("Segment.track({event: '', userId: '1'})", "segment.track(event='', user_id='1')"),
        Status.REJECTED,
        "ValidationError",
        "event is required but not defined",
    ),
    "an event needs a user": (
        handlers("Segment.identify({traits: {a: 1}})", "segment.identify(traits={'a': 1})"),
        Status.REJECTED,
        "ValidationError",
        "One of userId,anonymousId is required but not defined",
    ),
    "group needs its id": (
        handlers("Segment.group({userId: '1'})", "segment.group(user_id='1')"),
        Status.REJECTED,
        "ValidationError",
        "groupId is required but not defined",
    ),
    "alias needs the previous id": (
        handlers("Segment.alias({userId: '1'})", "segment.alias(user_id='1')"),
        Status.REJECTED,
        "ValidationError",
        "previousId is required but not defined",
    ),
    "set needs a collection": (
        handlers("Segment.set({id: '1'})", "segment.set(id='1')"),
        Status.REJECTED,
        "ValidationError",
        "collection is required but not defined",
    ),
    "set needs an id": (
        handlers("Segment.set({collection: 'c'})", "segment.set(collection='c')"),
        Status.REJECTED,
        "ValidationError",
        "id is required but not defined",
    ),
    "EventNotSupported is final": (
        handlers("throw new EventNotSupported('no')", "raise EventNotSupported('no')"),
        Status.REJECTED,
        "EventNotSupported",
        "no",
    ),
    "InvalidEventPayload is final": (
        handlers("throw new InvalidEventPayload('no')", "raise segment.InvalidEventPayload('no')"),
        Status.REJECTED,
        "InvalidEventPayload",
        "no",
    ),
    "DropEvent drops": (
        handlers("throw new DropEvent('old')", "from segment import DropEvent as D; raise D('old')"),
        Status.DROPPED,
        "DropEvent",
        "old",
    ),
    "RetryError is retried": (
        handlers("throw new RetryError('later')", "raise RetryError('later')"),
        Status.ERROR,
        "RetryError",
        "later",
    ),
    "more than 1,000 messages are too many, even if the function does not mind": (
        handlers(
            "for (let n = 0; n < 1001; n++) try { Segment.track({event: 'A', userId: '1'}) } catch {}",
            """
            import contextlib
            for n in range(1001):
                with contextlib.suppress(Exception):
                    segment.track(event='A', user_id='1')
            """,
        ),
        Status.TOO_LARGE,
        "TooLarge",
        "The function sent more than 1000 messages.",
    ),
    "an event over 32 KiB is too large": (
        # 32,769 bytes: {"type":"track","event":"...","userId":"1"} is 40 bytes around the name.
        handlers(
            "Segment.track({event: 'x'.repeat(32729), userId: '1'})",
            "segment.track(event='x' * 32729, user_id='1')",
        ),
        Status.TOO_LARGE,
        "TooLarge",
        "A message of type track of 32769 bytes exceeds the limit of 32768 bytes.",
    ),
    "output over 4 MiB is too large": (
        handlers(
            "for (let n = 0; n < 5; n++) Segment.set({collection: 'c', id: n, properties: {a: 'x'.repeat(1e6)}})",
            "for n in range(5): segment.set(collection='c', id=n, properties={'a': 'x' * 1_000_000})",
        ),
        Status.TOO_LARGE,
        "TooLarge",
        "The messages exceed the limit of 4194304 bytes.",
    ),
}


@pytest.mark.parametrize("rule", ERRORS)
async def test_errors(pool: ProcessPool, language: str, rule: str) -> None:
    function, status, kind, message = ERRORS[rule]

    [outcome] = await pool.run(function.code(language), [webhook()])

    assert outcome.error is not None
    assert (outcome.status, outcome.error.kind, outcome.error.message) == (status, kind, message)
    assert (list(outcome.events), list(outcome.objects)) == ([], [])


async def test_event_of_32_kib_is_small_enough(pool: ProcessPool, language: str) -> None:
    function = handlers(
        "Segment.track({event: 'x'.repeat(32728), userId: '1'})", "segment.track(event='x' * 32728, user_id='1')"
    )

    [outcome] = await pool.run(function.code(language), [webhook()])

    assert [len(bytes(event)) for event in outcome.events] == [32_768]


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


async def test_output_is_captured_with_its_level_and_capped(pool: ProcessPool, language: str) -> None:
    function = handlers(
        """
        console.log('one', {a: 1}); console.warn('two'); console.error('three')
        if (request.json().flood) for (let n = 0; n < 200; n++) console.log('x'.repeat(9000))
        """,
        """
        import logging, sys
        print('one', {'a': 1}); logging.getLogger('me').warning('two'); print('three', file=sys.stderr)
        if request.json().get('flood'):
            for n in range(200): print('x' * 9000)
        """,
    )

    calm, flood = await pool.run(function.code(language), [webhook({}), webhook({"flood": 1})])

    assert [line.level for line in calm.logs] == ["info", "warn", "error"]
    assert [line.text for line in calm.logs][1:] == ["two", "three"]
    assert calm.logs[0].text.startswith("one {")
    assert max(len(line.text) for line in flood.logs) == 4_096
    assert sum(len(line.text) for line in flood.logs[:-1]) == 32_768
    assert flood.logs[-1].text.startswith("truncated")


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


async def test_messages_without_a_form_in_json_are_an_error_of_the_function(pool: ProcessPool, language: str) -> None:
    function = handlers(
        "const a = {}; a.a = a; Segment.track({event: 'A', userId: '1', properties: a})",
        "a = {}; a['a'] = a; segment.track(event='A', user_id='1', properties=a)",
    )

    [outcome] = await pool.run(function.code(language), [webhook()])

    assert outcome.status is Status.ERROR
