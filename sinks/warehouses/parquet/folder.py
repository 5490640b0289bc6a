"""A local folder as store: files come under another name and are renamed, one process at a time merges."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Final

from sinks.contract import SinkUnavailable
from sinks.warehouses.parquet import inbox
from sinks.warehouses.parquet.parts import table_of
from sinks.warehouses.parquet.store import Fetched, Listed

_SCRATCH: Final = "_scratch"
_LOCK: Final = "_lock"
_LOCK_WAIT_S: Final = 10.0
"""For another merge to end. After that the inbox is left to it, and to the next merge."""
_LOCK_POLL_S: Final = 0.02
_ON_ITS_WAY_S: Final = 3_600.0
"""A file of the scratch that is older was left by a process that is gone."""


class Folder:
    """A `Store` on a file system that has locks."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def __str__(self) -> str:
        return str(self._root)

    def open(self) -> None:
        """See `Store`."""
        with self._named_failures():
            self._scratch()
            (self._root / _LOCK).touch()

    def what_is_missing(self) -> Sequence[str]:
        """See `Store`. A file is written in a new folder; of what is there already, permissions are looked at."""
        with self._named_failures():
            self._require_root()
            with tempfile.TemporaryDirectory(dir=self._root, prefix="_check-", ignore_cleanup_errors=True) as name:
                file = Path(name, "file")
                file.write_bytes(b"1")
                _sync(file)
            return [
                f"A right is missing: let user {os.geteuid()} read and write {path} (chown, chmod)."
                for path in self._ours()
                if not _is_open(path)
            ]

    @contextlib.contextmanager
    def scratch(self) -> Iterator[Path]:
        """See `Store`. Within the root: what is renamed must be on the same file system."""
        with self._named_failures():
            folder = tempfile.TemporaryDirectory(dir=self._scratch(), ignore_cleanup_errors=True)
        with folder as name:
            yield Path(name)

    @contextlib.contextmanager
    def exclusive(self) -> Iterator[bool]:
        """See `Store`."""
        with self._named_failures():
            descriptor = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        try:
            is_alone = _is_locked(descriptor)
            if is_alone:
                self._clear_scratch()
            yield is_alone
        finally:
            os.close(descriptor)

    def list(self, prefix: str) -> list[Listed]:
        """See `Store`."""
        found = []
        with self._named_failures():
            for folder, _, names in os.walk(self._root / prefix):
                for name in names:
                    file = Path(folder, name)
                    with contextlib.suppress(FileNotFoundError):
                        found.append(Listed(file.relative_to(self._root).as_posix(), file.stat().st_size))
        return sorted(found)

    def read(self, key: str) -> bytes | None:
        """See `Store`."""
        with self._named_failures(), contextlib.suppress(FileNotFoundError):
            return (self._root / key).read_bytes()
        return None

    def fetch(self, key: str, scratch: Path) -> Fetched | None:
        """See `Store`. The file itself: who reads it has the lock."""
        file = self._root / key
        with self._named_failures():
            return Fetched(file, "") if file.is_file() else None

    def put(self, key: str, content: bytes) -> None:
        """See `Store`."""
        with self._named_failures():
            file, scratch = self._root / key, self._scratch()
            file.parent.mkdir(parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(dir=scratch)
            try:
                with os.fdopen(descriptor, "wb") as target:
                    target.write(content)
                self._move(Path(name), file)
            except BaseException:
                Path(name).unlink(missing_ok=True)
                raise

    def replace(self, key: str, file: Path, version: str | None) -> bool:
        """See `Store`. The lock has seen to the version."""
        with self._named_failures():
            target = self._root / key
            target.parent.mkdir(parents=True, exist_ok=True)
            self._move(file, target)
        return True

    def delete(self, keys: Iterable[str]) -> None:
        """See `Store`."""
        with self._named_failures():
            for key in keys:
                (self._root / key).unlink(missing_ok=True)

    def _scratch(self) -> Path:
        """The folder for files on their way, made anew if somebody emptied the root; the root itself never is."""
        self._require_root()
        folder = self._root / _SCRATCH
        folder.mkdir(exist_ok=True)
        return folder

    def _clear_scratch(self) -> None:
        """What killed processes left. Folders are of merges, and only who has the lock merges; a file is on its way for
        seconds."""
        with self._named_failures():
            for left in self._scratch().iterdir():
                with contextlib.suppress(FileNotFoundError):  # it has arrived meanwhile
                    _clear(left)

    def _require_root(self) -> None:
        if not self._root.is_dir():
            raise SinkUnavailable(f"Parquet warehouse {self._root}: the folder does not exist.")

    def _ours(self) -> Sequence[Path]:
        """What a batch and a merge change, as far as it is there."""
        tables = (PurePosixPath(key) for key, _ in self.list("") if table_of(key) is not None)
        folders = {self._root / folder for table in tables for folder in table.parents}
        own = (self._root / name for name in (inbox.FOLDER, _SCRATCH, _LOCK))
        return [*filter(Path.exists, own), *sorted(folders)]

    def _move(self, file: Path, target: Path) -> None:
        """The target is there after a power cut too: content, name, and the folders down to it."""
        file.chmod(0o644)
        _sync(file)
        file.rename(target)
        for folder in target.relative_to(self._root).parents:
            _sync(self._root / folder)

    @contextlib.contextmanager
    def _named_failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise SinkUnavailable(
                f"Parquet warehouse {self._root}: the folder cannot be read or written: {error.strerror}."
            ) from error


def _clear(left: Path) -> None:
    if left.is_dir():
        shutil.rmtree(left, ignore_errors=True)
    elif time.time() - left.stat().st_mtime > _ON_ITS_WAY_S:
        left.unlink()


def _is_open(path: Path) -> bool:
    """Whether this process may change the file, or what is in the folder."""
    mode = os.R_OK | os.W_OK | (os.X_OK if path.is_dir() else 0)
    return os.access(path, mode, effective_ids=True)


def _is_locked(descriptor: int) -> bool:
    """Whether the lock was to be had in time."""
    deadline = time.monotonic() + _LOCK_WAIT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            if time.monotonic() >= deadline:
                return False
            time.sleep(_LOCK_POLL_S)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
