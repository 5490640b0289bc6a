"""Services: order, failures, signals."""

import asyncio
import os
import signal

import pytest

from hookmill.errors import ConfigError, LogUnavailable
from hookmill.lifecycle import ExitCode, Readiness, exit_code, running, serve


class Recorded:
    """A service that writes down what happens to it."""

    def __init__(self, name: str, diary: list[str], fails_at: str = "") -> None:
        self.name = name
        self._diary = diary
        self._fails_at = fails_at

    async def start(self) -> None:
        self._note("start")

    async def wait(self) -> None:
        if self._fails_at == "end":
            return
        if self._fails_at == "wait":
            self._note("wait")
        await asyncio.Event().wait()

    async def stop(self) -> None:
        self._note("stop")

    def _note(self, what: str) -> None:
        self._diary.append(f"{what} {self.name}")
        if self._fails_at == what:
            raise LogUnavailable(f"{self.name} fails at {what}")


async def test_services_stop_in_reverse_order() -> None:
    diary: list[str] = []

    async with running([Recorded("a", diary), Recorded("b", diary)]):
        diary.append("run")

    assert diary == ["start a", "start b", "run", "stop b", "stop a"]


async def test_a_failed_start_stops_what_had_started() -> None:
    diary: list[str] = []

    with pytest.raises(LogUnavailable, match="b fails at start"):
        async with running([Recorded("a", diary), Recorded("b", diary, "start"), Recorded("c", diary)]):
            raise AssertionError("must not run")

    assert diary == ["start a", "start b", "stop a"]


async def test_a_failed_stop_does_not_keep_others_from_stopping() -> None:
    diary: list[str] = []

    with pytest.raises(LogUnavailable, match="b fails at stop"):
        async with running([Recorded("a", diary), Recorded("b", diary, "stop")]):
            pass

    assert diary[-1] == "stop a"


async def test_a_signal_drains_and_ends_well() -> None:
    diary: list[str] = []
    readiness = Readiness()
    seen: list[bool] = []

    async def once_ready() -> None:
        seen.append(readiness.is_ready)
        os.kill(os.getpid(), signal.SIGTERM)

    code = await serve([Recorded("a", diary)], readiness, once_ready)

    assert (code, seen, readiness.is_ready) == (ExitCode.OK, [True], False)
    assert diary == ["start a", "stop a"]


async def test_a_service_that_ends_by_itself_fails_the_process() -> None:
    diary: list[str] = []

    assert await serve([Recorded("a", diary), Recorded("b", diary, "end")], Readiness()) == ExitCode.FAILED
    assert diary[-2:] == ["stop b", "stop a"]


async def test_the_error_of_a_service_comes_out_after_the_others_stopped() -> None:
    diary: list[str] = []

    with pytest.raises(LogUnavailable, match="b fails at wait"):
        await serve([Recorded("a", diary), Recorded("b", diary, "wait")], Readiness())

    assert diary[-1] == "stop a"


def test_a_bad_configuration_has_an_exit_code_of_its_own() -> None:
    assert exit_code(ConfigError("x")) == 78
    assert exit_code(LogUnavailable("x")) == 1
