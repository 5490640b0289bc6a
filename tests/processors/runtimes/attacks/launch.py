"""Runs the hostile functions in processes of its own that applied what they are told to, and tells what got through.

A program of its own, with the standard library only, because it gives up root where it is told to. Standard input: JSON
`{"uid": of the attackers or null, "node": path, "node_files": for the profile, "layers": {name: fields}}`.
Standard output: JSON `{"attacks": {language: [names]}, "let_through": {name of the layers: {language: [names]}}}`.
"""

import ctypes
import json
import os
import select
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic
from typing import Any, Final

HERE: Final = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parents[3] / "processors" / "runtimes")]

from confinement import Layers, Profile, apply  # type: ignore[import-not-found]  # noqa: E402
from world import ALONE, LEFT_OPEN, WITNESSED, names_in_javascript, world  # type: ignore[import-not-found]  # noqa: E402

FILES_CHANGED: Final = "leave files changed"
"""Counts as an attack of its own: whatever did it."""
DEADLINE_S: Final = 120.0
NOTHING: Final = Layers(no_new_privs=False, rlimits=False, landlock_abi=0, seccomp=False)
_MEMORY_MB = 256
_FILE_BYTES = 1 << 20
_LEDGER = 4
_LEFT_OPEN = 9
_PR_SET_DUMPABLE = 4
_JAVASCRIPT_MAIN = """
(async () => {
  const [targets, names] = JSON.parse(process.argv[1]);
  for (const name of names) fs.writeSync(1, `${name}\\t${JSON.stringify(await attack(name, targets))}\\n`);
  process.exit(0);
})();
"""

Loot = dict[str, str]


def main() -> None:
    """See the module."""
    order = json.load(sys.stdin)
    # Read, and its modules imported, while it can be: whoever becomes another may not reach them.
    hostile: dict[str, Any] = {}
    exec(compile((HERE / "function.py").read_text(), "function.py", "exec"), hostile)
    javascript = (HERE / "function.js").read_text()
    if order["uid"] is not None:
        _become(order["uid"])

    def attack_in_python(names: Sequence[str], targets: dict[str, Any], layers: Layers) -> Loot:
        def body() -> None:
            for name in names:
                os.write(1, f"{name}\t{json.dumps(hostile['run'](name, targets))}\n".encode())

        return _confined(body, _profile(targets, ()), layers)

    def attack_in_javascript(names: Sequence[str], targets: dict[str, Any], layers: Layers) -> Loot:
        # In a function: at the top level its names would hide Node's from the way out of the vm context.
        code = f"(() => {{ {javascript}\n{_JAVASCRIPT_MAIN} }})()"
        command = [order["node"], "-e", code, json.dumps([targets, names])]
        profile = _profile(targets, tuple(order["node_files"]))
        return _confined(lambda: os.execve(command[0], command, {"OPENSSL_CONF": ""}), profile, layers)

    attackers = {"python": attack_in_python, "javascript": attack_in_javascript}
    attacks = {"python": list(hostile["ATTACKS"]), "javascript": names_in_javascript(javascript)}
    let_through = {
        title: {
            language: _successes(attacker, attacks[language], Layers(**fields))
            for language, attacker in attackers.items()
        }
        for title, fields in order["layers"].items()
    }
    print(json.dumps({"attacks": attacks, "let_through": let_through}))


def _successes(attacker: Callable[..., Loot], names: Sequence[str], layers: Layers) -> list[str]:
    successes = set()
    together = [name for name in names if name not in ALONE]
    for group in (together, *([name] for name in names if name in ALONE)):
        with world() as (files, victim, targets):
            loot = attacker(group, targets, layers)
            witnessed = victim.witnessed()
            # An attack without a line ended the process without becoming another.
            assert loot.keys() >= set(group) - set(ALONE), f"{set(group) - loot.keys()} did not run"
            successes |= {name for name in loot if loot[name] and (name not in WITNESSED or name in witnessed)}
            if files.have_changed():
                successes.add(FILES_CHANGED)
    return sorted(successes)


def _profile(targets: dict[str, Any], executes: tuple[str, ...]) -> Profile:
    memory_mb = None if executes else _MEMORY_MB  # of Node.js the pool looks after
    return Profile(executes, (targets["readable"],), memory_mb, _FILE_BYTES, frozenset({0, 1, 2, _LEDGER}))


def _confined(body: Callable[[], None], profile: Profile, layers: Layers) -> Loot:
    """What a child said that applied the profile and then did the body."""
    reading, writing = os.pipe()
    ledger = os.memfd_create("ledger")
    with tempfile.TemporaryFile() as left_open:
        left_open.write(LEFT_OPEN)
        left_open.flush()
        pid = os.fork()
        if not pid:
            try:
                os.setpgid(0, 0)  # as a runner has it
                os.dup2(writing, 1)
                os.dup2(ledger, _LEDGER)
                os.dup2(left_open.fileno(), _LEFT_OPEN)
                if layers != NOTHING:
                    apply(profile, layers)
                body()
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)
    os.close(writing)
    os.close(ledger)
    try:
        return _read(reading)
    finally:
        os.close(reading)
        os.kill(pid, signal.SIGKILL)  # not its group: it may have left that
        os.waitpid(pid, 0)


def _read(reading: int) -> Loot:
    """Name and loot, a line each, until the end of the pipe."""
    content = b""
    deadline = monotonic() + DEADLINE_S
    while True:
        if not select.select((reading,), (), (), max(deadline - monotonic(), 0))[0]:
            raise TimeoutError(f"the attacks took over {DEADLINE_S:g} s: {content!r}")
        part = os.read(reading, 65_536)
        if not part:
            break
        content += part
    loot = {}
    for line in content.decode().splitlines():
        name, _, value = line.partition("\t")
        loot[name] = value.strip('"')
    return loot


def _become(uid: int) -> None:
    os.setgroups([])
    os.setgid(uid)
    os.setuid(uid)
    # As a process has it that was started by this user.
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


if __name__ == "__main__":
    main()
