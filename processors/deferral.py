"""The way to the slow lane and off it: a topic whose key is the source, so that each source is on one partition.

A webhook there is the same delivery as before: its count is not changed, and nothing has failed.
"""

from hookmill import headers
from hookmill.records import NewRecord, Record
from processors.webhook import Webhook


def deferred(webhook: Webhook) -> NewRecord:
    """The webhook for the slow lane. What its place on the log tells of it, its headers tell from now on."""
    record = webhook.record
    changes = place_told(webhook)
    if record.key is not None:
        changes[headers.KEY] = record.key
    return NewRecord(
        value=record.value,
        key=webhook.source.encode(),
        headers=headers.with_headers(record.headers, changes),
    )


def place_told(webhook: Webhook) -> dict[str, bytes]:
    """Headers that tell what its place on the log told of the webhook."""
    return {
        headers.ORIGIN: str(webhook.origin).encode(),
        headers.REQUEST_ID: webhook.request_id.encode(),
        headers.RECEIVED_AT: b"%d" % webhook.received_at_us,
    }


def brought_back(record: Record) -> Record:
    """The record of the slow lane with the key that it had before."""
    key = headers.header(record.headers, headers.KEY)
    kept = headers.without_headers(record.headers, {headers.KEY})
    return Record(record.topic, record.partition, record.offset, record.timestamp_ms, key, record.value, kept)
