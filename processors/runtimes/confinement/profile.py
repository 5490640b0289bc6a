"""A profile: what one runner may still do, and the way into it."""

import contextlib
import os
import resource
from dataclasses import dataclass
from pathlib import Path

from . import landlock, privileges, seccomp
from .layers import Layers

OPEN_FILES = 64
"""Node.js needs about 25, a Python runner 8."""
_MEGABYTE = 1_048_576


@dataclass(frozen=True)
class Profile:
    """What one runner may still do."""

    executes: tuple[str, ...]
    """Programs, their libraries and loader, or folders of such. Empty: execve is refused, whatever the file."""
    reads: tuple[str, ...]
    """Files and folders with all in them that may be opened for reading. Nothing may be opened for writing."""
    memory_mb: int | None
    """Of data, mapped or not yet touched; `None`: not limited here."""
    file_bytes: int
    """To which a file may grow, the ledger in particular."""
    keep_fds: frozenset[int]
    """Stay open, through an exec as well. All other descriptors are closed."""


def apply(profile: Profile, layers: Layers) -> None:
    """This process has the profile, as far as `layers` go, and so has all that it starts. There is no way back.

    To be called with one thread, before there is user code, and after what the profile refuses from here on: a session
    of its own (setsid), a signal at the end of the parent (prctl), limits that are higher, signals to others.
    `layers.landlock_abi` may be lower than the kernel's: the rules are then those of that version.
    Errors: `OSError`; the profile is then in force in part, and the process is to end.
    """
    _close_others(profile.keep_fds)
    if layers.rlimits:
        _limit(profile)
    if layers.no_new_privs:
        privileges.give_up()
    if layers.landlock_abi:
        landlock.restrict(profile.executes, profile.reads, layers.landlock_abi)
    if layers.seccomp:
        seccomp.install(may_execute=bool(profile.executes))


def _close_others(kept: frozenset[int]) -> None:
    for descriptor in [int(entry.name) for entry in Path("/proc/self/fd").iterdir()]:
        if descriptor not in kept:
            with contextlib.suppress(OSError):  # the one that the listing itself had open
                os.close(descriptor)
    for descriptor in kept:
        os.set_inheritable(descriptor, True)


def _limit(profile: Profile) -> None:
    limits = {
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_NOFILE: OPEN_FILES,
        resource.RLIMIT_FSIZE: profile.file_bytes,
    }
    if profile.memory_mb is not None:
        limits[resource.RLIMIT_DATA] = profile.memory_mb * _MEGABYTE
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (value, value))
