"""Every row of the table holds, in each language it is about, in a process of its own."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from hookmill.codec import FunctionError
from processors.runtimes.pool import ProcessPool
from tests.processors.runtimes import languages
from tests.processors.runtimes.conformance import cache, console, errors, globals, helpers, legacy, loading, requests
from tests.processors.runtimes.conformance.case import Case

SUBJECTS = (loading, requests, globals, helpers, errors, legacy, cache, console)
CASES: list[Case] = [case for subject in SUBJECTS for case in subject.CASES]


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def pool() -> AsyncIterator[ProcessPool]:
    async with ProcessPool(node=None, max_runners=3, idle_s=60) as pool:
        yield pool


def rows_in(language: str) -> list[object]:
    rows = [case for case in CASES if getattr(case, language)]
    return [pytest.param(case, id=f"{case.rule} {case.title}") for case in rows]


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", rows_in("javascript"))
async def test_javascript_conforms(pool: ProcessPool, case: Case) -> None:
    await assert_holds(pool, case, "javascript")


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("case", rows_in("python"))
async def test_python_conforms(pool: ProcessPool, case: Case) -> None:
    await assert_holds(pool, case, "python")


def test_no_row_is_there_twice() -> None:
    names = [(case.rule, case.title) for case in CASES]

    assert len(names) == len(set(names))


async def assert_holds(pool: ProcessPool, case: Case, language: str) -> None:
    code = case.code.code(language, settings=dict(case.settings), secrets=list(case.secrets))

    [outcome] = await pool.run(code, [case.request])

    assert_error(outcome.error, case.error)
    assert outcome.status is case.status
    assert languages.events(outcome) == list(case.events)
    assert languages.objects(outcome) == list(case.objects)
    assert [(line.level, line.text) for line in outcome.logs] == list(case.logs)


def assert_error(error: FunctionError | None, expected: tuple[str, str] | None) -> None:
    if error is None or expected is None:
        assert error == expected
        return
    kind, message = expected
    observed = error.message[: len(message) - 1] + "…" if message.endswith("…") else error.message
    assert (error.kind, observed) == (kind, message)
