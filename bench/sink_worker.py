"""The sink stage: a backlog of objects on the log through one `hookmill sink` into PostgreSQL."""

import asyncio
import os
import tempfile
import time
from pathlib import Path

from bench import report
from bench.functions import cpu_s
from bench.sinks import BATCH, ROWS, object_write
from console.broker import LocalKafka
from hookmill import headers
from hookmill.codec import encode
from hookmill.config import Config, load_config
from hookmill.log import open_log
from hookmill.records import NewRecord
from hookmill.registry import Sink, publish
from hookmill.topics import Topic
from tests.postgres_server import PASSWORD, PASSWORD_ENV, Database, PostgresServer
from tests.processes import Process, started, wait_until

WARM_UP = 2 * BATCH
RUNS = 3
DEADLINE_S = 120
TARGET = "  (target: 20,000)"


def run(broker: LocalKafka) -> None:
    """Prints objects per CPU second of the worker, the server's not counted, on each log."""
    os.environ[PASSWORD_ENV] = PASSWORD
    server = PostgresServer(fsync=True)
    try:
        server.start()
        compare("embedded log", server, None)
        with broker:
            compare("Kafka", server, broker.bootstrap_servers)
    finally:
        server.stop()


def compare(name: str, server: PostgresServer, bootstrap_servers: str | None) -> None:
    rates = [measure(server.empty_database(), bootstrap_servers) for _ in range(RUNS)]
    report.line(f"sink stage, objects into PostgreSQL, {name}", "objects/s", rates, note=TARGET)


def measure(database: Database, bootstrap_servers: str | None) -> float:
    """Objects per CPU second of one fresh worker, start and warm-up left out, until the last one is in the table."""
    with tempfile.TemporaryDirectory() as folder:
        prefix = f"sinks-{time.time_ns()}."
        kafka = {"bootstrap_servers": bootstrap_servers}
        config = load_config({"data_dir": Path(folder), "kafka": kafka, "topics": {"prefix": prefix}})
        environment = {"HOOKMILL_DATA_DIR": folder, "HOOKMILL_TOPICS__PREFIX": prefix}
        if bootstrap_servers is not None:
            environment["HOOKMILL_KAFKA__BOOTSTRAP_SERVERS"] = bootstrap_servers
        asyncio.run(fill(config, database))
        with started(worker := Process(["sink"], Path(folder) / "sink", environment)):
            wait_until(lambda: rows(database) >= WARM_UP, DEADLINE_S, "the first rows")
            cpu_before = cpu_s(worker)
            rows_before = rows(database)
            wait_until(lambda: rows(database) == ROWS, DEADLINE_S, "every row")
            return (ROWS - rows_before) / (cpu_s(worker) - cpu_before)


async def fill(config: Config, database: Database) -> None:
    """The registry has the sink, the log the objects for it."""
    parts = database.address().parameters
    options = {name: parts[name] for name in ("host", "dbname", "user")} | {"port": int(parts["port"])}
    sink = Sink("warehouse", "postgres", events=False, objects=True, options={**options, "password_env": PASSWORD_ENV})
    log = open_log(config)
    names = config.topics.names
    await log.ensure_topics(names.specs())
    await publish(log, names.full(Topic.REGISTRY), [sink])
    async with log.sender() as sender:
        for first in range(0, ROWS, BATCH):
            await sender.send(names.full(Topic.OBJECTS), [_record(number) for number in range(first, first + BATCH)])


def _record(number: int) -> NewRecord:
    message = object_write(number, 1)
    known = (
        (headers.FORMAT, headers.FORMAT_VERSION),
        (headers.SOURCE, message.source.encode()),
        (headers.MESSAGE_ID, message.write.message_id.encode()),
    )
    return NewRecord(encode(message.write), f"crm/deals/{message.write.id}".encode(), known)


def rows(database: Database) -> int:
    if "crm.deals" not in database.tables():
        return 0
    ((count,),) = database.query("SELECT count(*) FROM crm.deals")
    return int(count)
