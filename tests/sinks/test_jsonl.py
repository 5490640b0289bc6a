"""The JSON-lines stream."""

import asyncio
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from hookmill.errors import ConfigError
from sinks.contract import Event, SinkUnavailable
from sinks.streams.jsonl import JsonLines, StreamClosed
from tests.sinks.messages import event, write

FIRST = event("m1", event="A", properties={"text": "ü\n"})
SECOND = write("d1", 1, {"a": 1})


async def test_every_message_is_a_line_as_on_the_log(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    async with JsonLines(file) as sink:
        await sink.write([FIRST, SECOND])

    assert file.read_bytes() == FIRST.raw + b"\n" + SECOND.raw + b"\n"


async def test_white_space_in_a_message_does_not_break_its_line(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    async with JsonLines(file) as sink:
        await sink.write([Event("s", "m", {}, b'{\n"a":1}')])

    assert file.read_bytes() == b'{ "a":1}\n'


async def test_a_file_is_appended_to(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    for _ in range(2):
        async with JsonLines(file) as sink:
            await sink.write([SECOND])

    assert file.read_bytes() == (SECOND.raw + b"\n") * 2


@pytest.mark.parametrize("torn", [b'{"half', b"x" * 10_000])
async def test_a_torn_line_of_a_crash_is_cut(tmp_path: Path, torn: bytes) -> None:
    file = tmp_path / "out.jsonl"
    file.write_bytes(b'{"whole":1}\n' + torn)

    async with JsonLines(file) as sink:
        await sink.write([SECOND])

    assert file.read_bytes() == b'{"whole":1}\n' + SECOND.raw + b"\n"


async def test_two_sinks_cannot_write_one_file(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    async with JsonLines(file):
        with pytest.raises(ConfigError, match="another sink"):
            await JsonLines(file).__aenter__()


async def test_a_full_device_is_unavailable() -> None:
    async with JsonLines(Path("/dev/full")) as sink:
        with pytest.raises(SinkUnavailable, match="No space left on device"):
            await sink.write([SECOND])


async def test_a_folder_that_is_missing_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(SinkUnavailable, match="No such file or directory"):
        await JsonLines(tmp_path / "gone" / "out.jsonl").__aenter__()


async def test_standard_output_gets_the_lines(capfd: pytest.CaptureFixture[str]) -> None:
    async with JsonLines(None) as sink:
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
        async with JsonLines(None) as sink:
            with pytest.raises(StreamClosed):
                await sink.write([SECOND])


async def test_a_reader_that_pauses_gets_whole_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sinks.streams.jsonl._READER_TIMEOUT_S", 0.05)
    batch = [write(str(number), 1, {"text": "x" * 1_500}) for number in range(100)]
    reader, writer = os.pipe()

    with standard_output(writer):
        async with JsonLines(None) as sink:
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
