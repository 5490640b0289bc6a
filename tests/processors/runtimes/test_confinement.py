"""The decision about levels, and what a process can still do after it applied a profile to itself."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from processors.runtimes import confinement
from processors.runtimes.confinement import Layers, Profile, syscalls

ALL = Layers(no_new_privs=True, rlimits=True, landlock_abi=1, seccomp=True)
RUNTIMES = Path(confinement.__file__).parent.parent
DEADLINE_S = 120


def confined(
    program: str, profile: Profile, layers: Layers | None = None, before: str = ""
) -> subprocess.CompletedProcess[str]:
    """Runs Python source in a process that applied the profile; `result` of the source is printed as JSON."""
    start = (
        f"{before}import sys; sys.path.insert(0, {str(RUNTIMES)!r})\n"
        "import ctypes, errno, fcntl, json, mmap, os, resource, signal, socket, threading\n"
        "from confinement import Layers, Profile, apply, available\n"
        f"apply({profile!r}, {layers or confinement.available()!r})\n"
        f"{program}\n"
        "print(json.dumps(result))"
    )
    return subprocess.run(
        [sys.executable, "-I", "-S", "-c", start],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def result_of(program: str, layers: Layers | None = None, before: str = "", **changes: object) -> object:
    """What the confined program says."""
    options = {"executes": (), "reads": (), "memory_mb": 256, "file_bytes": 4_096, "keep_fds": frozenset({0, 1, 2})}
    ended = confined(program, Profile(**(options | changes)), layers, before)  # type: ignore[arg-type]  # of the fields' types
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


@pytest.mark.parametrize(
    ("layers", "missing"),
    [
        (ALL, ()),
        (Layers(True, True, 0, True), ("Landlock (Linux 5.13 or newer)",)),
        (Layers(True, True, 7, False), ("seccomp (x86-64 or aarch64)",)),
        (Layers(False, False, 7, True), ("no_new_privs", "rlimits")),
    ],
)
def test_strict_needs_every_layer_and_says_which_is_missing(layers: Layers, missing: tuple[str, ...]) -> None:
    assert layers.missing() == missing
    assert layers.is_complete == (not missing)


def test_this_kernel_has_every_layer_and_the_look_at_it_changes_nothing() -> None:
    before = Path("/proc/self/status").read_text()

    layers = confinement.available()

    assert layers.is_complete, f"the attack suite needs a kernel with {layers.missing()}"
    for line in ("NoNewPrivs", "Seccomp", "CapEff"):
        pattern = re.compile(rf"^{line}:.*$", re.MULTILINE)
        assert pattern.findall(Path("/proc/self/status").read_text()) == pattern.findall(before)


def test_no_layers_close_descriptors_and_do_nothing_else() -> None:
    program = (
        "result = [[fd for fd in range(64) if os.path.exists(f'/proc/self/fd/{fd}')], open('/etc/passwd').read(4)]"
    )
    opened = "import os; os.dup2(1, 9); os.set_inheritable(9, True); os.dup2(1, 7)\n"

    assert result_of(program, Layers(False, False, 0, False), before=opened) == [[0, 1, 2], "root"]


def test_threads_pairs_of_sockets_and_the_event_loop_go_on_working() -> None:
    program = (
        "import asyncio\n"
        "async def main(): return await asyncio.to_thread(lambda: 5)\n"
        "loop = asyncio.new_event_loop()\n"
        "result = loop.run_until_complete(main())\n"
        "left, right = socket.socketpair(); left.send(b'x'); result += len(right.recv(1))"
    )

    assert result_of(program, reads=(str(Path(os.__file__).parent),)) == 6


def test_memory_beyond_the_limit_is_refused_however_it_is_asked_for() -> None:
    program = (
        "result = []\n"
        "def attempt(action):\n"
        "    try: action(); result.append('had it')\n"
        "    except (MemoryError, OSError) as error: result.append(type(error).__name__)\n"
        "size = 1 << 30\n"
        "attempt(lambda: bytearray(size))\n"
        "attempt(lambda: mmap.mmap(-1, size))\n"
        "attempt(lambda: mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))\n"
        "attempt(lambda: mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x100))\n"
        "attempt(lambda: resource.setrlimit(resource.RLIMIT_DATA, (-1, -1)))\n"
    )

    # setrlimit has a ValueError of its own for EPERM.
    program = program.replace("(MemoryError, OSError)", "(MemoryError, OSError, ValueError)")
    assert result_of(program) == ["MemoryError", "PermissionError", "OSError", "PermissionError", "ValueError"]


def test_a_process_may_signal_itself_and_nobody_else() -> None:
    program = (
        "signal.signal(signal.SIGUSR1, lambda *_: result.append('itself'))\n"
        "result = []\n"
        "os.kill(os.getpid(), signal.SIGUSR1)\n"
        "for pid in (os.getppid(), 1, 0, -1, -os.getpgrp()):\n"
        "    try: os.kill(pid, 0); result.append(pid)\n"
        "    except PermissionError: pass\n"
    )

    assert result_of(program) == ["itself"]


def test_what_is_newer_than_the_table_is_as_if_the_kernel_did_not_have_it() -> None:
    program = (
        "libc = ctypes.CDLL(None, use_errno=True)\n"
        f"result = [libc.syscall({syscalls.LAST_KNOWN + 1}), ctypes.get_errno() == errno.ENOSYS]"
    )

    assert result_of(program) == [-1, True]


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="x32 is of x86-64")
def test_system_calls_of_another_interface_end_the_process() -> None:
    ended = confined(
        "ctypes.CDLL(None).syscall(0x40000000 + 39); result = 1",
        Profile((), (), None, 4_096, frozenset({0, 1, 2})),
    )

    assert ended.returncode == -signal.SIGSYS


def test_a_file_that_is_not_there_is_named() -> None:
    ended = confined("result = 1", Profile((), ("/not/there",), None, 4_096, frozenset({0, 1, 2})))

    assert ended.returncode == 1
    assert "/not/there" in ended.stderr


HEADERS = {
    0: Path("/usr/include/x86_64-linux-gnu/asm/unistd_64.h"),
    1: Path("/usr/include/asm-generic/unistd.h"),
}


@pytest.mark.parametrize("column", HEADERS, ids=["x86-64", "aarch64"])
def test_the_numbers_of_system_calls_are_those_of_the_kernels_headers(column: int) -> None:
    if not HEADERS[column].is_file():
        pytest.skip(f"{HEADERS[column]} is part of the kernel's headers, which are not installed")
    text = HEADERS[column].read_text()
    known = {m[1]: int(m[2]) for m in re.finditer(r"#define\s+__NR(?:3264)?_(\w+)\s+(\d+)\s", text)}

    for name, numbers in {**syscalls.DENIED, **syscalls.ABSENT, **syscalls.CHECKED}.items():
        newest = max(known.values())
        assert known.get(name, -1) == numbers[column] or numbers[column] > newest, name
