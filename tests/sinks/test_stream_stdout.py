"""The stream to standard output."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from sinks.contract import SinkUnavailable
from sinks.streams.stdout import StandardOutput, StreamClosed
from tests.sinks.messages import write

SECOND = write("d1", 1, {"a": 1})


async def test_standard_output_gets_the_lines(capfd: pytest.CaptureFixture[str]) -> None:
    async with StandardOutput() as sink:
        await sink.write([SECOND])

    assert capfd.readouterr().out.encode() == SECOND.raw + b"\n"


@contextmanager
def standard_output(descriptor: int) -> Iterator[None]:
    """`descriptor` is the standard output of this process."""
    kept = os.dup(1)
    os.dup2(descriptor, 1)
    os.close(descriptor)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


async def test_a_reader_that_is_gone_ends_the_stream() -> None:
    reader, writer = os.pipe()
    os.close(reader)

    with standard_output(writer):
        async with StandardOutput() as sink:
            with pytest.raises(StreamClosed):
                await sink.write([SECOND])


async def test_a_reader_that_pauses_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    batch = [write(str(number), 1, {"text": "x" * 1_500}) for number in range(100)]
    reader, writer = os.pipe()

    with standard_output(writer):
        async with StandardOutput() as sink:
            with monkeypatch.context() as patch:
                patch.setattr("sinks.streams.stdout._READER_TIMEOUT_S", 0.05)
                with pytest.raises(SinkUnavailable, match="Nobody has read"):
                    await sink.write(batch)
            received = asyncio.create_task(asyncio.to_thread(_read_all, reader))
            await sink.write(batch)

    lines = (await received).splitlines()
    os.close(reader)
    known = [message.raw for message in batch]
    begun = len(lines) - len(known)
    assert lines == known[:begun] + known
    assert begun > 0


def _read_all(descriptor: int) -> bytes:
    parts = []
    while part := os.read(descriptor, 65_536):
        parts.append(part)
    return b"".join(parts)
