"""A backlog for the function stage: a deployed source and its webhooks on the log, each with ids of its own."""

import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from bench.load import body_of
from hookmill.codec import HttpRequest, encode
from hookmill.config import Config
from hookmill.headers import FORMAT, FORMAT_VERSION, HTTP, RECEIVED_AT, REQUEST_ID, SOURCE
from hookmill.ids import new_request_id
from hookmill.log import open_log
from hookmill.records import NewRecord
from hookmill.registry import Function, Source, publish
from hookmill.topics import Topic

FUNCTIONS = Path(__file__).parent / "user_code"
FILE_NAMES = {"javascript": "deal.js", "python": "deal.py"}
SOURCE_ID = "bench"

_SEND_RECORDS = 500
_HTTP_HEADERS = [
    ("Host", "hooks.example"),
    ("User-Agent", "bench"),
    ("Accept", "*/*"),
    ("Content-Type", "application/json"),
    ("Content-Length", "1200"),
]


def function_of(language: str) -> Function:
    """A function that sends one event and one object for each webhook."""
    name = FILE_NAMES[language]
    return Function(SOURCE_ID, version="1", language=language, file_name=name, code=(FUNCTIONS / name).read_text())


async def fill(config: Config, function: Function, records: int, body_bytes: int) -> None:
    """The log holds the function, deployed, and `records` webhooks for it."""
    log = open_log(config)
    names = config.topics.names
    await log.ensure_topics(names.specs())
    source = Source(id=SOURCE_ID, name="Bench", token_hashes=(), function_version=function.version)
    await publish(log, names.full(Topic.REGISTRY), [source, function])
    webhooks = _webhooks(records, body_bytes)
    async with log.sender() as sender:
        while batch := list(islice(webhooks, _SEND_RECORDS)):
            await sender.send(names.full(Topic.WEBHOOKS), batch)


def _webhooks(count: int, body_bytes: int) -> Iterator[NewRecord]:
    http = encode(HttpRequest("POST", "https://hooks.example/", _HTTP_HEADERS))
    for number in range(count):
        headers = (
            (FORMAT, FORMAT_VERSION),
            (REQUEST_ID, new_request_id().encode()),
            (SOURCE, SOURCE_ID.encode()),
            (RECEIVED_AT, b"%d" % (time.time_ns() // 1_000)),
            (HTTP, http),
        )
        yield NewRecord(body_of(body_bytes, number), headers=headers)
