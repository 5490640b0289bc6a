"""A program: becomes another user, then the program given. Standard library only.

Arguments: the user's id, folders that the program needs, separated by colons, the program and its arguments.
Where those lie under a folder that only root may enter, the program gets a view of the files that shows them.
Exit code `NOT_POSSIBLE` if the machine does not let root make one.
"""

import ctypes
import os
import stat
import sys
from pathlib import Path
from typing import Final

NOT_POSSIBLE: Final = 77
_CLONE_NEWNS = 0x0002_0000
_MS_BIND, _MS_REC, _MS_PRIVATE = 0x1000, 0x4000, 0x4_0000
_libc = ctypes.CDLL(None, use_errno=True)


def main() -> None:
    """See the module."""
    uid, folders, *command = sys.argv[1:]
    try:
        _show([Path(folder) for folder in folders.split(":")])
    except OSError as error:
        print(error, file=sys.stderr)
        sys.exit(NOT_POSSIBLE)
    os.setgroups([])
    os.setgid(int(uid))
    os.setuid(int(uid))
    os.chdir("/")
    os.execv(command[0], command)


def _show(folders: list[Path]) -> None:
    """The folders are where they were, and can be entered by all."""
    closed = {folder: outermost for folder in folders if (outermost := _outermost_closed(folder)) is not None}
    if not closed:
        return
    _check(_libc.unshare(_CLONE_NEWNS))
    _check(_libc.mount(b"none", b"/", None, _MS_REC | _MS_PRIVATE, None))
    # After unshare: a folder of the view before cannot be shown in this one.
    opened = {folder: os.open(folder, os.O_PATH) for folder in closed}
    for outermost in set(closed.values()):
        _check(_libc.mount(b"none", bytes(outermost), b"tmpfs", 0, b"mode=755"))
    for folder, descriptor in opened.items():
        folder.mkdir(parents=True)
        _check(_libc.mount(b"/proc/self/fd/%d" % descriptor, bytes(folder), None, _MS_BIND | _MS_REC, None))


def _outermost_closed(folder: Path) -> Path | None:
    return next((parent for parent in reversed(folder.parents) if not parent.stat().st_mode & stat.S_IXOTH), None)


def _check(result: int) -> None:
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


if __name__ == "__main__":
    main()
