"""Privileges: given up for good, which matters most where the operator works as root."""

import struct

from .kernel import call, prctl
from .syscalls import number_of

_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION_3 = 0x20080522
_THIS_THREAD = 0
_NO_CAPABILITIES = bytes(24)
"""Effective, permitted and inheritable, each a word for the first 32 and a word for the rest."""


def give_up() -> None:
    """Neither this process nor a program it starts has capabilities, whatever the program's file says.

    Without them root is an owner of files and no more: it raises no limits, reads no memory of processes that kept
    theirs, passes over no permissions. An exec by root would bring them back; no_new_privs keeps it from that.
    Errors: `OSError`.
    """
    prctl(_PR_SET_NO_NEW_PRIVS, 1)
    header = struct.pack("=Ii", _CAPABILITY_VERSION_3, _THIS_THREAD)
    call(number_of("capset"), header, _NO_CAPABILITIES)
