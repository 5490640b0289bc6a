"""The pool's end of a function's calls: FETCH of a runner goes through the guard and comes back as FETCHED.

A runner opens no connection itself, so that what confines it is the same with and without network.
"""

import asyncio
from collections.abc import Mapping
from typing import Final, Self

import msgspec

from hookmill.codec import Fetches, FunctionError
from hookmill.egress.allow import AllowList
from hookmill.egress.call import Answer, Call
from hookmill.egress.errors import FetchFailed, FetchRefused
from hookmill.egress.guard import MAX_ANSWER_BYTES, Egress
from hookmill.errors import ConfigError
from hookmill.telemetry import get_logger
from processors.runtimes.contract import Code, Outcome
from processors.runtimes.errors import LoadFailed, RunnerLost
from processors.runtimes.frames import Fetch, Fetched, Frame, fetched_frame

log = get_logger(__name__)

MAX_AT_ONCE: Final = 8
"""Per runner; the runner holds its function to it and lets the others wait. Source: ours."""
MAX_PER_INVOCATION: Final = 50
"""Source: ours. A function that needs more is better off with fewer, larger calls."""
_GRACE_S: Final = 1.0
"""The runner stops its invocation at the limit, and says so: not once this and once that."""
_MAX_UNREAD_BYTES: Final = MAX_AT_ONCE * (MAX_ANSWER_BYTES + 65_536)
"""Of answers that wait in our memory for the runner to read them: more than it can have asked for."""
SETTING: Final = "[network] allow of the source"


class Network:
    """The calls of one runner. Every FETCH has one FETCHED, at the latest when its batch ends."""

    def __init__(self, source: str, egress: Egress, allowed: AllowList, writer: asyncio.StreamWriter) -> None:
        self._source = source
        self._egress = egress
        self._allowed = allowed
        self._writer = writer
        self._calls: dict[int, asyncio.Task[None]] = {}
        """Under way, by the runner's number for them."""
        self._used: dict[int, Fetches] = {}
        """By index of the invocation."""

    @classmethod
    def of(cls, code: Code, egress: Egress, writer: asyncio.StreamWriter) -> Self | None:
        """`None` for code without network. Errors: `LoadFailed` if what the source allows cannot be read."""
        if not code.network:
            return None
        try:
            return cls(code.source, egress, AllowList.parse(code.network, SETTING), writer)
        except ConfigError as error:
            raise LoadFailed(FunctionError("ConfigError", f"{SETTING}: {error}")) from None

    def take(self, frame: Frame, left_s: float) -> None:
        """The call is under way; it ends after `left_s`, what is left to its invocation, and a little more.

        Errors: `RunnerLost` for what no runner of ours sends.
        """
        line, _, body = frame.header.partition(b"\n")
        try:
            fetch = msgspec.json.decode(line, type=Fetch)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise RunnerLost("its FETCH is malformed") from error
        if fetch.id in self._calls or len(self._calls) >= MAX_AT_ONCE:
            raise RunnerLost(f"it asked for more than {MAX_AT_ONCE} calls at once")
        if self._writer.transport.get_write_buffer_size() > _MAX_UNREAD_BYTES:
            raise RunnerLost("it asks for calls and does not read the answers")
        self._calls[fetch.id] = asyncio.create_task(self._answer(fetch, body, left_s), name="fetch")

    async def settle(self, outcomes: Mapping[int, Outcome]) -> dict[int, Outcome]:
        """The batch has ended: what is still under way is given up. The outcomes tell what their calls were."""
        given_up = await self.cancel()
        for number in given_up:
            self._send(Fetched(number, error="The invocation ended before the answer came."))
        used, self._used = self._used, {}
        return {
            index: msgspec.structs.replace(outcome, fetches=used[index]) if index in used else outcome
            for index, outcome in outcomes.items()
        }

    async def cancel(self) -> list[int]:
        """Nothing is under way; the numbers of the calls that were."""
        calls, self._calls = self._calls, {}
        for call in calls.values():
            call.cancel()
        await asyncio.gather(*calls.values(), return_exceptions=True)
        return list(calls)

    async def _answer(self, fetch: Fetch, body: bytes, left_s: float) -> None:
        try:
            answer = await self._call(fetch, body, left_s)
            head, content = Fetched(fetch.id, answer.status, answer.url, answer.headers), answer.body
        except (FetchRefused, FetchFailed) as error:
            head, content = Fetched(fetch.id, error=str(error)), b""
        except Exception:
            # What to call was chosen by a function, so no bug found that way may stop the others.
            log.exception("fetch.bug", source=self._source)
            head, content = (
                Fetched(fetch.id, error="The call failed for a reason of Hookmill's own; its log has it."),
                b"",
            )
        # Before the runner can know: with the answer in hand it may ask again at once.
        del self._calls[fetch.id]
        self._send(head, content)

    def _send(self, head: Fetched, content: bytes = b"") -> None:
        if not self._writer.is_closing():  # a runner that has ended needs no answer
            self._writer.write(fetched_frame(head, content))

    async def _call(self, fetch: Fetch, body: bytes, left_s: float) -> Answer:
        used = self._used.get(fetch.index, Fetches())
        if used.count >= MAX_PER_INVOCATION:
            raise FetchRefused(f"An invocation may make {MAX_PER_INVOCATION} calls.")
        self._used[fetch.index] = Fetches(used.count + 1, used.bytes + len(body))
        call = Call.checked(fetch.method, fetch.url, fetch.headers, body)
        answer = await self._egress.fetch(
            call, self._allowed, timeout_s=max(left_s, 0) + _GRACE_S, follows_redirects=fetch.redirect == "follow"
        )
        used = self._used[fetch.index]
        self._used[fetch.index] = Fetches(used.count, used.bytes + len(answer.body))
        return answer
