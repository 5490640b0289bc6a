"""The JSON-lines stream."""

import asyncio
import os
from pathlib import Path

import pytest

from hookmill.errors import ConfigError
from sinks.contract import Event, SinkUnavailable
from sinks.streams.jsonl import JsonLines
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


async def test_a_named_pipe_is_written_as_standard_output_is(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    async with JsonLines(pipe, rotate_bytes=1) as sink:
        for _ in range(2):
            await sink.write([SECOND])
        received = await asyncio.to_thread(_read_now, pipe, len(SECOND.raw) * 2 + 2)

    assert received == (SECOND.raw + b"\n") * 2


def _read_now(pipe: Path, size: int) -> bytes:
    with pipe.open("rb", buffering=0) as reader:
        return reader.read(size)


async def test_a_file_that_has_grown_enough_is_put_aside_whole(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    batches = [[write(f"d{n}-{m}", n, {}) for m in range(3)] for n in range(4)]
    size = sum(len(message.raw) + 1 for message in batches[0])
    async with JsonLines(file, rotate_bytes=2 * size) as sink:
        for batch in batches[:3]:
            await sink.write(batch)
    async with JsonLines(file, rotate_bytes=2 * size) as sink:
        await sink.write(batches[3])
        await sink.write([SECOND])

    aside = sorted(tmp_path.glob("out.*Z.jsonl"))
    lines = [[message.raw for message in batch] for batch in batches]
    assert [path.read_bytes().splitlines() for path in aside] == [lines[0] + lines[1], lines[2] + lines[3]]
    assert file.read_bytes() == SECOND.raw + b"\n"
    assert sorted(tmp_path.iterdir()) == sorted([*aside, file])


async def test_files_of_one_instant_are_all_kept(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    async with JsonLines(file, rotate_bytes=1) as sink:
        for n in range(4):
            await sink.write([write(f"d{n}", n, {})])
            os.utime(file, (1_764_000_000, 1_764_000_000))

    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "out.20251124T160000000000Z-1.jsonl",
        "out.20251124T160000000000Z-2.jsonl",
        "out.20251124T160000000000Z.jsonl",
        "out.jsonl",
    ]


async def test_a_file_that_is_put_aside_is_still_nobody_elses(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    async with JsonLines(file, rotate_bytes=1) as sink:
        for _ in range(2):
            await sink.write([SECOND])
        with pytest.raises(ConfigError, match="another sink"):
            await JsonLines(file).__aenter__()


async def test_what_cannot_be_put_aside_goes_on_when_it_can(tmp_path: Path) -> None:
    file = tmp_path / "out.jsonl"
    async with JsonLines(file, rotate_bytes=1) as sink:
        await sink.write([FIRST])
        file.rename(tmp_path / "moved.jsonl")
        file.mkdir()
        with pytest.raises(SinkUnavailable, match="File exists"):
            await sink.write([SECOND])
        file.rmdir()
        await sink.write([SECOND])

    assert file.read_bytes() == SECOND.raw + b"\n"
    assert (tmp_path / "moved.jsonl").read_bytes() == FIRST.raw + b"\n"
