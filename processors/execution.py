"""Execution: webhooks of one source through their function, and what came of them durably on the log."""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from hookmill.breaker import State
from hookmill.errors import FailureKind, LogError, RecordTooLarge
from hookmill.log.contract import RecordSender
from hookmill.records import NewRecord
from hookmill.registry import Function, Registry
from hookmill.retry import DELAYS_S, RetryPolicy
from hookmill.topics import Topic, TopicNames
from processors import metrics
from processors.code import code_of
from processors.deferral import deferred
from processors.deployed import Deployed
from processors.failure import Failure, Reason
from processors.hold import Hold
from processors.parked import Parked
from processors.results import Results
from processors.runtimes.contract import Invocation, Outcome, RunnerPool, Status
from processors.runtimes.errors import NodeMissing, RunnerUnavailable
from processors.shares import Shares
from processors.together import together
from processors.webhook import Webhook, read_invocation


class Ran(NamedTuple):
    """What a run left and cost."""

    waiting: Sequence[Webhook]
    """They found no runner, or stand behind one of their key that did not or that failed and holds them up."""
    spent_s: float
    """What the others cost their source, by `Share.measure`."""
    stopped: frozenset[bytes | None] = frozenset()
    """Ordering keys that go no further."""
    lacks_runner: bool = False


class Ended(NamedTuple):
    """One delivery of a webhook, over."""

    webhook: Webhook
    function: Function | None
    outcome: Outcome | Failure
    """Of the function, or why it did not run."""


class Batch:
    """Deliveries of one source that are over, and what comes of them: to be finished."""

    def __init__(self, source: str, make_results: Callable[[], Results]) -> None:
        self.source = source
        self.make_results = make_results
        self.results = make_results()
        self.ended: list[Ended] = []
        self.unsettled: list[Webhook] = []
        """After `Execution.finish`: they must not count as delivered, since one of their key before them failed."""

    def add(self, ended: Ended) -> None:
        """One more delivery is over."""
        self.ended.append(ended)
        _put(self.results, ended)


class Execution:
    """Runs functions and sends what they made, whatever lane webhooks are on. Any number of calls may be under way."""

    def __init__(
        self,
        registry: Registry,
        pool: RunnerPool,
        sender: RecordSender,
        names: TopicNames,
        parked: Parked,
        delays_s: tuple[float, ...] = DELAYS_S,
        hold: Hold | None = None,
        now_s: Callable[[], float] = time.time,
    ) -> None:
        self.hold = hold or Hold()
        self.shares = Shares()
        self.parked = parked
        self.now_s = now_s
        self._registry = registry
        self._pool = pool
        self._sender = sender
        self._names = names
        self._delays_s = delays_s

    def batch(self, source: str, deployed: Deployed | Failure) -> Batch:
        """An empty one. Without a source there is no function whose failure could be tried again."""
        retries = 0 if isinstance(deployed, Failure) else deployed.source.retries
        known = self._registry.sources.get(source)
        parked = self.parked if known is not None and known.parks else None
        policy = RetryPolicy(retries, self._delays_s)
        return Batch(source, lambda: Results(source, policy, lambda: round(self.now_s() * 1_000), parked))

    async def take(self, deployed: Deployed, wanted: int, spent_s: float) -> int:
        """As `Share.take`, of the function's share. Its first webhook goes to a runner that is there: what starting one
        takes, with many at once, says nothing of the function."""
        share = self.shares.of(deployed.source.id, deployed.function.version)
        if not share.is_measured and share.breaker.state is State.CLOSED:
            with contextlib.suppress(RunnerUnavailable, NodeMissing):  # told by what runs
                await self._pool.check(code_of(*deployed))
        return await share.take(wanted, spent_s)

    async def settle(self, source: str, deployed: Deployed | Failure, webhooks: Sequence[Webhook]) -> Ran:
        """What could be settled is: what came of it is durable."""
        batch = self.batch(source, deployed)
        ran = await self.run(deployed, webhooks, batch)
        await self.finish(batch)
        return ran

    async def run(self, deployed: Deployed | Failure, webhooks: Sequence[Webhook], batch: Batch) -> Ran:
        """What came of the webhooks is in the batch. Those of one ordering key ran one after another."""
        is_ordered = isinstance(deployed, Failure) or deployed.source.order_by is not None
        waiting: list[Webhook] = []
        spent_s = 0.0
        stopped: set[bytes | None] = set()
        lacks_runner = False
        rest = webhooks
        while rest:
            wave, rest = _first_of_each_key(rest) if is_ordered else (rest, ())
            ran = await self._run(deployed, wave, batch)
            spent_s += ran.spent_s
            lacks_runner |= bool(ran.waiting)
            waiting += ran.waiting
            if is_ordered:
                stopped |= {each.record.key for each in wave if self.parked.spot_of(each) in batch.results.held}
                stopped |= {each.record.key for each in ran.waiting if each.record.key is not None}
                waiting += [each for each in rest if each.record.key in stopped]
                rest = [each for each in rest if each.record.key not in stopped]
        return Ran(waiting, spent_s, frozenset(stopped), lacks_runner)

    async def finish(self, batch: Batch) -> None:
        """What came of the webhooks is durable; what a key waits for is so after what its webhooks made.

        One that leads to a record larger than its topic takes, because somebody lowered the limit, is a dead letter.
        Where that is too large as well there is no other place: it waits for a higher limit.
        """
        if await self._send(batch.results.records) is None:
            batch.results.count(metrics.source_label(self._registry, batch.source))
            return
        stopped = set()
        for ended in batch.ended:
            if ended.webhook.record.key in stopped:
                batch.unsettled.append(ended.webhook)
                continue
            results = await self._finish_one(batch, ended)
            if self.parked.spot_of(ended.webhook) in results.held:
                stopped.add(ended.webhook.record.key)
            batch.results.held |= results.held

    async def _finish_one(self, batch: Batch, ended: Ended) -> Results:
        results = batch.make_results()
        _put(results, ended)
        refusal = await self._send(results.records)
        if refusal is not None:
            if Topic.DEAD_LETTERS not in results.records:
                results = batch.make_results()
                _put(results, ended._replace(outcome=Failure.of(Reason.TOO_LARGE, str(refusal))))
            await self.insist(results.records)
        results.count(metrics.source_label(self._registry, batch.source))
        return results

    async def _run(self, deployed: Deployed | Failure, webhooks: Sequence[Webhook], batch: Batch) -> Ran:
        runnable: list[Webhook] = []
        invocations: list[Invocation] = []
        for webhook in webhooks:
            # Reading may be where the stage failed on a webhook that it gives up: not once more.
            if isinstance(deployed, Failure) and deployed.reason is Reason.PIPELINE_CRASH:
                batch.add(Ended(webhook, None, deployed))
                continue
            invocation = read_invocation(webhook)
            if isinstance(invocation, Failure):
                batch.add(Ended(webhook, None, invocation))
            elif isinstance(deployed, Failure):
                batch.add(Ended(webhook, None, deployed))
            else:
                runnable.append(webhook)
                invocations.append(invocation)
        if runnable and isinstance(deployed, Deployed):
            return await self._invoke(deployed, runnable, invocations, batch)
        return Ran((), 0.0)

    async def defer(self, source: str, webhooks: Sequence[Webhook]) -> None:
        """The webhooks are on the slow lane."""
        if webhooks:
            await self.insist({Topic.WEBHOOKS_SLOW: [deferred(webhook) for webhook in webhooks]})
            metrics.deferred(metrics.source_label(self._registry, source)).inc(len(webhooks))

    async def insist(self, records: Mapping[Topic, Sequence[NewRecord]]) -> None:
        """The records are durable, however long the log is away or finds them too large. Errors: `Abandoned`."""
        attempt = 0
        while (refusal := await self._send(records)) is not None:
            await self.hold.wait(attempt, str(refusal))
            attempt += 1

    async def _send(self, by_topic: Mapping[Topic, Sequence[NewRecord]]) -> RecordTooLarge | None:
        """All is durable; or a topic does not take a record, and some may not be. What is parked comes last."""
        refusals: list[RecordTooLarge] = []

        async def send(topic: Topic) -> None:
            try:
                await self._send_until_durable(topic, by_topic[topic])
            except RecordTooLarge as error:
                refusals.append(error)

        await together(send(topic) for topic, some in by_topic.items() if some and topic is not Topic.WEBHOOKS_PARKED)
        if not refusals and by_topic.get(Topic.WEBHOOKS_PARKED):
            await send(Topic.WEBHOOKS_PARKED)
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

    async def _invoke(
        self, deployed: Deployed, webhooks: Sequence[Webhook], invocations: Sequence[Invocation], batch: Batch
    ) -> Ran:
        share = self.shares.of(deployed.source.id, deployed.function.version)
        admitted = share.breaker.admit(len(webhooks))
        try:
            outcomes = await self._pool.run(code_of(*deployed), invocations[:admitted])
        except BaseException:
            if share.breaker.state is State.HALF_OPEN and admitted:
                share.breaker.failed("the trial was broken off")
            raise
        waiting: list[Webhook] = []
        lacking = [outcome for outcome in outcomes if outcome.status is Status.INFRA]
        for webhook, outcome in zip(webhooks[:admitted], outcomes, strict=True):
            if outcome.status is Status.INFRA:
                waiting.append(webhook)
            else:
                batch.add(Ended(webhook, deployed.function, outcome))
        if lacking:
            share.breaker.failed(lacking[0].error.message if lacking[0].error else "no runner")
        elif outcomes:
            share.breaker.succeeded()
        waiting += webhooks[admitted:]
        if waiting:
            share.fill("it has no runner")
        return Ran(waiting, share.measure(outcomes))


def _first_of_each_key(webhooks: Sequence[Webhook]) -> tuple[Sequence[Webhook], Sequence[Webhook]]:
    """Those that may run together, and the rest: those without key, and the first of each key."""
    first: list[Webhook] = []
    rest: list[Webhook] = []
    seen: set[bytes] = set()
    for webhook in webhooks:
        key = webhook.record.key
        (rest if key in seen else first).append(webhook)
        if key is not None:
            seen.add(key)
    return first, rest


def _put(results: Results, ended: Ended) -> None:
    webhook, function, outcome = ended
    if isinstance(outcome, Failure):
        results.fail(webhook, function, outcome)
    else:
        assert function is not None
        results.settle(webhook, function, outcome)
