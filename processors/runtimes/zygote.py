"""The pool's end of its zygote: the process from which runners are forked, and which ends with the pool."""

import asyncio
import contextlib
import socket
import subprocess
from collections.abc import Sequence
from itertools import count
from typing import Any, Final, NamedTuple, Self

import msgspec

from hookmill.telemetry import get_logger
from processors.runtimes.commands import Launch
from processors.runtimes.errors import RunnerUnavailable
from processors.runtimes.progress import START_DEADLINE_S

log = get_logger(__name__)

_MAX_NEWS_BYTES: Final = 4_096
_END_DEADLINE_S: Final = 5.0
_END_POLL_S: Final = 0.005
_ENVIRONMENT: Final = {"LANG": "C.UTF-8", "TZ": "UTC"}
"""All that runners have of an environment."""

_encode = msgspec.json.Encoder().encode


class Fork(NamedTuple):
    """A process of the zygote."""

    pid: int
    ended: asyncio.Future[int | None]
    """Its exit code as `subprocess` has it; `None` if it went with the zygote, through no fault of its own."""


class _News(msgspec.Struct):
    """Of the zygote, see `hookmill_runtime.zygote`: one of `ready`, `forked` with `pid`, `ended` with `code`."""

    ready: bool = False
    forked: int | None = None
    pid: int = 0
    ended: int | None = None
    code: int = 0


_read_news = msgspec.json.Decoder(_News).decode


class Zygote:
    """Who starts it closes it, which ends every fork."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket) -> None:
        self._process = process
        self._control = control
        self._loop = asyncio.get_running_loop()
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._orders = count()
        self._forks: dict[int, asyncio.Future[Fork]] = {}
        self._ended: dict[int, asyncio.Future[int | None]] = {}
        self.is_gone = False
        self._loop.add_reader(control, self._read_all)

    @classmethod
    async def start(cls, command: Sequence[str]) -> Self:
        """Ready; the number of its control socket follows the command. Errors: `RunnerUnavailable`."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            process = subprocess.Popen(  # noqa: ASYNC220, S603  # our own command; starts in a millisecond
                [*command, str(theirs.fileno())],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                env=_ENVIRONMENT,
                cwd="/",
                start_new_session=True,
            )
        zygote = cls(process, ours)
        try:
            async with asyncio.timeout(START_DEADLINE_S):
                await zygote._ready
        except BaseException as error:
            await zygote.close()
            if isinstance(error, TimeoutError):
                raise RunnerUnavailable(f"The zygote did not start within {START_DEADLINE_S:g} s.") from error
            raise
        return zygote

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    async def fork(self, launch: Launch, descriptors: Sequence[int]) -> Fork:
        """A runner's process is there; channel, ledger and standard error are its. Errors: `RunnerUnavailable`."""
        number = next(self._orders)
        reply: asyncio.Future[Fork] = self._loop.create_future()
        self._forks[number] = reply
        try:
            if not self._tell({"fork": number, "launch": launch}, descriptors):
                raise RunnerUnavailable("The zygote is gone.")
            async with asyncio.timeout(START_DEADLINE_S):
                return await reply
        except TimeoutError as error:
            self._give_up()
            raise RunnerUnavailable(f"The zygote did not fork within {START_DEADLINE_S:g} s.") from error
        finally:
            self._forks.pop(number, None)

    def kill(self, pid: int) -> None:
        """The fork and what it started is about to end."""
        if pid in self._ended:
            self._tell({"kill": pid})

    async def wait_for_end(self, fork: Fork) -> int | None:
        """The exit code of a fork that was killed, or ends by itself; a zygote that does not tell it is ended."""
        try:
            async with asyncio.timeout(_END_DEADLINE_S):
                return await asyncio.shield(fork.ended)
        except TimeoutError:
            self._give_up()
            return None

    async def close(self) -> None:
        """Gone, with every fork."""
        self._give_up()
        async with asyncio.timeout(_END_DEADLINE_S):
            # The kernel ends a killed process within milliseconds, and there are few ends: not worth a watcher.
            while self._process.poll() is None:  # noqa: ASYNC110  # nothing sets an event when a process ends
                await asyncio.sleep(_END_POLL_S)

    def _tell(self, order: dict[str, object], descriptors: Sequence[int] = ()) -> bool:
        """False if it cannot be told, and then it is ended: with orders lost, nobody would know what runs."""
        if self.is_gone:
            return False
        try:
            socket.send_fds(self._control, [_encode(order)], descriptors)
        except OSError:
            self._give_up()
            return False
        return True

    def _read_all(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while not self.is_gone:
                content = b""
                with contextlib.suppress(ConnectionError):
                    content = self._control.recv(_MAX_NEWS_BYTES)
                if content:
                    self._hear(_read_news(content))
                else:
                    log.warning("zygote.lost", pid=self.pid, runners=len(self._ended))
                    self._give_up()

    def _hear(self, news: _News) -> None:
        if news.forked is not None:
            ended = self._ended[news.pid] = self._loop.create_future()
            reply = self._forks.get(news.forked)
            if reply is None or reply.done():
                self.kill(news.pid)  # whoever asked for it has given up
            else:
                reply.set_result(Fork(news.pid, ended))
        elif news.ended is not None:
            self._ended.pop(news.ended).set_result(news.code)
        elif not self._ready.done():
            self._ready.set_result(None)

    def _give_up(self) -> None:
        """Its forks end with it: each asks the kernel for that as its first act."""
        if self.is_gone:
            return
        self.is_gone = True
        self._loop.remove_reader(self._control)
        self._control.close()
        self._process.kill()
        lost = RunnerUnavailable("The zygote is gone.")
        waiting: list[asyncio.Future[Any]] = [self._ready, *self._forks.values()]
        for future in waiting:
            if not future.done():
                future.set_exception(lost)
        for ended in self._ended.values():
            ended.set_result(None)
        self._ended.clear()
