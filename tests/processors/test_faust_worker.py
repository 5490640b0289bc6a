"""`faust -A processors.app worker`: the function stage by itself."""

import asyncio
import contextlib
import json
import signal
import sys
import time
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from hookmill.registry import Function, Source, function_version
from hookmill.topics import Topic
from tests.processes import ROOT, clean_environment
from tests.processors.embedded import DEADLINE_S, EmbeddedLog
from tests.processors.parts import SHOP, SHOP_CODE

FAUST = Path(sys.executable).with_name("faust")

CODE = """
async def on_request(request, settings):
    deal = request.json()
    segment.track(user_id=deal["who"], event="Deal Won", properties={"currency": settings["currency"]})
    segment.set(collection="deals", id=deal["id"], properties={"won": True})
"""
PYTHON = Function("python", function_version("function.py", CODE), "python", "function.py", CODE)
PYTHON_SOURCE = Source("python", "Python", (), PYTHON.version, {"currency": "EUR"})


@contextlib.asynccontextmanager
async def worker_of(app: str, embedded: EmbeddedLog, tmp_path: Path) -> AsyncIterator[Process]:
    """A worker in an empty working folder; killed at the end if it still runs."""
    here = tmp_path / "here"
    here.mkdir()
    environment = {"HOOKMILL_DATA_DIR": str(embedded.data_dir), "PYTHONPATH": str(ROOT)}
    with (tmp_path / "worker.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *(FAUST, "-A", app, "worker", "-l", "warn", "--without-web"),
            env=clean_environment(environment),
            cwd=here,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
    assert list(here.iterdir()) == [], "the worker left files in its working folder"


@pytest.fixture
def embedded(tmp_path: Path) -> EmbeddedLog:
    return EmbeddedLog(tmp_path / "data")


async def test_it_runs_the_function_and_ends_cleanly_on_sigterm(embedded: EmbeddedLog, tmp_path: Path) -> None:
    await embedded.prepare(PYTHON, PYTHON_SOURCE)
    await embedded.receive("python", [b'{"who": "u1", "id": 7}'])

    async with worker_of("processors.app", embedded, tmp_path) as process:
        [event] = await embedded.read(Topic.EVENTS, 1)
        [write] = await embedded.read(Topic.OBJECTS, 1)
        [report] = await embedded.read(Topic.INVOCATIONS, 1)
        asked = time.monotonic()
        process.send_signal(signal.SIGTERM)
        code = await asyncio.wait_for(process.wait(), DEADLINE_S)
        took_s = time.monotonic() - asked

    assert code == 0
    assert took_s < 15.0  # a drain may take 20 s
    message = json.loads(event.value or b"")
    assert (message["userId"], message["event"], message["properties"]) == ("u1", "Deal Won", {"currency": "EUR"})
    assert (json.loads(write.value or b"")["collection"], json.loads(write.value or b"")["id"]) == ("deals", "7")
    assert json.loads(report.value or b"")["next"] == "delivered"
    assert await embedded.uncommitted() == 0


async def test_an_unexpected_error_ends_it_and_the_record_comes_again(embedded: EmbeddedLog, tmp_path: Path) -> None:
    await embedded.prepare(SHOP_CODE, SHOP)
    await embedded.receive("shop", [b"1"])

    async with worker_of("tests.processors.crashing_app", embedded, tmp_path) as process:
        code = await asyncio.wait_for(process.wait(), DEADLINE_S)

    assert code == 1
    assert "a bug of ours" in (tmp_path / "worker.log").read_text()
    assert await embedded.uncommitted() == 1
