"""Hosts that a source allows, from the registry to the report of an invocation."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hookmill.codec import Fetches, InvocationReport, decode_report
from hookmill.registry import Function, Source
from hookmill.topics import Topic
from processors.service import FunctionStage
from tests.processors.embedded import EmbeddedLog

CODE = """
async def on_request(request, settings):
    answer = await segment.http.post(settings['api'], body='ask')
    segment.track(event=answer.text(), user_id='1')
"""


@pytest.fixture
async def api() -> AsyncIterator[str]:
    """Address of a host that answers `Seen`."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="Seen")

    app = web.Application()
    app.router.add_post("/", answer)
    async with TestServer(app, host="127.0.0.1") as server:
        yield f"http://127.0.0.1:{server.port}"


async def report_of_a_webhook(folder: Path, api: str, *, allow_private: bool) -> InvocationReport:
    embedded = EmbeddedLog(folder)
    processors = embedded.config.processors.model_copy(update={"allow_private_network": allow_private})
    function = Function("caller", "v1", "python", "function.py", CODE)
    source = Source("caller", "Caller", (), "v1", {"api": api}, timeout_ms=10_000, network=(api,))
    await embedded.prepare(function, source)
    await embedded.receive("caller", [b"{}"])
    stage = FunctionStage(embedded.config.model_copy(update={"processors": processors}))
    await stage.start()
    try:
        [report] = await embedded.read(Topic.INVOCATIONS, 1)
    finally:
        await stage.stop()
    assert report.value is not None
    return decode_report(report.value)


async def test_call_of_an_allowed_host_is_counted_in_the_report(tmp_path: Path, api: str) -> None:
    report = await report_of_a_webhook(tmp_path, api, allow_private=True)

    assert (report.status, report.events, report.error) == ("ok", 1, None)
    assert report.fetches == Fetches(count=1, bytes=len("ask") + len("Seen"))


async def test_private_address_needs_the_leave_of_the_operator(tmp_path: Path, api: str) -> None:
    report = await report_of_a_webhook(tmp_path, api, allow_private=False)

    assert report.status == "error"
    assert report.error is not None
    assert report.error.message == "127.0.0.1 is not allowed: its address is not one of the public Internet."
