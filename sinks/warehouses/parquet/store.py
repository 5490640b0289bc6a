"""Where the files are: what the Parquet warehouse needs of a folder or bucket."""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple, Protocol


class Listed(NamedTuple):
    """A file that is there. The key is its path below the root, with slashes."""

    key: str
    size_bytes: int


class Fetched(NamedTuple):
    """A copy to read, and the version that was copied."""

    file: Path
    version: str


class Store(Protocol):
    """Files by key. Errors of every method: `SinkUnavailable`. A file is whole or not there, and durable on return."""

    def open(self) -> None:
        """The root can be used."""
        ...

    def what_is_missing(self) -> Sequence[str]:
        """Rights that are missing, a sentence each, of a store that is not opened. What was tried has left nothing."""
        ...

    def scratch(self) -> AbstractContextManager[Path]:
        """A local folder for files on their way, gone in the end."""
        ...

    def exclusive(self) -> AbstractContextManager[bool]:
        """Whether this is the only merge now; always, where `replace` has no need of that."""
        ...

    def list(self, prefix: str) -> list[Listed]:
        """The files below a folder; `prefix` ends with a slash or is empty."""
        ...

    def read(self, key: str) -> bytes | None:
        """The content; `None` when there is no such file."""
        ...

    def fetch(self, key: str, scratch: Path) -> Fetched | None:
        """A local file with the content, in `scratch` or where it is; `None` when there is no such file."""
        ...

    def put(self, key: str, content: bytes) -> None:
        """The file has the content."""
        ...

    def replace(self, key: str, file: Path, version: str | None) -> bool:
        """The file of `key` is the one in scratch, if it had that version before, `None` being no file."""
        ...

    def delete(self, keys: Iterable[str]) -> None:
        """The files are gone; those that are not there do no harm."""
        ...
