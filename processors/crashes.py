"""Records on which our own code failed: each comes again by itself, and the third time it is given up."""

from collections.abc import Sequence
from typing import Final

from hookmill import headers
from hookmill.records import NewRecord, Record, Span
from processors.deferral import place_told
from processors.failure import Failure, Reason
from processors.webhook import Webhook

MAX_CRASHES: Final = 3
"""Then the record is the likelier cause than whatever else was wrong (DESIGN section 5, "our bug")."""


def suspects_alone(span: Span) -> list[Span]:
    """The span in parts: each record that has been part of a crash alone, so that the next one tells which it was."""
    suspects = [record for record in span.records if _crashes(record)]
    if not suspects:
        return [span]
    others = tuple(record for record in span.records if not _crashes(record))
    parts = [*([others] if others else []), *((suspect,) for suspect in suspects)]
    return [Span(span.partition, part) for part in parts]


def first_step(webhooks: Sequence[Webhook]) -> int:
    """As `suspects_alone`, for webhooks whose order counts: how many of the first of them may run together."""
    clean = next((index for index, webhook in enumerate(webhooks) if _crashes(webhook.record)), len(webhooks))
    return clean or 1


def tried_again(webhook: Webhook) -> NewRecord | None:
    """The webhook for another try, which knows how many crashes there were; `None` when this was the last."""
    crashes = _crashes(webhook.record) + 1
    if crashes >= MAX_CRASHES:
        return None
    changes = {**place_told(webhook), headers.CRASHES: b"%d" % crashes}
    return webhook.record.sent_on(headers.with_headers(webhook.record.headers, changes))


def crash_failure(bug: BaseException) -> Failure:
    """What the dead letter says: the class of the error alone, since its text may hold what must not be told."""
    while isinstance(bug, BaseExceptionGroup):
        bug = bug.exceptions[0]
    last = type(bug).__name__
    text = f"The function stage failed {MAX_CRASHES} times on this webhook, at last with {last}; its log has more."
    return Failure.of(Reason.PIPELINE_CRASH, text)


def _crashes(record: Record) -> int:
    return headers.int_header(record.headers, headers.CRASHES, 0)
