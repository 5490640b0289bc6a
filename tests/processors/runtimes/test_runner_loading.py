"""Code that does not load says why, at the right line."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from processors.runtimes.pool import ProcessPool
from tests.processors.runtimes.languages import LANGUAGES, Twins, statuses, webhook

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.parametrize("language", LANGUAGES)]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[ProcessPool]:
    async with ProcessPool(node=None, max_runners=3, idle_s=60) as pool:
        yield pool


@pytest.fixture
def load_ms() -> int:
    """Which endless loops take to the end."""
    return 2_000


FAILURES = {
    "syntax error": (
        Twins("const a = 1\n\nlet let = 2\n", "a = 1\n\ndef on_request(request settings):\n    pass\n"),
        ("SyntaxError", "SyntaxError"),
        3,
    ),
    "syntax error in the first line": (Twins("let let = 1", "def def"), ("SyntaxError", "SyntaxError"), 1),
    "brace too many": (
        Twins("function onRequest() {}\n}\n", "def on_request():\n    pass\n)\n"),
        ("SyntaxError", "SyntaxError"),
        None,
    ),
    "end too early": (Twins("function onRequest() {\n", "def on_request(\n"), ("SyntaxError", "SyntaxError"), 1),
    "throws at the top level": (
        Twins("//\n\nundefinedName.x()\nfunction onRequest() {}", "#\n\nundefined_name.x()\ndef on_request(): pass"),
        ("ReferenceError", "NameError"),
        3,
    ),
    "no handler": (Twins("function other() {}", "def other(): pass"), ("NoHandler", "NoHandler"), None),
    "empty file": (Twins("", ""), ("NoHandler", "NoHandler"), None),
    "handler is not a function": (Twins("onRequest = 12", "on_request = 12"), ("NoHandler", "NoHandler"), None),
    "endless loop at the top level": (Twins("while (true) {}", "while True: pass"), ("Timeout", "Timeout"), None),
    "message at the top level": (
        Twins("\nSegment.track({event: 'A', userId: '1'})", "\nsegment.track(event='A', user_id='1')"),
        ("Error", "RuntimeError"),
        None,
    ),
    "end of the process at the top level": (
        Twins("const p = Buffer.constructor('return process')(); p.kill(p.pid, 'SIGKILL')", "import os; os._exit(3)"),
        ("RunnerCrashed", "RunnerCrashed"),
        None,
    ),
}


@pytest.mark.parametrize("failure", FAILURES)
async def test_check_says_why_code_does_not_load(pool: ProcessPool, language: str, failure: str) -> None:
    function, kinds, line = FAILURES[failure]

    error = await pool.check(function.code(language))

    assert error is not None
    assert error.kind == kinds[LANGUAGES.index(language)]
    assert error.message
    if line is not None:
        assert error.line == line


async def test_missing_handler_is_named(pool: ProcessPool, language: str) -> None:
    error = await pool.check(Twins("let a", "a = 1").code(language))

    assert error is not None
    assert (
        error.message
        == {
            "javascript": "function.js defines no onRequest.",
            "python": "function.py defines no on_request.",
        }[language]
    )


async def test_invocations_of_code_that_does_not_load_are_rejected(pool: ProcessPool, language: str) -> None:
    outcomes = await pool.run(Twins("let let", "def").code(language), [webhook(), webhook()])

    assert statuses(outcomes) == ["rejected", "rejected"]
    assert outcomes[0].error is not None
    assert outcomes[0].error.kind == "SyntaxError"


@pytest.mark.parametrize(
    ("failure", "status"),
    [("endless loop at the top level", "timeout"), ("end of the process at the top level", "crash")],
)
async def test_invocations_of_code_that_a_busy_machine_may_have_kept_from_loading_are_not_final(
    pool: ProcessPool, language: str, failure: str, status: str
) -> None:
    outcomes = await pool.run(FAILURES[failure][0].code(language), [webhook(), webhook()])

    assert statuses(outcomes) == [status, status]


async def test_code_that_loads_has_no_error(pool: ProcessPool, language: str) -> None:
    function = Twins("onRequest = async () => {}", "async def on_request(request, settings): pass")

    assert await pool.check(function.code(language)) is None
