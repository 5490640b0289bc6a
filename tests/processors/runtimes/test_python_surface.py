"""What Python functions have that is Python's own: forms of the handler, modules, output, errors, values, the cache."""

import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import mypy.api
import pytest
import pytest_asyncio
from mypy import stubtest

from hookmill.codec import FunctionError
from processors.runtimes.contract import Code, Outcome, Status
from processors.runtimes.pool import ProcessPool
from processors.runtimes.python import hookmill_runtime
from processors.runtimes.python.hookmill_runtime import segment
from tests.processors.runtimes.languages import Twins, events, handlers, objects, webhook

pytestmark = pytest.mark.asyncio(loop_scope="module")

STUBS = Path(hookmill_runtime.__file__).parents[1]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[ProcessPool]:
    async with ProcessPool(node=None, max_runners=3, idle_s=60) as pool:
        yield pool


def code_of(text: str, **options: Any) -> Code:
    return Twins("", text).code("python", **options)


def handler(body: str, **options: Any) -> Code:
    return handlers("", body).code("python", **options)


async def run_one(pool: ProcessPool, code: Code, body: bytes | dict[str, Any] = b"{}") -> Outcome:
    [outcome] = await pool.run(code, [webhook(body)])
    return outcome


async def error_of(pool: ProcessPool, code: Code, body: bytes | dict[str, Any] = b"{}") -> FunctionError:
    outcome = await run_one(pool, code, body)
    assert outcome.error is not None
    return outcome.error


async def load_error(pool: ProcessPool, code: Code) -> FunctionError:
    error = await pool.check(code)
    assert error is not None
    return error


FORMS = {
    "async def": "async def on_request(request, settings): segment.track(event='A', user_id='1')",
    "def": "def on_request(request, settings): segment.track(event='A', user_id='1')",
    "lambda": "on_request = lambda request, settings: segment.track(event='A', user_id='1')",
    "object with __call__": """
        class Handler:
            async def __call__(self, request, settings): segment.track(event='A', user_id='1')
        on_request = Handler()
        """,
    "arguments by any name, and more with defaults": """
        async def on_request(r, s, extra=None): segment.track(event='A', user_id='1')
        """,
    "byte-order mark": "\ufeffdef on_request(request, settings): segment.track(event='A', user_id='1')",
    "import of the module": """
        import segment as s
        from segment import track, Request
        def on_request(request: Request, settings): (track if s.track is track else None)(event='A', user_id='1')
        """,
}


@pytest.mark.parametrize("form", FORMS)
async def test_forms_of_the_handler(pool: ProcessPool, form: str) -> None:
    outcome = await run_one(pool, code_of(FORMS[form]))

    assert outcome.error is None
    assert events(outcome) == [{"type": "track", "event": "A", "userId": "1"}]


NO_HANDLERS = {
    "def on_request(request): pass": "cannot be called with request and settings: too many positional arguments.",
    "def on_request(a, b, c): pass": "cannot be called with request and settings: missing a required argument: 'c'.",
    "def on_request(request, settings): yield 1": "has a yield in it, so that calling it does not run it.",
    "async def on_request(request, settings): yield": "has a yield in it, so that calling it does not run it.",
    "on_request = {}": "is not a function but of type dict.",
}


@pytest.mark.parametrize("text", NO_HANDLERS)
async def test_handler_that_could_never_run_is_refused_when_loaded(pool: ProcessPool, text: str) -> None:
    error = await load_error(pool, code_of(text))

    assert (error.kind, error.message) == ("NoHandler", f"on_request of function.py {NO_HANDLERS[text]}")


async def test_request_has_method_and_exact_body(pool: ProcessPool) -> None:
    code = handler("segment.track(event=request.method, user_id=request.body.hex())")

    outcome = await run_one(pool, code, b"\xff\x00")

    assert events(outcome)[0] == {"type": "track", "event": "POST", "userId": "ff00"}


async def test_query_and_headers_know_what_they_have(pool: ProcessPool) -> None:
    code = handler("""
        query = request.url.search_params
        segment.track(event='A', user_id='1', properties={
            'has': ['a' in query, 'z' in query, 'X-A' in request.headers], 'all': query.get_all('a'),
            'pairs': list(query), 'default': query.get('z', 'none'), 'names': list(request.headers),
            'parts': [request.url.host, request.url.path, request.url.query]})
        """)

    [outcome] = await pool.run(code, [webhook(url="https://in.example:8080/p?a=1&a=%C3%A9&b=", headers=[("x-a", "v")])])

    assert events(outcome)[0]["properties"] == {
        "has": [True, False, True],
        "all": ["1", "é"],
        "pairs": [["a", "1"], ["a", "é"], ["b", ""]],
        "default": "none",
        "names": ["x-a"],
        "parts": ["in.example:8080", "/p", "a=1&a=%C3%A9&b="],
    }


BODIES = {
    b"": "The body is empty: line 1 column 1 (char 0)",
    b'{"a":\n"\xff"}': "The body is not UTF-8: it has the byte 0xff at offset 7: line 2 column 2 (char 7)",
    b'{"a":\n1,}': "The body is not JSON: ",
}


@pytest.mark.parametrize("body", BODIES)
async def test_body_that_is_no_json_says_why(pool: ProcessPool, body: bytes) -> None:
    error = await error_of(pool, handler("request.json()"), body)

    assert (error.kind, error.line) == ("JSONDecodeError", 2)
    assert error.message.startswith(BODIES[body])


async def test_half_a_surrogate_pair_of_a_text_that_was_cut_is_a_replacement_character(pool: ProcessPool) -> None:
    code = handler("segment.track(event=request.json()['a'], user_id='1')")

    outcome = await run_one(pool, code, rb'{"a":"\ud83c\udf89 \\ud83c \uD83C"}')

    assert events(outcome)[0]["event"] == "🎉 \\ud83c \ufffd"


async def test_body_that_is_no_json_can_be_caught_as_the_standard_library_raises_it(pool: ProcessPool) -> None:
    code = handler("""
        import json
        try: request.json()
        except json.JSONDecodeError as error: raise DropEvent(f'line {error.lineno}')
        """)

    outcome = await run_one(pool, code, b'{"a":\n1,}')

    assert outcome.status is Status.DROPPED
    assert outcome.error is not None
    assert outcome.error.message == "line 2"


async def test_messages_queued_so_far_can_be_read(pool: ProcessPool) -> None:
    code = handler("""
        segment.track(event='A', user_id='1')
        segment.set(collection='c', id=1)
        segment.track(event='B', user_id='1', properties={'before': len(segment.events) + len(segment.objects)})
        """)

    assert events(await run_one(pool, code))[1]["properties"] == {"before": 2}


async def test_messages_put_into_the_list_count_to_the_limit(pool: ProcessPool) -> None:
    outcome = await run_one(pool, handler("segment.events.extend([{'type': 'track'}] * 1_001)"))

    assert outcome.status is Status.TOO_LARGE


async def test_unknown_argument_and_unknown_helper_are_errors(pool: ProcessPool) -> None:
    argument = await error_of(pool, handler("segment.track(event='A', userId='1')"))
    helper = await error_of(pool, handler("segment.trak(event='A', user_id='1')"))

    assert (argument.kind, argument.message) == ("TypeError", "track() got an unexpected keyword argument 'userId'")
    assert (helper.kind, helper.message) == ("AttributeError", "module 'segment' has no attribute 'trak'")


async def test_dates_are_written_as_a_date_of_javascript_is(pool: ProcessPool) -> None:
    code = handler("""
        from datetime import date, datetime, timedelta, timezone
        at = datetime(2020, 1, 2, 3, 4, 5, 678900, tzinfo=timezone(timedelta(hours=1)))
        segment.track(event='A', user_id='1', timestamp=at, properties={'day': date(2020, 1, 2), 'nan': float('nan')})
        """)

    [event] = events(await run_one(pool, code))

    assert event["timestamp"] == "2020-01-02T02:04:05.678Z"
    assert event["properties"] == {"day": "2020-01-02", "nan": None}


NOT_JSON = {
    "segment.track(event='A', user_id='1', properties={'items': [{'price': __import__('decimal').Decimal(1)}]})": (
        "segment.track: properties.items[0].price is of type Decimal, which JSON has no form for."
    ),
    "segment.identify(user_id={'a'})": "segment.identify: userId is of type set, which JSON has no form for.",
    "segment.set(collection='c', id=2**64)": "segment.set: id is an integer of more than 64 bits.",
    "segment.delete(collection='c', id=2**64)": "segment.delete: id is an integer of more than 64 bits.",
    "a = {}; a['a'] = a; segment.group(group_id=1, user_id=1, traits=a)": (
        "segment.group: traits.a refers back to what it is in."
    ),
    "a = {}; a['a'] = a; segment.track(event='A', user_id=1, context=a)": (
        "segment.track: context refers back to itself, or is nested deeper than 254 levels."
    ),
    "segment.track(event='A', user_id=1, properties={'a b': {1}})": (
        'segment.track: properties["a b"] is of type set, which JSON has no form for.'
    ),
    "segment.events.append(12)": "A message is a dict, not of type int.",
}


@pytest.mark.parametrize("body", NOT_JSON)
async def test_values_without_a_form_in_json_are_named(pool: ProcessPool, body: str) -> None:
    error = await error_of(pool, handler(body))

    assert (error.kind, error.message) == ("TypeError", NOT_JSON[body])


async def test_returned_messages_are_not_sent_and_a_warning_says_so(pool: ProcessPool) -> None:
    outcome = await run_one(pool, handler("return {'events': [{'type': 'track'}], 'objects': []}"))

    assert (outcome.status, list(outcome.events)) == (Status.OK, [])
    assert [(line.level, line.text) for line in outcome.logs] == [
        ("warn", "What on_request returns is not sent: call segment.track and the other helpers for each message.")
    ]


async def test_settings_that_are_not_there_are_an_empty_dict(pool: ProcessPool) -> None:
    outcome = await run_one(pool, handler("segment.track(event='A', user_id='1', properties=settings)"))

    assert events(outcome)[0]["properties"] == {}


async def test_error_of_the_only_task_of_a_group_counts_as_raised(pool: ProcessPool) -> None:
    code = handler("""
        import asyncio
        async def fail(): raise ValidationError('no such plan')
        async with asyncio.TaskGroup() as group: group.create_task(fail())
        """)

    outcome = await run_one(pool, code)

    assert outcome.status is Status.REJECTED
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.message) == ("ValidationError", "no such plan")


async def test_cpu_time_is_told_and_leaves_waiting_out(pool: ProcessPool) -> None:
    code = handler("""
        import asyncio, time
        if request.json()['busy']:
            end = time.thread_time() + 0.05
            while time.thread_time() < end: pass
        else:
            await asyncio.sleep(0.1)
        """)

    busy, waiting = await pool.run(code, [webhook({"busy": True}), webhook({"busy": False})])

    assert busy.cpu_ms is not None
    assert waiting.cpu_ms is not None
    assert 50 <= busy.cpu_ms <= busy.duration_ms + 10
    assert waiting.cpu_ms < 50 < waiting.duration_ms


CACHE = """
    calls = []
    def make(value):
        calls.append(value)
        return value
    async def make_async(value): return make(value)
    async def on_request(request, settings):
        load = segment.cache.load
        got = [await load('a', None, lambda: make(1)), await load('a', -1, lambda: make(2)),
            await load('b', 60_000, lambda: make_async(3)), await load('b', 60_000, lambda: make_async(4)),
            await load('c', 0, lambda: make(5)), await load('c', 0, lambda: make(6))]
        segment.cache.delete('b')
        segment.cache.delete('never there')
        got.append(await load('b', None, lambda: make(7)))
        segment.track(event='A', user_id='1', properties={'got': got, 'calls': list(calls)})
    """


async def test_cache_keeps_values_between_invocations_until_they_end_or_are_deleted(pool: ProcessPool) -> None:
    first, second = await pool.run(code_of(CACHE), [webhook(), webhook()])

    assert events(first)[0]["properties"] == {"got": [1, 1, 3, 3, 5, 6, 7], "calls": [1, 3, 5, 6, 7]}
    # The second finds a and b; b is the 7 of the first until it is deleted.
    assert events(second)[0]["properties"]["got"] == [1, 1, 7, 7, 5, 6, 7]


async def test_cache_keeps_nothing_of_what_raised(pool: ProcessPool) -> None:
    code = handler("""
        try: await segment.cache.load('a', None, lambda: 1 / 0)
        except ZeroDivisionError: pass
        segment.track(event='A', user_id=await segment.cache.load('a', None, lambda: 'b'))
        """)

    assert events(await run_one(pool, code))[0]["userId"] == "b"


async def test_cache_lets_go_of_what_was_asked_for_least_recently(pool: ProcessPool) -> None:
    code = handler("""
        load = segment.cache.load
        for n in range(1_000): await load(f'k{n}', None, lambda: 'old')
        await load('k0', None, lambda: 'new')
        await load('one more', None, lambda: 'old')
        segment.track(event=await load('k0', None, lambda: 'new'), user_id=await load('k1', None, lambda: 'new'))
        """)

    [event] = events(await run_one(pool, code))

    assert (event["event"], event["userId"]) == ("old", "new")


MODULES = {
    "helpers.py": "from shared.money import cents\ndef price(text):\n    return cents(text)\n",
    "shared/money.py": "def cents(text):\n    return round(float(text) * 100)\n",
    "tools/__init__.py": "from .inner import NAME\n",
    "tools/inner.py": "NAME = 'tool'\n",
}
IMPORTS = """
    import helpers
    import tools
    def on_request(request, settings):
        segment.set(collection='prices', id=tools.NAME, properties={'cents': helpers.price(request.json()['price'])})
    """


async def test_helper_modules_are_imported(pool: ProcessPool) -> None:
    outcome = await run_one(pool, code_of(IMPORTS, modules=MODULES), {"price": "12.34"})

    assert objects(outcome) == [{"collection": "prices", "id": "tool", "properties": {"cents": 1234}}]


async def test_error_in_a_helper_module_has_the_frames_of_the_users_files_only(pool: ProcessPool) -> None:
    error = await error_of(pool, code_of(IMPORTS, modules=MODULES), {"price": "x"})

    assert (error.kind, error.line) == ("ValueError", 4)
    assert re.findall(r'File "([^"]+)", line (\d+)', error.stack) == [
        ("shared/money.py", "2"),
        ("helpers.py", "3"),
        ("function.py", "4"),
    ]
    assert "return round(float(text) * 100)" in error.stack


async def test_syntax_error_in_a_helper_module_names_file_and_line(pool: ProcessPool) -> None:
    error = await load_error(pool, code_of("import os\nimport helpers\n", modules={"helpers.py": "a = 1\nb = = 2\n"}))

    assert (error.kind, error.line, error.message) == ("SyntaxError", 2, "invalid syntax (helpers.py, line 2)")


@pytest.mark.parametrize("name", ["json.py", "segment.py", "function.py", "email/x.py"])
async def test_helper_module_with_a_taken_name_is_refused(pool: ProcessPool, name: str) -> None:
    error = await load_error(pool, code_of("def on_request(request, settings): pass", modules={name: ""}))

    assert (error.kind, error.message) == (
        "ImportError",
        f"The helper module {re.split('[./]', name)[0]} has the name of one that is there already: rename it.",
    )


async def test_time_limit_reaches_a_task_of_a_helper_module(pool: ProcessPool) -> None:
    code = code_of(
        """
        import asyncio, helpers
        async def on_request(request, settings): await asyncio.create_task(helpers.spin())
        """,
        modules={"helpers.py": "async def spin():\n    while True: pass\n"},
        timeout_ms=1_000,
    )

    outcome = await run_one(pool, code)

    assert outcome.status is Status.TIMEOUT
    assert outcome.error is not None
    assert 'File "helpers.py", line 2' in outcome.error.stack


async def test_packages_of_the_site_folder_are_imported(pool: ProcessPool, tmp_path: Path) -> None:
    (tmp_path / "thirdparty").mkdir()
    (tmp_path / "thirdparty" / "__init__.py").write_text("NAME = 'third'\n")
    code = code_of(
        "import thirdparty\ndef on_request(request, settings): segment.track(event=thirdparty.NAME, user_id='1')",
        site=str(tmp_path),
    )

    assert events(await run_one(pool, code))[0]["event"] == "third"


async def test_orjson_is_there_and_packages_of_ours_are_not(pool: ProcessPool) -> None:
    code = handler("""
        import importlib.util, orjson
        found = [name for name in ('msgspec', 'aiohttp', 'hookmill', 'processors') if importlib.util.find_spec(name)]
        segment.track(event=orjson.dumps({'a': 1}).decode(), user_id='1', properties={'found': found})
        """)

    [event] = events(await run_one(pool, code))

    assert (event["event"], event["properties"]) == ('{"a":1}', {"found": []})


SYNTAX = {
    "a = 1\ndef on_request(request settings):\n    pass\n": (2, "def on_request(request settings):"),
    "def on_request(request, settings):\n  x = 'é' + )\n": (2, "  x = 'é' + )"),
    "def on_request(request, settings):\npass\n": (2, "pass"),
}


@pytest.mark.parametrize("text", SYNTAX)
async def test_syntax_error_has_line_column_and_the_line_itself(pool: ProcessPool, text: str) -> None:
    error = await load_error(pool, code_of(text))

    line, source_line = SYNTAX[text]
    assert error.kind in {"SyntaxError", "IndentationError"}
    assert (error.line, error.source_line) == (line, source_line)
    assert error.column is not None
    # Where the parser gave up: versions of Python differ in whether that is the last good token or the first bad one.
    assert re.match(r"request|settings|\)|pass", source_line[error.column - 1 :])


async def test_warnings_and_loggers_are_lines_with_their_level(pool: ProcessPool) -> None:
    code = handler("""
        import logging, sys, warnings
        warnings.warn('old api')
        logging.getLogger('x').debug('a %s', 'b')
        sys.stdout.write('no line end')
        sys.stderr.write('two\\nlines\\n')
        logging.error('%d', 'not a number')
        """)

    first, second = await pool.run(code, [webhook(), webhook()])

    lines = [(line.level, line.text) for line in first.logs]
    assert lines[0][0] == "warn"
    assert lines[0][1].startswith("function.py:3: UserWarning: old api")
    assert lines[1:4] == [("debug", "a b"), ("error", "two"), ("error", "lines")]
    assert ("error", "TypeError: %d format: a real number is required, not str") in lines
    assert lines[-1] == ("info", "no line end")
    assert second.logs[0].text.startswith("function.py:3: UserWarning: old api")


SECRETS = ["s3cr3t-value", "s3cr3t-value-longer", "short", "-----BEGIN-----\nabcdefgh\n-----END-----"]


async def test_secrets_are_taken_out_of_log_lines_messages_and_stacks(pool: ProcessPool) -> None:
    code = handler(
        """
        import logging
        print(settings)
        print('a s3cr3t-value-longer s3cr3t-value', 'short', 's3cr3t', end='')
        print('-value')
        logging.warning(settings['pem'])
        print({'quoted': settings['pem']})
        raise RuntimeError(f"key {settings['key']} 's3cr3t-value'")  # s3cr3t-value
        """,
        settings={"key": SECRETS[0], "long": SECRETS[1], "pem": SECRETS[3]},
        secrets=SECRETS,
    )

    outcome = await run_one(pool, code)

    assert outcome.error is not None
    assert outcome.error.message == "key [redacted] '[redacted]'"
    said = "\n".join([*(line.text for line in outcome.logs), outcome.error.stack])
    assert "s3cr3t-value" not in said
    assert "abcdefgh" not in said
    assert "a [redacted] [redacted] short [redacted]" in said


async def test_errors_of_a_derived_class_mean_what_their_base_means(pool: ProcessPool) -> None:
    outcome = await run_one(pool, handler("class Unknown(EventNotSupported): pass\nraise Unknown('why')"))

    assert outcome.status is Status.REJECTED
    assert outcome.error is not None
    assert (outcome.error.kind, outcome.error.message) == ("Unknown", "why")


SAMPLE = """
    import segment
    from segment import Request, ValidationError
    from typing import Any

    async def fetch_token() -> str:
        return "token"

    async def on_request(request: Request, settings: dict[str, Any]) -> None:
        body = request.json()
        if request.headers.get("x-kind") is None or "b" in request.url.search_params:
            raise ValidationError("no kind")
        token: str = await segment.cache.load("token", 60_000, fetch_token)
        count: int = await segment.cache.load("count", None, lambda: 1)
        segment.track(event="A", user_id=body["id"], properties={"n": count, "token": token})
        segment.identify(anonymous_id="x", traits={}, context={"ip": "::1"}, timestamp="2020-01-02")
        segment.set(collection="deals", id=7, properties={"q": request.url.search_params.get("q", "")})
        last: dict[str, Any] = segment.events[-1]
        print(last, request.body.hex(), request.text().upper(), request.method.lower(), str(request.url))
    """
WRONG = """
    import segment
    segment.track(user_id="1")
    segment.track(event="A", userId="1")
    segment.set(collection="c", id=None)
    segment.nothing()
    """


async def test_stub_types_a_good_function_and_finds_the_mistakes_of_a_bad_one(tmp_path: Path) -> None:
    (tmp_path / "segment.pyi").write_text((STUBS / "segment.pyi").read_text())
    (tmp_path / "function.py").write_text(dedent(SAMPLE))
    (tmp_path / "wrong.py").write_text(dedent(WRONG))
    files = [str(tmp_path / name) for name in ("function.py", "wrong.py")]

    said, complaints, _ = mypy.api.run(["--strict", "--config-file=", f"--cache-dir={tmp_path}", *files])

    assert complaints == ""
    assert re.findall(r"(\w+\.py):(\d+): error:", said) == [("wrong.py", str(line)) for line in (3, 4, 5, 6)], said


async def test_stub_says_what_the_module_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "segment", segment)
    monkeypatch.setenv("MYPYPATH", str(STUBS))

    stubtest.test_stubs(stubtest.parse_options(["segment", "--concise"]))

    # Two differences are meant: editors are not offered constructors that only the runner calls, and they mark a
    # missing argument that the runner reports with a ValidationError.
    differences = [
        line
        for line in capsys.readouterr().out.splitlines()
        if ".__init__ is inconsistent, stub does not have parameter" not in line
        and not line.endswith("has a default value but stub parameter does not")
    ]
    assert differences == []
