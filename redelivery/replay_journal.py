"""The journal of a replay: a file that always says how far the replay has come, whatever ends the process."""

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Final

import msgspec

from hookmill.errors import ConfigError
from redelivery.replay_plan import ReplayPlan

_ID: Final = re.compile(r"[0-9a-z-]{1,64}")


class State(StrEnum):
    """Where a replay stands."""

    UNFINISHED = "unfinished"
    """Under way, or interrupted."""
    DONE = "done"
    CANCELLED = "cancelled"


class Progress(msgspec.Struct, frozen=True):
    """`matched` webhooks were found at the start; `sent` counts those that are durable on the topic for replays."""

    plan: ReplayPlan
    matched: int
    sent: int
    positions: Mapping[int, int]
    """By partition of `webhooks`, the offset to go on at."""
    state: State = State.UNFINISHED


class Journals:
    """The journals of one installation, in a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def all(self) -> Sequence[Progress]:
        """The oldest first. Files that nobody can read are left out."""
        found = []
        for path in self._folder.glob("*.json"):
            with contextlib.suppress(msgspec.DecodeError, OSError):
                found.append(self._with_cancel(msgspec.json.decode(path.read_bytes(), type=Progress)))
        return sorted(found, key=lambda progress: progress.plan.created_at_ms)

    def read(self, replay_id: str) -> Progress:
        """Errors: `ConfigError` when there is none of this id."""
        try:
            return self._with_cancel(msgspec.json.decode(self._path(replay_id).read_bytes(), type=Progress))
        except FileNotFoundError:
            raise ConfigError(f"There is no replay {replay_id}: see `hookmill replay list`.") from None
        except msgspec.DecodeError as error:
            raise ConfigError(f"The journal {self._path(replay_id)} cannot be read: {error}.") from None

    def save(self, progress: Progress) -> None:
        """On disk, in one piece: a crash leaves the old one or the new one."""
        self._folder.mkdir(parents=True, exist_ok=True)
        path = self._path(progress.plan.id)
        new = path.with_suffix(".new")
        with new.open("wb") as file:
            file.write(msgspec.json.encode(progress))
            file.flush()
            os.fsync(file.fileno())
        new.replace(path)
        self._sync_folder()

    def cancel(self, replay_id: str) -> Progress:
        """The replay is cancelled: a process that is at it stops, and it cannot be resumed. Errors: `ConfigError`."""
        progress = self.read(replay_id)
        if progress.state is State.UNFINISHED:
            # A file of its own: the process that is at it writes the journal.
            self._path(replay_id).with_suffix(".cancelled").touch()
            self._sync_folder()
        return progress

    def is_cancelled(self, replay_id: str) -> bool:
        """Somebody called `cancel`."""
        return self._path(replay_id).with_suffix(".cancelled").exists()

    @contextlib.contextmanager
    def alone(self, replay_id: str) -> Iterator[None]:
        """No other process is at the replay. Errors: `ConfigError` when one is."""
        self._folder.mkdir(parents=True, exist_ok=True)
        lock = self._path(replay_id).with_suffix(".lock")
        with lock.open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise ConfigError(f"Another process is at replay {replay_id}.") from None
            yield

    def _with_cancel(self, progress: Progress) -> Progress:
        if progress.state is State.UNFINISHED and self.is_cancelled(progress.plan.id):
            return msgspec.structs.replace(progress, state=State.CANCELLED)
        return progress

    def _path(self, replay_id: str) -> Path:
        if not _ID.fullmatch(replay_id):
            raise ConfigError(f'"{replay_id[:100]}" is no id of a replay: see `hookmill replay list`.')
        return self._folder / f"{replay_id}.json"

    def _sync_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
