"""What `hookmill dlq` says to wrong inputs, and what becomes of dead letters that another version wrote."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from hookmill import headers
from hookmill.lifecycle import running
from hookmill.registry import publish
from hookmill.topics import Topic
from processors.runtimes.contract import Code, Invocation, Outcome, Status
from processors.service import FunctionStage
from tests.contracts.reading import read_all
from tests.processes import clean_environment, run_hookmill
from tests.processors.parts import SHOP, SHOP_CODE, ScriptedPool
from tests.redelivery.installation import Installation, install
from tests.redelivery.test_dlq import letter

WRONG_INPUTS = (
    (["list", "--since", "soonish"], '"soonish" is no time'),
    (["group", "--until", "2026-13-41"], '"2026-13-41" is no time'),
    (["list", "--since", "2026-11-24", "--until", "2026-11-23"], "The range is empty"),
    (["show", "first"], '"first" is no id of a dead letter'),
    (["show", "1-2-3"], '"1-2-3" is no id of a dead letter'),
    (["show", "9-9"], "There is no dead letter 9-9"),
    (["redrive", "--yes"], "Say which dead letters"),
    (["redrive", "0-77", "--yes"], "No dead letter 0-77 is waiting"),
    (["drop", "9" * 40 + "-1", "--yes"], "is no id of a dead letter"),
    (["redrive", "--all", "--edit"], "--edit takes the id of one dead letter"),
)
ALL_IN_ONE_PROCESS = """
import json, sys
from console.cli import app
from hookmill.errors import ConfigError
for arguments in json.loads(sys.argv[1]):
    try:
        app(["dlq", *arguments], exit_on_error=False, print_error=False)
    except ConfigError as error:
        print(json.dumps(str(error)))
    else:
        print(json.dumps("nothing is wrong"))
"""


@pytest.fixture
def embedded(tmp_path: Path) -> Installation:
    """A dead letter on the embedded log."""
    installation = asyncio.run(install(tmp_path / "data", None))
    asyncio.run(installation.send(Topic.DEAD_LETTERS, letter(1)))
    return installation


def test_wrong_inputs_are_told_and_nothing_is_done(embedded: Installation) -> None:
    arguments = json.dumps([arguments for arguments, _ in WRONG_INPUTS])

    told = subprocess.check_output(
        [sys.executable, "-c", ALL_IN_ONE_PROCESS, arguments], env=clean_environment(embedded.environment), timeout=120
    )

    errors = [json.loads(line) for line in told.splitlines()]
    assert len(errors) == len(WRONG_INPUTS)
    for error, (_, said) in zip(errors, WRONG_INPUTS, strict=True):
        assert said in error
    assert len(asyncio.run(embedded.records(Topic.DEAD_LETTERS))) == 1
    assert asyncio.run(embedded.records(Topic.WEBHOOKS_REDELIVERY)) == []


async def test_a_dead_letter_of_another_format_is_redriven_whole_and_refused_by_name(tmp_path: Path) -> None:
    """It may be of an older version or of a newer one, after a step back: nobody guesses what it means."""
    installation = await install(tmp_path / "data", None)
    old = letter(1, format="0", http='{"a":"shape of its own"}')
    await publish(installation.log, installation.names.full(Topic.REGISTRY), [SHOP_CODE, SHOP])
    await installation.send(Topic.DEAD_LETTERS, old)

    code, output = await asyncio.to_thread(
        run_hookmill, "dlq", "redrive", "--all", "--yes", env=installation.environment
    )
    async with running([FunctionStage(installation.config, lambda _: ScriptedPool(never_run))]):
        letters = await read_all(installation.log, installation.names.full(Topic.DEAD_LETTERS), 3)

    [again] = [found for found in letters if headers.header(found.headers, headers.REDRIVE_OF)]
    assert code == 0, output
    assert (again.value, again.key) == (old.value, old.key)
    assert headers.header(again.headers, headers.FORMAT) == b"0"
    assert headers.header(again.headers, "x-unknown") == b"carried through"
    assert headers.text_header(again.headers, headers.ERROR) == "Header format is b'0'; this version reads format 1."


def never_run(code: Code, invocation: Invocation) -> Outcome:
    return Outcome(Status.CRASH, 0.0)
