"""The system call filter: everything is allowed but what `syscalls.py` lists, some of it depending on arguments.

Source: the kernel's userspace-api/seccomp_filter document and include/uapi/linux/{seccomp,filter,audit}.h.
"""

import ctypes
import errno
import os
import struct
import sys
from dataclasses import dataclass
from typing import Final

from .kernel import prctl
from .syscalls import ABSENT, CHECKED, DENIED, LAST_KNOWN, number_of

_PR_SET_SECCOMP = 22
_MODE_FILTER = 2

_KILL_PROCESS = 0x8000_0000
_ALLOW = 0x7FFF_0000
_FAIL = 0x0005_0000
"""With the number of the error in the lower half."""

_LOAD, _AND, _JUMP, _JUMP_EQUAL, _JUMP_GREATER, _RETURN = 0x20, 0x54, 0x05, 0x15, 0x25, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_ARGUMENT_BYTES = 8
_ARCHITECTURES = {"x86_64": 0xC000_003E, "aarch64": 0xC000_00B7}
_FIRST_OF_X32 = 0x4000_0000
"""On x86-64, numbers from here on are calls of the x32 interface, with numbers of its own."""

_ALL_BITS = 0xFFFF_FFFF
_AF_UNIX = 1
_SOCK_STREAM, _SOCK_TYPE_BITS = 1, 0xF
_CLONE_THREAD = 0x1_0000
_O_TRUNC = 0o1000
_MAP_SHARED_ANONYMOUS = 0x21
_MAP_GROWSDOWN = 0x100
_F_SETOWN, _F_SETSIG, _F_SETOWN_EX, _F_NOTIFY = 8, 10, 15, 1026
_TERMINAL_QUERIES = (0x5401, 0x5413, 0x802C_542A)
"""TCGETS, TIOCGWINSZ, TCGETS2: `isatty` asks."""
_DESCRIPTOR_SWITCHES = (0x541B, 0x5421, 0x5450, 0x5451)
"""FIONREAD, FIONBIO, FIONCLEX, FIOCLEX."""
_HARMLESS_PRCTL = (2, 3, 15, 16, 21, 23, 38, 39, 0x5356_4D41)
"""GET_PDEATHSIG, GET_DUMPABLE, SET_NAME, GET_NAME, GET_SECCOMP, CAPBSET_READ, SET_ and GET_NO_NEW_PRIVS, SET_VMA."""

_INSTRUCTION = struct.Struct("=HBBI")


@dataclass(frozen=True)
class _Check:
    """The low half of an argument, masked, is one of the values, or none of them.

    The high half says nothing: all arguments checked are ints of the kernel, or words of flags without one so high.
    """

    argument: int
    values: tuple[int, ...]
    mask: int = _ALL_BITS
    is_allowed: bool = True
    """Whether the values are what may be, or what may not."""


def install(may_execute: bool) -> None:
    """The filter holds for this process and all it will start. It has no_new_privs, and one thread.

    `may_execute`: execve works; what it may start is for Landlock to say. Signals reach this process alone, by the
    number it has now, which an exec keeps. Errors: `OSError`; ENOSYS on an architecture without a table.
    """
    program = b"".join(_INSTRUCTION.pack(*instruction) for instruction in _assemble(may_execute))
    buffer = ctypes.create_string_buffer(program, len(program))
    # struct sock_fprog: a short, padding, and the address of the instructions.
    header = ctypes.create_string_buffer(
        struct.pack("@HP", len(program) // _INSTRUCTION.size, ctypes.addressof(buffer))
    )
    prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(header))


Instruction = tuple[int, int, int, int]
"""Code, instructions to skip if true, if false, and the operand."""


def _assemble(may_execute: bool) -> list[Instruction]:
    machine = os.uname().machine
    # A 32-bit process on a 64-bit kernel makes calls of another architecture.
    if machine not in _ARCHITECTURES or sys.maxsize < 1 << 32:
        raise OSError(errno.ENOSYS, f"no system call numbers for {machine}")
    program = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_JUMP_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_JUMP_GREATER, 0, 1, _FIRST_OF_X32 - 1),
        (_RETURN, 0, 0, _KILL_PROCESS),
        (_JUMP_GREATER, 0, 1, LAST_KNOWN),
        (_RETURN, 0, 0, _FAIL | errno.ENOSYS),
    ]
    for name in CHECKED:
        program += _when(name, _checked(_checks(name, may_execute)))
    for name in ABSENT:
        program += _when(name, [(_RETURN, 0, 0, _FAIL | errno.ENOSYS)])
    for name in DENIED:
        program += _when(name, [(_RETURN, 0, 0, _FAIL | errno.EPERM)])
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _checks(name: str, may_execute: bool) -> list[_Check]:
    """What the arguments of an allowed call are like: all of the checks hold."""
    own = os.getpid()
    match name:
        case "clone":  # threads, no processes
            return [_Check(0, (_CLONE_THREAD,), mask=_CLONE_THREAD)]
        case "execve":
            return [] if may_execute else [_NEVER]
        case "kill" | "tgkill":
            return [_Check(0, (own,))]
        case "prlimit64":
            return [_Check(0, (0, own))]
        case "open":
            return [_Check(1, (0,), mask=_O_TRUNC)]
        case "openat":  # Landlock before version 3 lets a file opened for reading be truncated
            return [_Check(2, (0,), mask=_O_TRUNC)]
        case "mmap":  # neither is counted by RLIMIT_DATA
            shared = _Check(3, (_MAP_SHARED_ANONYMOUS,), mask=_MAP_SHARED_ANONYMOUS, is_allowed=False)
            return [shared, _Check(3, (0,), mask=_MAP_GROWSDOWN)]
        case "fcntl":  # signals to the owner of a descriptor: any process, any signal
            return [_Check(1, (_F_SETOWN, _F_SETSIG, _F_SETOWN_EX, _F_NOTIFY), is_allowed=False)]
        case "ioctl":
            return [_Check(1, (*_TERMINAL_QUERIES, *_DESCRIPTOR_SWITCHES))]
        case "prctl":  # not SET_PDEATHSIG: the runner ends with the pool
            return [_Check(0, _HARMLESS_PRCTL)]
        case "socketpair":  # a datagram socket, connected or not, sends to any address it is told
            return [_Check(0, (_AF_UNIX,)), _Check(1, (_SOCK_STREAM,), mask=_SOCK_TYPE_BITS)]
        case _:
            raise AssertionError(f"no checks for {name}")


_NEVER: Final = _Check(0, ())


def _when(name: str, then: list[Instruction]) -> list[Instruction]:
    """`then`, which returns, if it is this call; nothing if the architecture has none of the name."""
    number = number_of(name)
    return [] if number < 0 else [(_JUMP_EQUAL, 0, len(then), number), *then]


def _checked(checks: list[_Check]) -> list[Instruction]:
    instructions: list[Instruction] = []
    for check in checks:
        instructions += [
            (_LOAD, 0, 0, _ARGUMENTS_AT + _ARGUMENT_BYTES * check.argument),
            (_AND, 0, 0, check.mask),
        ]
        # A value found skips the others and the instruction after them.
        count = len(check.values)
        instructions += [(_JUMP_EQUAL, count - at, 0, value) for at, value in enumerate(check.values)]
        if not check.is_allowed:
            instructions.append((_JUMP, 0, 0, 1))
        instructions.append((_RETURN, 0, 0, _FAIL | errno.EPERM))
    return [*instructions, (_RETURN, 0, 0, _ALLOW)]
