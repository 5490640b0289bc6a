"""Landlock: files are out of reach but for those named; TCP, abstract sockets and signals too where the kernel can.

Source: the kernel's userspace-api/landlock document and include/uapi/linux/landlock.h.
"""

import errno
import os
import stat
import struct
from collections.abc import Iterable

from .kernel import call

# The numbers are the same on all architectures.
_CREATE_RULESET = 444
_ADD_RULE = 445
_RESTRICT_SELF = 446

_GET_VERSION = 1
_PATH_BENEATH = 1
_LOG_NOTHING = 1
"""From version 7 on denials go to the audit log unless told otherwise: a function could flood it."""

_EXECUTE = 1 << 0
_READ_FILE = 1 << 2
_READ_DIR = 1 << 3
_FILE_RIGHTS = {1: (1 << 13) - 1, 2: 1 << 13, 3: 1 << 14, 5: 1 << 15}
"""By the version that brought them: all of the first, then moving between folders, truncation, device control."""
_TCP_BIND_AND_CONNECT = 3
_ABSTRACT_SOCKETS_AND_SIGNALS = 3


def abi() -> int:
    """Version of the kernel's rules; 0 if it has none, or has them switched off."""
    try:
        return call(_CREATE_RULESET, None, 0, _GET_VERSION)
    except OSError as error:
        if error.errno in (errno.ENOSYS, errno.EOPNOTSUPP, errno.EPERM):  # the last from a container's own filter
            return 0
        raise


def restrict(executes: Iterable[str], reads: Iterable[str], abi: int) -> None:
    """Only these files and folders can be opened from here on, for reading; of `executes` programs can be started.

    `abi`: which version's rules to use, at most the kernel's. The process has no_new_privs.
    Errors: `OSError`, with its path if a file is not there.
    """
    file_rights = sum(rights for version, rights in _FILE_RIGHTS.items() if version <= abi)
    attributes = struct.pack(
        "=QQQ",
        file_rights,
        _TCP_BIND_AND_CONNECT if abi >= 4 else 0,
        _ABSTRACT_SOCKETS_AND_SIGNALS if abi >= 6 else 0,
    )
    ruleset = call(_CREATE_RULESET, attributes, len(attributes), 0)
    try:
        for path in executes:
            _allow(ruleset, path, _EXECUTE | _READ_FILE | _READ_DIR)
        for path in reads:
            _allow(ruleset, path, _READ_FILE | _READ_DIR)
        call(_RESTRICT_SELF, ruleset, _LOG_NOTHING if abi >= 7 else 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        if not stat.S_ISDIR(os.fstat(descriptor).st_mode):
            rights &= ~_READ_DIR
        call(_ADD_RULE, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, descriptor), 0)
    finally:
        os.close(descriptor)
