"""Processes of the command `hookmill` for tests: started, watched until ready, killed, read."""

import contextlib
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import pytest

from console.ports import LISTENABLE, first_free
from hookmill.errors import ConfigError

T = TypeVar("T")

ROOT = Path(__file__).parent.parent
QUICKSTART = ROOT / "examples" / "quickstart"
HOOKMILL = Path(sys.executable).with_name("hookmill")

READY_DEADLINE_S = 120.0
STOP_DEADLINE_S = 60.0


def free_port() -> int:
    """A port that was free a moment ago, which no other test run beside this one will choose."""
    return first_free(_PORTS)


def _ports_of_this_worker() -> Iterator[int]:
    """Its share of the ports, from a place of its own in each run of the tests."""
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    share = LISTENABLE[worker % 8 :: 8]
    start = random.randrange(len(share))
    return itertools.cycle([*share[start:], *share[:start]])


_PORTS = _ports_of_this_worker()


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This environment without Hookmill's own variables."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("HOOKMILL_")}
    return {**kept, **(extra or {})}


def run_hookmill(
    *arguments: str,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    deadline_s: float = READY_DEADLINE_S,
) -> tuple[int, str]:
    """A command that ends by itself: exit code, and what it wrote to both streams."""
    done = subprocess.run(
        [HOOKMILL, *arguments],
        env=clean_environment(env),
        cwd=cwd,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=deadline_s,
        check=False,
    )
    return done.returncode, done.stdout.decode()


class Process:
    """A long-running `hookmill` command, or another `program` that takes its options. `admin` is the base URL of its
    probes."""

    def __init__(
        self,
        arguments: Sequence[str],
        output: Path,
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = (str(HOOKMILL),),
    ) -> None:
        self._program = program
        self.arguments = arguments
        self._env = clean_environment(env)
        self.stdout_file = output.with_suffix(".out")
        self.stderr_file = output.with_suffix(".err")
        self.admin = ""
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def stdout(self) -> str:
        return self.stdout_file.read_text(errors="replace")

    @property
    def stderr(self) -> str:
        return self.stderr_file.read_text(errors="replace")

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """`None` while it runs."""
        assert self._process is not None
        return self._process.poll()

    def start(self) -> None:
        """Running and ready: /readyz answers 200."""
        self.launch_stage()
        self.until_ready()

    def launch_stage(self) -> None:
        """Running, with an admin port, perhaps not ready yet."""
        port = free_port()
        self.admin = f"http://127.0.0.1:{port}"
        self.launch("--admin-port", str(port))

    def until_ready(self) -> None:
        """Ready; one that ends instead, or takes too long, is gone, and the test fails."""
        deadline = time.monotonic() + READY_DEADLINE_S
        while not self._is_ready():
            if self.exit_code is not None or time.monotonic() > deadline:
                code = self.exit_code
                self.kill()
                raise AssertionError(f"{self.arguments} is not ready (exit {code}):\n{self.stderr[-4000:]}")
            time.sleep(0.05)

    def launch(self, *options: str) -> None:
        """Running, whatever the command does."""
        command = [*self._program, *self.arguments, *options]
        with self.stdout_file.open("ab") as out, self.stderr_file.open("ab") as err:
            self._process = subprocess.Popen(
                command, env=self._env, stdin=subprocess.DEVNULL, stdout=out, stderr=err, start_new_session=True
            )

    def send(self, number: signal.Signals) -> None:
        """The signal is delivered."""
        assert self._process is not None
        self._process.send_signal(number)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Asked to stop: exit code and seconds it took."""
        assert self._process is not None
        began = time.monotonic()
        self.send(number)
        try:
            code = self._process.wait(STOP_DEADLINE_S)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"{self.arguments} did not stop:\n{self.stderr[-4000:]}") from None
        return code, time.monotonic() - began

    def wait(self, deadline_s: float) -> int:
        """Ended by itself: exit code."""
        assert self._process is not None
        return self._process.wait(deadline_s)

    def kill(self) -> None:
        """Gone at once, without a chance to tidy up."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.wait(60)

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.admin}/readyz", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


@contextlib.contextmanager
def started(*processes: Process) -> Iterator[None]:
    """All are ready; at the end those still running are killed."""
    try:
        for process in processes:
            process.launch_stage()
        for process in processes:
            process.until_ready()
        yield
    finally:
        for process in processes:
            process.kill()


def or_skip(make: Callable[[], T]) -> T:
    """What `make` returns. Where its parts cannot be had the test is skipped with what to install; in CI it fails."""
    try:
        return make()
    except ConfigError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))


def wait_until(condition: object, deadline_s: float, what: str) -> None:
    """`condition()` holds. Fails with `what` after the deadline."""
    assert callable(condition)
    deadline = time.monotonic() + deadline_s
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {deadline_s:g} s: {what}")
        time.sleep(0.1)


def dev_urls(process: Process) -> dict[str, str]:
    """As `curl_urls`, of a `hookmill dev` that is ready: it says so last."""
    wait_until(lambda: "Ready." in process.stderr, READY_DEADLINE_S, "the addresses are printed")
    return curl_urls(process.stderr)


def curl_urls(text: str) -> dict[str, str]:
    """Source name -> webhook URL of the curl lines that `hookmill dev` prints."""
    return dict(re.findall(r"^(\S[^\n]*)\n  curl .*'(http://[^']+)'$", text, re.MULTILINE))
