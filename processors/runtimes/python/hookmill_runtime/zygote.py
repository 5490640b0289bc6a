"""The zygote: one warm process per pool, from which every runner is forked.

It has imported what a Python runner needs, has one thread, and never sees user code. A fork of it is ready within
milliseconds. Node.js is started the same way: one parent ends every runner with itself, and tells how each ended.
A packet of the control socket is one JSON document, with the descriptors of a runner beside it.
"""

import contextlib
import fcntl
import gc
import os
import resource
import selectors
import signal
import socket
import sys
import traceback
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from . import codec, confine, harness

if TYPE_CHECKING:
    from processors.runtimes import confinement
    from processors.runtimes.confinement import node
else:
    import confinement
    from confinement import node

CHANNEL: Final = 3
LEDGER: Final = 4
"""Descriptors of every runner, after the three standard ones."""
_STDERR: Final = 2
_FIRST_OTHER: Final = 5
_DATA_OF_PYTHON: Final = ("/etc/ld.so.cache", "/usr/share/zoneinfo")
_MAX_ORDER_BYTES: Final = 65_536
_FAILED: Final = 70
"""EX_SOFTWARE of sysexits.h: the runner did not come to its program."""


@dataclass(frozen=True)
class Birth:
    """What a fork is to become."""

    zygote: int
    launch: dict[str, Any]
    """As `processors.runtimes.commands.Launch` has it."""


def main() -> None:
    """Serves one pool until it is gone.

    Arguments: the search path of runners, the folder of `confinement`, that of orjson, the layers that runners apply,
    the descriptor of the control socket.
    """
    confine.die_with_parent(os.getppid())
    _, _, confinement_folder, orjson_folder, layers, control = sys.argv
    sys.argv[:] = [""]
    sys.path.remove(confinement_folder)
    codec.use_orjson(orjson_folder)
    _allow_many_descriptors()
    reads_of_python = _reads_of_python()
    gc.collect()
    gc.freeze()
    birth = Zygote(socket.socket(fileno=int(control))).serve()
    if birth is not None:
        _live(birth, confinement.Layers(**codec.loads(layers)), reads_of_python)


class Zygote:
    """Takes orders from the pool: `{"fork": number, "launch"}` with three descriptors, `{"kill": pid}`.

    Tells `{"ready": true}` once, `{"forked": number, "pid"}` and `{"ended": pid, "code"}`, as `subprocess` has codes.
    """

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ)
        self._children: dict[int, int] = {}  # pidfds by pid

    def serve(self) -> Birth | None:
        """Returns in every fork with what it is to be, and here, with `None`, when the pool is gone."""
        self._tell({"ready": True})
        while True:
            for key, _ in self._selector.select():
                if key.fileobj is not self._control:
                    self._bury(key.data)
                    continue
                content, descriptors = self._receive()
                if not content:
                    return None
                birth = self._obey(codec.loads(content), descriptors)
                if birth is not None:
                    return birth

    def _receive(self) -> tuple[bytes, list[int]]:
        """The next order and its descriptors; no bytes when the pool is gone."""
        try:
            content, descriptors, _, _ = socket.recv_fds(self._control, _MAX_ORDER_BYTES, 3)
        except ConnectionResetError:  # it left something unread
            return b"", []
        return content, descriptors

    def _obey(self, order: dict[str, Any], descriptors: list[int]) -> Birth | None:
        if "kill" in order:
            if order["kill"] in self._children:
                _kill(order["kill"])
            return None
        zygote = os.getpid()
        pid = os.fork()
        if pid == 0:
            self._forget_everything()
            _take_places(descriptors)
            return Birth(zygote, order["launch"])
        for descriptor in descriptors:
            os.close(descriptor)
        self._children[pid] = os.pidfd_open(pid)
        self._selector.register(self._children[pid], selectors.EVENT_READ, pid)
        self._tell({"forked": order["fork"], "pid": pid})
        return None

    def _bury(self, pid: int) -> None:
        pidfd = self._children.pop(pid)
        self._selector.unregister(pidfd)
        os.close(pidfd)
        _kill(pid)  # whatever it started, while the number of the group is still its own
        _, status = os.waitpid(pid, 0)
        self._tell({"ended": pid, "code": os.waitstatus_to_exitcode(status)})

    def _tell(self, news: dict[str, Any]) -> None:
        with contextlib.suppress(ConnectionError):  # the pool is gone: what is received next says so
            self._control.send(codec.dumps(news))

    def _forget_everything(self) -> None:
        """In a fork: what is the zygote's is closed by its owners, or they would close the runner's later."""
        self._selector.close()
        self._control.close()
        for pidfd in self._children.values():
            os.close(pidfd)
        self._children.clear()


def _live(birth: Birth, layers: "confinement.Layers", reads_of_python: list[str]) -> None:
    """The life of a runner; never returns."""
    try:
        os.setpgid(0, 0)
        confine.die_with_parent(birth.zygote)
        argv = birth.launch["argv"]
        confinement.apply(_profile(birth.launch, () if argv else reads_of_python), layers)
        if argv:
            os.execve(argv[0], argv, {**os.environ, **node.ENVIRONMENT})  # noqa: S606  # our own command
        harness.serve(CHANNEL, LEDGER)
    except BaseException:
        traceback.print_exc(file=sys.__stderr__)
    finally:
        os._exit(_FAILED)


def _profile(launch: dict[str, Any], reads: Iterable[str]) -> "confinement.Profile":
    return confinement.Profile(
        executes=tuple(launch["executes"]),
        reads=(*launch["reads"], *reads),
        memory_mb=launch["memory_mb"],
        file_bytes=launch["file_bytes"],
        keep_fds=frozenset({0, 1, _STDERR, CHANNEL, LEDGER}),
    )


def _reads_of_python() -> list[str]:
    """The library, and beside the system's libraries that are loaded already those that its other modules need."""
    loaded = Path("/proc/self/maps").read_text().splitlines()
    libraries = {str(Path(line[line.index("/") :]).parent) for line in loaded if ".so" in line}
    return [path for path in {*sys.path, *libraries, *_DATA_OF_PYTHON} if Path(path).exists()]


def _take_places(descriptors: list[int]) -> None:
    """Channel, ledger and standard error are where a runner looks for them."""
    # Out of the way first: one may lie on the place of another.
    channel, ledger, stderr = (fcntl.fcntl(descriptor, fcntl.F_DUPFD, 2 * _FIRST_OTHER) for descriptor in descriptors)
    os.dup2(channel, CHANNEL)
    os.dup2(ledger, LEDGER)
    os.dup2(stderr, _STDERR)


def _kill(pid: int) -> None:
    """The runner, and what it started if that stayed in its group."""
    for end in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            end(pid, signal.SIGKILL)


def _allow_many_descriptors() -> None:
    """One pidfd per runner may be more than the soft limit that programs using select(2) need."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
