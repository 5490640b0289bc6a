"""What attacks are after: files, and a process with a memory, an environment and sockets. Standard library only."""

import base64
import contextlib
import ctypes
import json
import os
import re
import select
import shutil
import signal
import socket
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

SECRET: Final = b"a secret of ours"
LEFT_OPEN: Final = b"what the parent left open"
ANSWER_DEADLINE_S: Final = 40.0
WITNESSED: Final = {
    "connect by TCP",
    "send by UDP",
    "connect to a unix socket",
    "connect to an abstract unix socket",
    "send to a unix socket from a socket pair",
    "signal the parent as owner of a descriptor",
}
"""Attacks that count when the victim has noticed them: the attacker cannot tell."""
ALONE: Final = (
    "trace the parent",
    "make namespaces of its own",
    "become another program",
    "become a program made in memory",
)
"""These stop the victim, take powers away or end their process where they succeed: nothing else is tried after them."""

_READY = b"!"
_SIGNAL = signal.SIGRTMIN + 3
_PAGE = 4_096
_ABSTRACT_NAME = 107


class Files:
    """Files in a folder of their own, which belong to whoever makes them."""

    def __init__(self, folder: Path) -> None:
        self.project, self.data, self.scratch, self.readable = (
            folder / name for name in ("project", "data", "scratch", "readable")
        )
        for made in (self.project, self.data, self.scratch, self.readable):
            made.mkdir()
        (self.data / "settings.db").write_bytes(SECRET)
        (self.readable / "module").write_text("content")
        names = ["source.toml", "truncated"]
        names += [f"{fate}-by-{language}" for fate in ("deleted", "renamed") for language in ("python", "javascript")]
        for name in names:
            (self.project / name).write_text("content")
        shutil.copyfile(_any_library(), self.project / "library.so")
        self._folder = folder
        self._before = self._look()

    def have_changed(self) -> bool:
        """A file is not as it was made."""
        return self._look() != self._before

    def _look(self) -> list[tuple[str, int, int, int, bytes, list[str]]]:
        seen = []
        for path in sorted(self._folder.rglob("*")):
            status = path.lstat()
            content = path.read_bytes() if path.is_file() else b""
            kept = (status.st_mode, status.st_nlink, int(status.st_mtime), content, os.listxattr(path))
            seen.append((str(path), *kept))
        return seen


class Victim:
    """A process of the same user with a secret in memory, and listeners that note who came."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._seen: list[str] = []
        self._secret = ctypes.create_string_buffer(SECRET, 64)
        self._opened = tempfile.TemporaryFile()  # noqa: SIM115  # open as long as the process
        self._opened.write(SECRET)
        self._opened.flush()
        self._listeners = self._listen()
        self._control, theirs = socket.socketpair()
        self._control.settimeout(ANSWER_DEADLINE_S)
        self.pid = os.fork()
        if not self.pid:
            self._control.close()
            self._serve(theirs)
            os._exit(0)
        theirs.close()
        # An attack that comes before the victim can note signals would end it.
        assert self._control.recv(1) == _READY

    def targets(self) -> dict[str, Any]:
        """For the settings of the hostile function."""
        tcp, udp, unix, datagrams, abstract = self._listeners
        return {
            "victim": self.pid,
            "secret": SECRET.decode(),
            "left_open": LEFT_OPEN.decode(),
            "address": ctypes.addressof(self._secret),
            "descriptor": self._opened.fileno(),
            "signal": _SIGNAL,
            "tcp": tcp.getsockname()[1],
            "udp": udp.getsockname()[1],
            "unix": unix.getsockname(),
            "datagrams": datagrams.getsockname(),
            "abstract": abstract.getsockname()[1:].decode(),
        }

    def witnessed(self) -> set[str]:
        """The attacks it has noticed so far."""
        self._control.send(b"?")
        return set(json.loads(self._control.recv(65_536)))

    def close(self) -> None:
        """Gone."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        self._opened.close()
        for opened in (*self._listeners, self._control):
            opened.close()

    def _listen(self) -> tuple[socket.socket, ...]:
        tcp = socket.create_server(("127.0.0.1", 0))
        udp = socket.socket(type=socket.SOCK_DGRAM)
        udp.bind(("127.0.0.1", 0))
        unix, datagrams, abstract = (
            socket.socket(socket.AF_UNIX, kind) for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_STREAM)
        )
        unix.bind(str(self._folder / "unix"))
        datagrams.bind(str(self._folder / "datagrams"))
        # Of the greatest length: Node.js fills shorter names up with zeros, which count.
        abstract.bind("\0" + os.urandom(54).hex()[:_ABSTRACT_NAME])
        unix.listen()
        abstract.listen()
        return tcp, udp, unix, datagrams, abstract

    def _serve(self, control: socket.socket) -> None:
        signal.signal(_SIGNAL, lambda *_: self._seen.append("signal the parent as owner of a descriptor"))
        for listener in self._listeners:
            listener.setblocking(False)
        control.send(_READY)
        while control.recv(1):
            while ready := select.select(self._listeners, (), (), 0)[0]:
                for listener in ready:
                    self._note(listener)
            control.send(json.dumps(self._seen).encode())

    def _note(self, listener: socket.socket) -> None:
        if listener.type == socket.SOCK_DGRAM:
            self._seen.append(listener.recv(100).decode())
            return
        connection, _ = listener.accept()
        with connection, contextlib.suppress(BlockingIOError, ConnectionError):
            connection.setblocking(False)
            self._seen.append(connection.recv(100).decode())


@contextlib.contextmanager
def world() -> Iterator[tuple[Files, Victim, dict[str, Any]]]:
    """Files, a victim, and all of it as settings for the hostile functions."""
    with tempfile.TemporaryDirectory(prefix="hookmill-attacks-") as name:
        folder = Path(name).resolve()
        (folder / "files").mkdir()
        files = Files(folder / "files")
        victim = Victim(folder)
        try:
            yield (
                files,
                victim,
                {
                    **victim.targets(),
                    "project": str(files.project),
                    "data": str(files.data),
                    "scratch": str(files.scratch),
                    "readable": str(files.readable),
                    "program": base64.b64encode(tiny_program()).decode(),
                    "beyond": 1 << 30,
                },
            )
        finally:
            victim.close()


def names_in_python(text: str) -> list[str]:
    """The attacks of function.py."""
    return re.findall(r'^@attack\("(.+)"\)$', text, re.MULTILINE)


def names_in_javascript(text: str) -> list[str]:
    """The attacks of function.js: a key of `ATTACKS` is two spaces in, and its value a function."""
    keys = re.findall(r"^  (?:'([^']+)'|\"([^\"]+)\"|(\w+)): (?:async )?\(", text, re.MULTILINE)
    return ["".join(key) for key in keys]


def tiny_program() -> bytes:
    """A program without a library, which says on standard output that it runs."""
    says = b"become a program made in memory\tbecame\n"
    if os.uname().machine == "aarch64":
        machine = 183
        code = struct.pack(
            "<8I",
            0xD2800808,  # mov x8, 64  (write)
            0xD2800020,  # mov x0, 1
            0x100000C1,  # adr x1, 24 bytes on
            0xD2800002 | len(says) << 5,  # mov x2, length
            0xD4000001,  # svc 0
            0xD2800BA8,  # mov x8, 93  (exit)
            0xD2800000,  # mov x0, 0
            0xD4000001,  # svc 0
        )
    else:
        machine = 62
        code = bytes.fromhex("b801000000 bf01000000 488d3510000000 ba") + struct.pack("<I", len(says))
        code += bytes.fromhex("0f05 b83c000000 31ff 0f05")
    size = 64 + 56 + len(code) + len(says)
    start = 0x400000
    header = struct.pack(
        "<4s5B7xHHIQQQIHHHHHH",
        b"\x7fELF", 2, 1, 1, 0, 0, 2, machine, 1, start + 120, 64, 0, 0, 64, 56, 1, 0, 0, 0,
    )  # fmt: skip
    segment = struct.pack("<IIQQQQQQ", 1, 5, 0, start, start, size, size, _PAGE)
    return header + segment + code + says


def _any_library() -> str:
    with open("/proc/self/maps") as maps:  # noqa: PTH123  # a line per mapping
        return next(line.split()[-1] for line in maps if "/libm" in line or "/libc" in line)
