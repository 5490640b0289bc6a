"""The results of a few invocations: records for every topic they lead to."""

from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from typing import Final

from hookmill import codec, headers
from hookmill.codec import FunctionError, InvocationReport, LogLine
from hookmill.parked import Spot, Why
from hookmill.records import NewRecord
from hookmill.registry import Function
from hookmill.retry import RetryPolicy
from hookmill.topics import Topic
from processors import metrics
from processors.failed import failed
from processors.failure import Failure, Reason
from processors.parked import Parked
from processors.runtimes.contract import Outcome, Status
from processors.split import InvalidOutput, Outputs, OutputTooLarge, split
from processors.webhook import Webhook

_KINDS: Final = {
    Topic.EVENTS: "event",
    Topic.EVENTS_REDELIVERY: "event",
    Topic.OBJECTS: "object",
    Topic.OBJECTS_REDELIVERY: "object",
}
"""What the records of a topic are called in metrics."""


class Results:
    """Collects what comes of webhooks of one source; `records` is what must be durable before they count as done.

    Each webhook is settled once. It leaves one report, and its messages, or itself for a delay topic or the dead
    letters, or nothing more if it was dropped: never nothing. `now_ms` is asked at each failure: functions take time.
    With `parked`, one that failed and has an ordering key stays at the head of its key instead: parked until it is
    tried again, or until its dead letter is settled.
    """

    def __init__(
        self, source: str, policy: RetryPolicy, now_ms: Callable[[], int], parked: Parked | None = None
    ) -> None:
        self.records: defaultdict[Topic, list[NewRecord]] = defaultdict(list)
        self.held: set[Spot | None] = set()
        """Webhooks that failed and now hold up others of their key; never `None`."""
        self._parked = parked
        self._events = self.records[Topic.EVENTS]
        self._objects = self.records[Topic.OBJECTS]
        self._reports = self.records[Topic.INVOCATIONS]
        """Looked up once: naming a member of an enum runs code in Python 3.11, as costly as appending."""
        self._source = source
        self._policy = policy
        self._now_ms = now_ms
        self._key = source.encode()
        self._ended: Counter[Status] = Counter()
        self._retried: Counter[Reason] = Counter()
        self._dead: Counter[Reason] = Counter()
        self._durations_s: defaultdict[str, list[float]] = defaultdict(list)

    def settle(self, webhook: Webhook, function: Function, outcome: Outcome) -> None:
        """The webhook ended as `outcome` says; not for `INFRA`, which ends nothing."""
        self._durations_s[function.language].append(outcome.duration_ms / 1_000)
        match outcome.status:
            case Status.OK:
                try:
                    outputs = split(webhook, function, outcome)
                except InvalidOutput as error:
                    self.fail(webhook, function, Failure.of(Reason.INVALID_OUTPUT, str(error)), outcome)
                except OutputTooLarge as error:
                    self.fail(webhook, function, Failure.of(Reason.TOO_LARGE, str(error)), outcome)
                else:
                    self._deliver(webhook, function, outcome, outputs)
            case Status.DROPPED:
                self._report(webhook, function, Status.DROPPED, "dropped", outcome.error, outcome)
            case _:
                self.fail(webhook, function, Failure.of_outcome(outcome), outcome)

    def fail(
        self, webhook: Webhook, function: Function | None, failure: Failure, outcome: Outcome | None = None
    ) -> None:
        """The webhook is delivered again later, or becomes a dead letter; `outcome` is `None` when nothing ran."""
        topic, record, retry_in_s = failed(webhook, function, failure, self._policy, self._now_ms())
        is_dead = retry_in_s is None
        spot = None if self._parked is None else self._parked.spot_of(webhook)
        if self._parked is None or spot is None:
            self.records[topic].append(record)
        else:
            why = Why.DEAD if is_dead else Why.FAILED
            self.records[Topic.WEBHOOKS_PARKED].append(self._parked.park(webhook, spot, why, record.headers))
            self.held.add(spot)
            if is_dead:
                place = b"%d" % self._parked.place_of(spot.partition)
                letter = webhook.record.sent_on(headers.with_headers(record.headers, {headers.HOLDS_ON: place}))
                self.records[topic].append(letter)
        (self._dead if is_dead else self._retried)[failure.reason] += 1
        what_next = "dead" if is_dead else "retry"
        self._report(webhook, function, failure.status, what_next, failure.error, outcome, retry_in_s=retry_in_s)

    def count(self, label: str) -> None:
        """The metrics know, with `label` for the source. To be called once, when all is durable: counters are slow."""
        for status, ended in self._ended.items():
            metrics.invocations(label, status.value).inc(ended)
        for topic, kind in _KINDS.items():
            if sent := len(self.records[topic]):
                metrics.messages(label, kind).inc(sent)
        for reason, retried in self._retried.items():
            metrics.retries(label, reason.value).inc(retried)
        for reason, dead in self._dead.items():
            metrics.dead_letters(label, reason.value).inc(dead)
        for language, durations_s in self._durations_s.items():
            metrics.observe_seconds(language, durations_s)

    def _deliver(self, webhook: Webhook, function: Function, outcome: Outcome, outputs: Outputs) -> None:
        if webhook.replay is not None and (sink := webhook.replay.sink):
            self.records[Topic.EVENTS_REDELIVERY] += _only_for(f"events:{sink}", outputs.events)
            self.records[Topic.OBJECTS_REDELIVERY] += _only_for(f"objects:{sink}", outputs.objects)
        else:
            self._events += outputs.events
            self._objects += outputs.objects
        self._report(
            webhook, function, outcome.status, "delivered", None, outcome, len(outputs.events), len(outputs.objects)
        )

    def _report(
        self,
        webhook: Webhook,
        function: Function | None,
        status: Status,
        what_next: str,
        error: FunctionError | None,
        outcome: Outcome | None,
        events: int = 0,
        objects: int = 0,
        retry_in_s: float | None = None,
    ) -> None:
        self._ended[status] += 1
        logs: list[LogLine] = [] if outcome is None else list(outcome.logs)
        report = InvocationReport(
            request_id=webhook.request_id,
            source=self._source,
            function_version="" if function is None else function.version,
            status=status,
            duration_ms=0.0 if outcome is None else outcome.duration_ms,
            delivery_count=webhook.delivery_count,
            received_at=webhook.received_at_us,
            events=events,
            objects=objects,
            next=what_next,
            retry_in_s=retry_in_s,
            error=error,
            logs=logs,
            cpu_ms=None if outcome is None else outcome.cpu_ms,
            fetches=None if outcome is None else outcome.fetches,
        )
        self._reports.append(
            NewRecord(
                value=codec.encode(report),
                key=self._key or None,
                headers=(
                    (headers.FORMAT, headers.FORMAT_VERSION),
                    (headers.REQUEST_ID, webhook.request_id.encode()),
                    (headers.SOURCE, self._key),
                    *(() if webhook.replay is None else ((headers.REPLAY_ID, webhook.replay.id.encode()),)),
                ),
            )
        )


def _only_for(stage: str, records: Sequence[NewRecord]) -> list[NewRecord]:
    """The records as the redelivery topics carry them, for this stage and no other."""
    return [
        NewRecord(record.value, record.key, (*record.headers, (headers.STAGE, stage.encode()))) for record in records
    ]
