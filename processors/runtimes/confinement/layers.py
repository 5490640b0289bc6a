"""What confinement consists of, how much of it is asked for, and how much there is."""

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """What the operator asks for."""

    OFF = "off"
    """Limits, and nothing else: functions have the powers of the stage."""
    BEST_EFFORT = "best-effort"
    """Every layer that the kernel has."""
    STRICT = "strict"
    """Every layer, or the stage does not start."""


@dataclass(frozen=True)
class Layers:
    """What a kernel offers, or what was applied."""

    no_new_privs: bool
    """Programs started gain nothing by their set-user-id bit, and all capabilities are dropped."""
    rlimits: bool
    """No core files, and limits on open files, on bytes written and on memory."""
    landlock_abi: int
    """Version of the kernel's file access rules, 0 without them. Complete from 1 on: what the versions up to 7 add
    (truncation, TCP, abstract sockets, signals) the system call filter denies as well."""
    seccomp: bool
    """The system call filter."""

    @property
    def is_complete(self) -> bool:
        """All that `Level.STRICT` needs."""
        return not self.missing()

    def missing(self) -> tuple[str, ...]:
        """Names of the layers that are not there, for people; empty if all are."""
        present = {
            "no_new_privs": self.no_new_privs,
            "rlimits": self.rlimits,
            "Landlock (Linux 5.13 or newer)": self.landlock_abi > 0,
            "seccomp (x86-64 or aarch64)": self.seccomp,
        }
        return tuple(name for name, is_present in present.items() if not is_present)
