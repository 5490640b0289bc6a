"""A stand-in for a database file that is not there yet: for a check, or until it is whole."""

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sinks.contract import SinkUnavailable


@contextlib.contextmanager
def file_or_stand_in(file: Path) -> Iterator[Path]:
    """The file if it is there, else the path of one in a new folder beside it, which is gone in the end.

    Whoever made the file itself could not take it back: another process may have begun to use it. Errors:
    `SinkUnavailable` for a folder in which nothing can be made.
    """
    folder = None
    try:
        if not file.exists():
            folder = tempfile.TemporaryDirectory(dir=file.parent, prefix=".hookmill-", ignore_cleanup_errors=True)
    except OSError as error:
        raise SinkUnavailable(
            f"{file}: it cannot be opened: its folder must exist, have room, and let it be made ({error.strerror})."
        ) from error
    if folder is None:
        yield file
    else:
        with folder as name:
            yield Path(name, file.name)
