"""Small file systems for tests, and filling them."""

import contextlib
import os
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from sinks.contract import Message, Sink, SinkUnavailable


@contextlib.contextmanager
def small_file_system(folder: Path, size_mib: int = 16) -> Iterator[Path]:
    """A mounted ext4 file system in a file. Needs root; skips on a laptop without, fails in CI."""
    image, mount = folder / "disk.img", folder / "disk"
    mount.mkdir()
    with image.open("wb") as file:
        file.truncate(size_mib * 1_048_576)
    options = ["-q", "-m", "0", "-O", "^has_journal"]
    try:
        subprocess.run(["mkfs.ext4", *options, str(image)], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", str(image), str(mount)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        if "CI" in os.environ:
            raise
        pytest.skip(f"a loop file system cannot be mounted here, run as root: {error}")
    try:
        yield mount
    finally:
        subprocess.run(["umount", "-l", str(mount)], check=True)


def fill(path: Path) -> None:
    """The file takes all that is left of its file system."""
    with path.open("ab", buffering=0) as file:
        for size in (65_536, 1_024, 1):
            with contextlib.suppress(OSError):
                while True:
                    file.write(bytes(size))


async def written_after_full_disk(sink: Sink, batch: Sequence[Message], disk: Path, match: str) -> None:
    """The sink takes the batch, which it refused time and again, with words that match, while the disk was full."""
    fill(disk / "filler")
    for _ in range(2):
        with pytest.raises(SinkUnavailable, match=match):
            await sink.write(batch)
    (disk / "filler").unlink()
    await sink.write(batch)
