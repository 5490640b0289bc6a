"""The record processor: a span of webhooks in, everything that comes of it durable on the log. No Faust, no Kafka."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from hookmill.errors import FailureKind, LogError, RecordTooLarge
from hookmill.log.contract import RecordSender
from hookmill.records import NewRecord, Span
from hookmill.registry import Function, Registry, Source
from hookmill.retry import DELAYS_S, RetryPolicy
from hookmill.topics import Topic, TopicNames
from processors import metrics
from processors.code import code_of
from processors.crashes import crash_failure, tried_again
from processors.deferral import brought_back, deferred
from processors.failure import Failure, Reason
from processors.hold import Hold
from processors.results import Results
from processors.runtimes.contract import Invocation, Outcome, RunnerPool, Status
from processors.shares import Shares
from processors.webhook import Webhook, read_invocation, read_webhook

MAX_SOURCES_AT_ONCE: Final = 32
"""Sources of one span in work at once. Beyond the default of 16 runners, so that a few slow sources leave room."""

REGISTRY_GRACE_S: Final = 3.0
"""How long a fresh webhook waits for its source to become known: receiver and function stage follow the registry each
on their own, with polls of up to 0.5 s, so a webhook sent right after a deployment may be ahead of it."""

_REGISTRY_LOOK_S: Final = 0.05


class _Deployed(NamedTuple):
    source: Source
    function: Function


class _Ran(NamedTuple):
    waiting: Sequence[Webhook]
    """They found no runner."""
    spent_s: float
    """What the others cost their source, by `Share.measure`."""


class _Ended(NamedTuple):
    """One delivery of a webhook, over."""

    webhook: Webhook
    function: Function | None
    outcome: Outcome | Failure
    """Of the function, or why it did not run."""


class RecordProcessor:
    """Runs functions on spans and sends what they made. Any number of `process` calls may be under way."""

    def __init__(
        self,
        registry: Registry,
        pool: RunnerPool,
        sender: RecordSender,
        names: TopicNames,
        *,
        delays_s: tuple[float, ...] = DELAYS_S,
        hold: Hold | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self.hold = hold or Hold()
        self.shares = Shares()
        self._registry = registry
        self._pool = pool
        self._sender = sender
        self._names = names
        self._delays_s = delays_s
        self._now_s = now_s

    async def process(self, span: Span) -> None:
        """Every record of the span is settled and what came of it is durable: messages, reports, itself to be delivered
        again or as a dead letter.

        Sources run concurrently, the webhooks of one source as the pool likes. What exceeds the share of a source, or
        finds no runner, is moved to the slow lane and so settled here. Spans of the slow lane know no shares and wait
        for runners; while the log does not take records, all wait. What was sent twice then carries the same ids.

        Errors, always within an `ExceptionGroup`: `Abandoned` when a hold ended because the stage stops; anything else
        is a bug: `set_aside` is due. The span must not be acknowledged after any of them.
        """
        settle = self._settle_all if self._is_slow(span) else self._settle_share
        by_function: dict[tuple[str, str], list[Webhook]] = {}
        for webhook in self._webhooks(span):
            version = "" if webhook.replay is None else webhook.replay.function_version
            by_function.setdefault((webhook.source, version), []).append(webhook)
        slots = asyncio.Semaphore(MAX_SOURCES_AT_ONCE)

        async def settle_in_turn(source: str, version: str, webhooks: Sequence[Webhook]) -> None:
            async with slots:
                await settle(source, version, webhooks)

        async with asyncio.TaskGroup() as group:
            for (source, version), webhooks in by_function.items():
                group.create_task(settle_in_turn(source, version, webhooks))

    async def set_aside(self, span: Span, bug: BaseException) -> None:
        """After a bug in `process`: each record of the span is durable for another try by itself, or as a dead letter.

        Errors: `Abandoned`; of the log, and then nothing is known of the span.
        """
        again: list[NewRecord] = []
        for webhook in self._webhooks(span):
            record = tried_again(webhook)
            if record is not None:
                again.append(record)
                continue
            await self._finish(webhook.source, RetryPolicy(0), [_Ended(webhook, None, crash_failure(bug))])
        await self._insist({Topic.WEBHOOKS_REDELIVERY: again})

    def _webhooks(self, span: Span) -> list[Webhook]:
        is_slow = self._is_slow(span)
        return [read_webhook(brought_back(record) if is_slow else record) for record in span.records]

    def _is_slow(self, span: Span) -> bool:
        return span.partition.topic == self._names.full(Topic.WEBHOOKS_SLOW)

    async def _settle_share(self, source: str, version: str, webhooks: Sequence[Webhook]) -> None:
        """On the main lane: what the source's share allows runs, the rest is moved to the slow lane."""
        deployed = await self._deployed(source, version, webhooks)
        if isinstance(deployed, Failure):
            await self._run(source, deployed, webhooks)
            return
        share = self.shares.of(source, deployed.function.version)
        waiting: list[Webhook] = []
        spent_s = 0.0
        while webhooks and (count := await share.take(len(webhooks), spent_s)):
            try:
                ran = await self._run(source, deployed, webhooks[:count])
            finally:
                share.give_back(count)
            spent_s += ran.spent_s
            waiting += ran.waiting
            webhooks = webhooks[count:]
        await self._defer(source, [*waiting, *webhooks])

    async def _settle_all(self, source: str, version: str, webhooks: Sequence[Webhook]) -> None:
        """On the slow lane: everything runs, whatever it takes."""
        attempt = 0
        while webhooks:
            deployed = await self._deployed(source, version, webhooks)
            with self._on_slow_lane(deployed, webhooks[0]):
                webhooks = (await self._run(source, deployed, webhooks)).waiting
            if webhooks:
                await self.hold.wait(attempt, f"no runner for source {source!r}")
                attempt += 1

    def _on_slow_lane(self, deployed: _Deployed | Failure, first: Webhook) -> contextlib.AbstractContextManager[None]:
        if isinstance(deployed, Failure):
            return contextlib.nullcontext()
        share = self.shares.of(deployed.source.id, deployed.function.version)
        return share.on_slow_lane(lambda: self._now_s() - first.record.timestamp_ms / 1_000)

    async def _defer(self, source: str, webhooks: Sequence[Webhook]) -> None:
        if webhooks:
            await self._insist({Topic.WEBHOOKS_SLOW: [deferred(webhook) for webhook in webhooks]})
            metrics.deferred(metrics.source_label(self._registry, source)).inc(len(webhooks))

    def _policy(self, deployed: _Deployed | Failure) -> RetryPolicy:
        """Without a source there is no function whose failure could be tried again."""
        return RetryPolicy(0 if isinstance(deployed, Failure) else deployed.source.retries, self._delays_s)

    async def _run(self, source: str, deployed: _Deployed | Failure, webhooks: Sequence[Webhook]) -> _Ran:
        """Settles what could be settled: what came of it is durable."""
        ended: list[_Ended] = []
        runnable: list[Webhook] = []
        invocations: list[Invocation] = []
        for webhook in webhooks:
            invocation = read_invocation(webhook)
            if isinstance(invocation, Failure):
                ended.append(_Ended(webhook, None, invocation))
            elif isinstance(deployed, Failure):
                ended.append(_Ended(webhook, None, deployed))
            else:
                runnable.append(webhook)
                invocations.append(invocation)
        ran = _Ran((), 0.0)
        if runnable and isinstance(deployed, _Deployed):
            ran = await self._invoke(deployed, runnable, invocations, ended)
        await self._finish(source, self._policy(deployed), ended)
        return ran

    async def _invoke(
        self, deployed: _Deployed, webhooks: Sequence[Webhook], invocations: Sequence[Invocation], ended: list[_Ended]
    ) -> _Ran:
        outcomes = await self._pool.run(code_of(*deployed), invocations)
        share = self.shares.of(deployed.source.id, deployed.function.version)
        waiting = []
        for webhook, outcome in zip(webhooks, outcomes, strict=True):
            if outcome.status is Status.INFRA:
                waiting.append(webhook)
            else:
                ended.append(_Ended(webhook, deployed.function, outcome))
        if waiting:
            share.fill("it has no runner")
        return _Ran(waiting, share.measure(outcomes))

    async def _deployed(self, source_id: str, version: str, webhooks: Sequence[Webhook]) -> _Deployed | Failure:
        newest_s = max(webhook.received_at_us for webhook in webhooks) / 1_000_000
        # Counted from the receipt, so that a backlog of a removed source does not wait span by span.
        looks = round(min(newest_s + REGISTRY_GRACE_S - self._now_s(), REGISTRY_GRACE_S) / _REGISTRY_LOOK_S)
        found = self._look_up(source_id, version)
        while isinstance(found, Failure) and looks > 0 and source_id:
            await asyncio.sleep(_REGISTRY_LOOK_S)
            looks -= 1
            found = self._look_up(source_id, version)
        return found

    def _look_up(self, source_id: str, version: str) -> _Deployed | Failure:
        """The source with the version that a replay asks for, or with its own for an empty one."""
        source = self._registry.sources.get(source_id)
        if source is None:
            return Failure.of(Reason.UNKNOWN_SOURCE, f"Source {source_id[:100]!r} is not deployed.")
        version = version or source.function_version
        function = self._registry.functions.get((source_id, version))
        if function is None:
            return Failure.of(
                Reason.NO_FUNCTION,
                f"Source {source_id!r} is to run version {version[:100]!r}, which the registry does not have.",
            )
        return _Deployed(source, function)

    async def _finish(self, source: str, policy: RetryPolicy, ended: Sequence[_Ended]) -> None:
        """What came of the webhooks is durable.

        One that leads to a record larger than its topic takes, because somebody lowered the limit, is a dead letter.
        Where that is too large as well there is no other place: it waits for a higher limit.
        """
        results = self._results(source, policy, ended)
        refusal = await self._send(results.records)
        if refusal is not None:
            if len(ended) > 1:
                for each in ended:
                    await self._finish(source, policy, [each])
                return
            if Topic.DEAD_LETTERS not in results.records:
                failure = Failure.of(Reason.TOO_LARGE, str(refusal))
                results = self._results(source, policy, [ended[0]._replace(outcome=failure)])
            await self._insist(results.records)
        results.count(metrics.source_label(self._registry, source))

    def _results(self, source: str, policy: RetryPolicy, ended: Sequence[_Ended]) -> Results:
        results = Results(source, policy, lambda: round(self._now_s() * 1_000))
        for webhook, function, outcome in ended:
            if isinstance(outcome, Failure):
                results.fail(webhook, function, outcome)
            else:
                assert function is not None
                results.settle(webhook, function, outcome)
        return results

    async def _insist(self, records: Mapping[Topic, Sequence[NewRecord]]) -> None:
        attempt = 0
        while (refusal := await self._send(records)) is not None:
            await self.hold.wait(attempt, str(refusal))
            attempt += 1

    async def _send(self, by_topic: Mapping[Topic, Sequence[NewRecord]]) -> RecordTooLarge | None:
        """All is durable; or a topic does not take a record, and some may not be."""
        refusals: list[RecordTooLarge] = []

        async def send(topic: Topic, records: Sequence[NewRecord]) -> None:
            try:
                await self._send_until_durable(topic, records)
            except RecordTooLarge as error:
                refusals.append(error)

        async with asyncio.TaskGroup() as group:
            for topic, records in by_topic.items():
                if records:
                    group.create_task(send(topic, records))
        return refusals[0] if refusals else None

    async def _send_until_durable(self, topic: Topic, records: Sequence[NewRecord]) -> None:
        attempt = 0
        while True:
            try:
                await self._sender.send(self._names.full(topic), records)
                return
            except LogError as error:
                if error.kind is not FailureKind.DEPENDENCY:
                    raise
                await self.hold.wait(attempt, str(error))
                attempt += 1
