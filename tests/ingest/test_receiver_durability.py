"""202 only for what the log has, and what senders hear otherwise."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hookmill.config import IngestConfig
from hookmill.errors import ConfigError, LogError, LogFull, LogUnavailable, RecordTooLarge, TopicMissing
from hookmill.log import RecordSender
from hookmill.log.sqlite import SqliteLog
from hookmill.records import NewRecord
from hookmill.topics import TopicNames
from ingest.receiver import Receiver
from tests.ingest.receiving import (
    ADDRESS,
    TOPIC,
    FailingSender,
    HoldingSender,
    MemorySender,
    chunked_post,
    connected,
    post,
    receiving,
    registry_of,
    request,
    source,
)


async def test_nothing_is_answered_before_the_log_has_the_record() -> None:
    sender = HoldingSender()

    async with receiving(sender) as receiver, connected(receiver) as client:
        await client.send(post())
        await sender.asked.wait()
        early = asyncio.create_task(client.answer())
        done, _ = await asyncio.wait({early}, timeout=0.1)
        sender.release.set()
        answer = await early

    assert done == set()
    assert answer.status == 202


async def test_requests_that_come_together_go_to_the_log_together() -> None:
    sender = MemorySender()

    async with receiving(sender) as receiver, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(receiver)) for _ in range(20)]
        for client in clients:
            await client.send(post())
        answers = [await client.answer() for client in clients]

    assert [answer.status for answer in answers] == [202] * 20
    assert len(sender.records) == 20
    assert len(sender.batches) < 20


async def test_requests_that_come_while_the_log_is_busy_are_the_next_batch() -> None:
    sender = HoldingSender()

    async with receiving(sender) as receiver, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(receiver)) for _ in range(11)]
        await clients[0].send(post())
        await sender.asked.wait()
        for client in clients[1:]:
            await client.send(post())
        await _until(lambda: receiver.requests_in_work == 11)
        sender.release.set()
        for client in clients:
            await client.answer()

    assert [len(batch) for batch in sender.batches] == [1, 10]


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (LogFull("disk full"), "log_full"),
        (LogUnavailable("broker 10.1.2.3 away"), "outcome_unknown"),
        (TopicMissing("no such topic"), "outcome_unknown"),
    ],
)
async def test_log_that_refuses_is_503_with_retry_after_and_may_recover(error: LogError, code: str) -> None:
    sender = FailingSender(error)

    async with receiving(sender) as receiver, connected(receiver) as client:
        refused = await client.ask(post())
        sender.error = None
        after = await client.ask(post())

    assert (refused.status, refused.error, refused.headers["retry-after"]) == (503, code, "1")
    assert str(error) not in refused.json["message"]
    assert after.status == 202


async def test_log_that_does_not_answer_in_time_is_503_outcome_unknown() -> None:
    sender = HoldingSender()

    async with receiving(sender, store_timeout_s=0.5) as receiver, connected(receiver) as client:
        answer = await client.ask(post())
        sender.release.set()
        after = await client.ask(post())

    assert (answer.status, answer.error, answer.headers["retry-after"]) == (503, "outcome_unknown", "1")
    assert after.status == 202


class PickySender(HoldingSender):
    """Refuses whatever call has a value over 10 bytes in it, as both engines do."""

    async def send(self, topic: str, records: Sequence[NewRecord]) -> None:
        self.asked.set()
        await self.release.wait()
        if any(len(record.value or b"") > 10 for record in records):
            raise RecordTooLarge("too large")
        self.batches.append(list(records))


async def test_record_too_large_for_the_log_is_413_and_its_neighbours_are_stored() -> None:
    sender = PickySender()
    bodies = [b"small 1", b"x" * 11, b"small 2"]

    async with receiving(sender) as receiver, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(connected(receiver)) for _ in range(4)]
        await clients[0].send(post())
        await sender.asked.wait()
        for client, body in zip(clients[1:], bodies, strict=True):
            await client.send(post(ADDRESS, body))
        await _until(lambda: receiver.requests_in_work == 4)
        sender.release.set()
        answers = [await client.answer() for client in clients]

    assert [answer.status for answer in answers] == [202, 202, 413, 202]
    assert answers[2].error == "record_too_large"
    assert sorted(record.value or b"" for record in sender.records) == [b"small 1", b"small 2", b"{}"]


async def test_header_list_that_grows_beyond_the_record_is_413_on_the_embedded_log(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 grow threefold when replaced: 1 MB of them with a body of 2 MiB is over 3.5 MiB."""
    junk = [f"X-{number}: " + "\udcff" * 8_100 for number in range(100)]

    async with _embedded(tmp_path) as sender, receiving(sender) as receiver, connected(receiver) as client:
        answer = await client.ask(post(ADDRESS, b"x" * 2_097_152, *junk))
        after = await client.ask(post())

    assert (answer.status, answer.error) == (413, "record_too_large")
    assert after.status == 202


@pytest.mark.parametrize("sent", [post(ADDRESS, b"complete"), chunked_post(ADDRESS, b"comp", b"lete")])
async def test_webhook_of_a_sender_that_hangs_up_after_the_body_is_stored(sent: bytes) -> None:
    sender = HoldingSender()

    async with receiving(sender) as receiver:
        async with connected(receiver) as client:
            await client.send(sent)
            await sender.asked.wait()
        sender.release.set()
        await _until(lambda: bool(sender.records))

    assert [record.value for record in sender.records] == [b"complete"]


async def test_sender_that_hangs_up_within_the_body_leaves_nothing_behind(caplog: pytest.LogCaptureFixture) -> None:
    sender = MemorySender()

    async with receiving(sender, max_inflight_bytes=100) as receiver:
        async with connected(receiver) as client:
            await client.send(request("POST", ADDRESS, "Content-Length: 100") + b"half")
            await _until(lambda: receiver.requests_in_work == 1)
        await _until(lambda: receiver.requests_in_work == 0)
        async with connected(receiver) as client:
            after = await client.ask(post(ADDRESS, b"x" * 100))

    assert after.status == 202
    assert len(sender.records) == 1
    assert "Traceback" not in caplog.text


async def test_stop_answers_the_requests_in_work_and_takes_no_new_ones() -> None:
    sender = HoldingSender()
    receiver = Receiver(IngestConfig(port=0), registry_of(source()), sender, TOPIC)
    await receiver.start()

    async with connected(receiver) as client, connected(receiver) as arriving:
        await client.send(post())
        await sender.asked.wait()
        await arriving.send(request("POST", ADDRESS, "Content-Length: 4") + b"ab")
        await _until(lambda: receiver.requests_in_work == 2)
        stopping = asyncio.create_task(receiver.stop())
        await _until(lambda: _is_closed(receiver))
        await arriving.send(b"cd")
        sender.release.set()
        answers = [await client.answer(), await arriving.answer()]
        await stopping

    assert [answer.status for answer in answers] == [202, 202]
    assert [answer.headers["connection"] for answer in answers] == ["close", "close"]
    assert [record.value for record in sender.records] == [b"{}", b"abcd"]


async def test_drain_is_cut_at_its_timeout_and_says_that_the_outcome_is_unknown() -> None:
    sender = HoldingSender()
    config = IngestConfig(port=0, drain_timeout_s=0.1)
    receiver = Receiver(config, registry_of(source()), sender, TOPIC)
    await receiver.start()

    async with connected(receiver) as client:
        await client.send(post())
        await sender.asked.wait()
        await receiver.stop()
        answer = await client.answer()

    assert (answer.status, answer.error, answer.headers["connection"]) == (503, "outcome_unknown", "close")


async def test_idle_connections_do_not_hold_up_the_stop() -> None:
    receiver = Receiver(IngestConfig(port=0), registry_of(source()), MemorySender(), TOPIC)
    await receiver.start()

    async with connected(receiver) as client, connected(receiver):
        await client.ask(post())
        async with asyncio.timeout(10.0):  # a drain may take 15 s
            await receiver.stop()
        assert await client.rest() == b""


async def test_fault_in_the_sender_is_503_and_ends_the_service() -> None:
    sender = FailingSender(ZeroDivisionError())

    async with receiving(sender) as receiver, connected(receiver) as client:
        ended = asyncio.create_task(receiver.wait())
        first = await client.ask(post())
        with pytest.raises(ZeroDivisionError):
            await ended
        second = await client.ask(post())

    assert (first.status, first.error) == (503, "outcome_unknown")
    assert (second.status, second.error) == (503, "outcome_unknown")


async def test_address_in_use_is_told_with_the_options_that_change_it() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        receiver = Receiver(IngestConfig(port=port), registry_of(), MemorySender(), TOPIC)

        with pytest.raises(ConfigError, match=f"127.0.0.1:{port} .*--port or HOOKMILL_INGEST__PORT"):
            await receiver.start()


@contextlib.asynccontextmanager
async def _embedded(folder: Path) -> AsyncIterator[RecordSender]:
    log = SqliteLog(folder)
    await log.ensure_topics(TopicNames().specs())
    async with log.sender() as sender:
        yield sender


async def _until(condition: Callable[[], bool]) -> None:
    """Polls, for what nothing announces."""
    async with asyncio.timeout(40.0):
        while not condition():
            await asyncio.sleep(0.001)


def _is_closed(receiver: Receiver) -> bool:
    address = urlsplit(receiver.url)
    with socket.socket() as probe:
        return probe.connect_ex((address.hostname, address.port)) != 0
