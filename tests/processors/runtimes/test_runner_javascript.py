"""What holds for functions in JavaScript alone and the table in `conformance` cannot say: places, state, packages."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from hookmill.codec import FunctionError
from processors.runtimes.contract import Code
from processors.runtimes.node import find_node
from processors.runtimes.pool import ProcessPool
from tests.processors.runtimes.languages import Twins, events, handlers, objects, webhook

pytestmark = [pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[ProcessPool]:
    async with ProcessPool(node=None, max_runners=3, idle_s=60) as pool:
        yield pool


def code_of(text: str, secrets: list[str] | None = None) -> Code:
    return Twins(text, "").code("javascript", secrets=secrets or [])


async def load_error(pool: ProcessPool, text: str, secrets: list[str] | None = None) -> FunctionError:
    error = await pool.check(code_of(text, secrets))
    assert error is not None
    return error


async def thrown(pool: ProcessPool, code: Code) -> FunctionError:
    [outcome] = await pool.run(code, [webhook()])
    assert outcome.error is not None
    return outcome.error


SYNTAX = {
    "let let = 1": (1, 5, "let let = 1"),
    "const a = 1\n\tlet let = 2\n": (2, 6, "\tlet let = 2"),
    "\ufeffconst a = 1; let let = 2": (1, 18, "const a = 1; let let = 2"),
    # Columns are those of UTF-16, as everywhere in JavaScript.
    "a = 'é🎉'\nb = 'é🎉'; let let = 2": (2, 16, "b = 'é🎉'; let let = 2"),
    "function onRequest() {}\n}\n": (2, 1, "}"),
    "function onRequest() {}\r\n}\r\n": (2, 1, "}"),
    # Found after the last line, where there is nothing to point at.
    "const a = 1\nfunction onRequest() {\n\n": (2, None, "function onRequest() {"),
    # The engine marks the place only near the beginning of a line.
    f"a = '{'x' * 2000}'; let let = 2": (1, None, f"a = '{'x' * 251}"),
}


@pytest.mark.parametrize("text", SYNTAX, ids=range(len(SYNTAX)))
async def test_syntax_error_has_line_column_and_the_line_itself(pool: ProcessPool, text: str) -> None:
    error = await load_error(pool, text)

    assert error.kind == "SyntaxError"
    assert (error.line, error.column, error.source_line) == SYNTAX[text]


async def test_line_of_a_syntax_error_is_without_secrets(pool: ProcessPool) -> None:
    error = await load_error(pool, "const key = 's3cr3t-value' let let", ["s3cr3t-value"])

    assert error.source_line == "const key = '[redacted]' let let"


async def test_error_at_the_top_level_has_its_line(pool: ProcessPool) -> None:
    error = await load_error(pool, "const a = 1\n\nmissing.call()\n")

    assert (error.kind, error.line, error.column) == ("ReferenceError", 3, None)
    assert error.stack.splitlines()[0] == "ReferenceError: missing is not defined"
    assert len(error.stack.splitlines()) == 2


async def test_error_on_the_first_line_has_its_column_as_written(pool: ProcessPool) -> None:
    error = await thrown(pool, code_of("async function onRequest() { throw new Error('why') }"))

    assert error.stack.splitlines()[1] == "    at onRequest (function.js:1:36)"


async def test_error_after_waiting_has_the_lines_of_those_who_waited(pool: ProcessPool) -> None:
    code = code_of("""
        async function inner() {
          await null
          throw new Error('why')
        }
        async function onRequest() {
          await inner()
        }
        """)

    error = await thrown(pool, code)

    assert error.line == 3
    assert [line.split(":")[1] for line in error.stack.splitlines()[1:]] == ["3", "6"]


async def test_error_of_a_helper_has_the_line_that_called_it(pool: ProcessPool) -> None:
    error = await thrown(pool, code_of("async function onRequest() {\n\n  Segment.track({})\n}"))

    assert (error.kind, error.line) == ("ValidationError", 3)
    assert len(error.stack.splitlines()) == 2


async def test_error_of_a_legacy_function_has_its_line(pool: ProcessPool) -> None:
    error = await thrown(pool, code_of("exports.processEvents = async () => {\n  throw new Error('why')\n}"))

    assert (error.message, error.line) == ("why", 2)


async def test_secrets_are_not_in_the_stack(pool: ProcessPool) -> None:
    error = await thrown(pool, code_of("onRequest = () => { throw new Error('s3cr3t-value') }", ["s3cr3t-value"]))

    assert error.stack.splitlines()[0] == "Error: [redacted]"


async def test_cache_keeps_values_from_one_invocation_to_the_next(pool: ProcessPool) -> None:
    function = handlers(
        """
        const {n} = request.json()
        if (n === 2) cache.delete('a')
        Segment.identify({userId: await cache.load('a', 60_000, async () => `of ${n}`)})
        """,
        "",
    )

    outcomes = await pool.run(function.code("javascript"), [webhook({"n": n}) for n in range(4)])

    assert [events(outcome)[0]["userId"] for outcome in outcomes] == ["of 0", "of 0", "of 2", "of 2"]


async def test_legacy_function_keeps_its_state_and_nothing_of_an_invocation_that_throws(pool: ProcessPool) -> None:
    code = code_of("""
        let calls = 0
        exports.processEvents = async ({payload}) => {
          calls += 1
          Segment.set({collection: 'calls', id: calls})
          if (payload.body.bad) throw new Error('bad')
          return {}
        }
        """)

    outcomes = await pool.run(code, [webhook({}), webhook({"bad": 1}), webhook({})])

    assert [[item["id"] for item in objects(outcome)] for outcome in outcomes] == [[1], [], [3]]


async def test_half_a_character_in_a_message_spares_the_rest_of_the_batch(pool: ProcessPool) -> None:
    function = handlers("Segment.track({event: request.json().half, userId: '\\\\ud800'})", "")

    cut, whole = await pool.run(
        function.code("javascript"), [webhook(b'{"half": "a\\ud83d"}'), webhook(b'{"half": "\\ud83c\\udf89"}')]
    )

    assert (events(cut)[0]["event"], events(cut)[0]["userId"]) == ("a\ufffd", "\\ud800")
    assert events(whole)[0]["event"] == "🎉"


async def test_console_at_the_top_level_harms_nobody(pool: ProcessPool) -> None:
    [outcome] = await pool.run(code_of("console.log('loading')\nonRequest = () => console.log('running')"), [webhook()])

    assert [line.text for line in outcome.logs] == ["running"]


async def test_packages_of_the_site_folder_are_the_globals(pool: ProcessPool, tmp_path: Path) -> None:
    for name, text in {
        "lodash": "module.exports = { size: (list) => list.length }",
        "xml": "module.exports = require('./lib')",
        "form-data": "module.exports = class FormData { kind() { return 'package' } }",
    }.items():
        folder = tmp_path / "node_modules" / name
        folder.mkdir(parents=True)
        (folder / "index.js").write_text(text)
    (tmp_path / "node_modules" / "xml" / "lib.js").write_text("module.exports = () => '<a/>'")
    function = handlers("Segment.identify({userId: [_.size([1, 2]), xml({}), new FormData().kind(), typeof AWS]})", "")
    code = function.code("javascript", site=str(tmp_path / "node_modules"))

    [outcome] = await pool.run(code, [webhook()])

    assert events(outcome)[0]["userId"] == [2, "<a/>", "package", "function"]


async def test_cpu_time_is_told_where_node_can_and_leaves_waiting_out(pool: ProcessPool) -> None:
    node = await find_node(None)
    function = handlers(
        """
        if (request.json().busy) for (const start = Date.now(); Date.now() - start < 50;) {}
        else await new Promise((done) => setTimeout(done, 100))
        """,
        "",
    )

    busy, waiting = await pool.run(function.code("javascript"), [webhook({"busy": 1}), webhook({"busy": 0})])

    if node.version >= 24:
        assert busy.cpu_ms is not None
        assert waiting.cpu_ms is not None
        assert busy.cpu_ms > 0
        assert waiting.cpu_ms < waiting.duration_ms / 2
    else:
        assert busy.cpu_ms is None or node.version >= 22
