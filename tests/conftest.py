"""Parts of the real world that several tests share."""

import contextlib
import os
import random
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from console.broker import LocalKafka
from hookmill.errors import ConfigError
from tests.clickhouse_engine import ClickHouseEngine
from tests.disks import small_file_system
from tests.postgres_server import PASSWORD, PASSWORD_ENV, PostgresServer
from tests.processes import or_skip
from tests.s3_server import S3Server

# A Kafka of tests lives for minutes: the second compiler of the JVM takes more time than it saves.
os.environ.setdefault("JAVA_TOOL_OPTIONS", "-XX:TieredStopAtLevel=1")

# In the background of a script Ctrl-C is ignored, and would be by every process that a test starts to interrupt it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_QUICK_HOUSEKEEPING = {
    "log.initial.task.delay.ms": "500",
    "log.retention.check.interval.ms": "3000",
    "log.cleaner.backoff.ms": "1000",
}
"""Retention and compaction act within seconds of their time, so that tests can watch them."""

_MARKERS = {"s3_server": "s3", "listeners": "deploy", "prometheus": "deploy"}
"""By the fixture that starts a server."""

_SHARED_KAFKA = pytest.StashKey[str]()


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests are marked by the server that they start, and run where it runs already."""
    for item in items:
        for fixture in _MARKERS.keys() & getattr(item, "fixturenames", ()):
            item.add_marker(_MARKERS[fixture])
            item.add_marker(pytest.mark.xdist_group(fixture))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """The workers of pytest-xdist share one Kafka: each would take a twelfth of a processor while nobody asks it."""
    config: pytest.Config = node.config
    if _SHARED_KAFKA not in config.stash:
        with contextlib.ExitStack() as stack:
            broker = _new_kafka(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="hookmill-tests-"))))
            try:
                broker.start()
            except ConfigError:
                return  # a worker that needs one will say why there is none
            stack.callback(broker.kill)  # nobody needs what is on it any more
            config.stash[_SHARED_KAFKA] = broker.bootstrap_servers
            config.add_cleanup(stack.pop_all().close)
    node.workerinput["kafka_bootstrap"] = config.stash[_SHARED_KAFKA]


@pytest.fixture(scope="session")
def kafka_bootstrap(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """`host:port` of a Kafka that all tests share: name your own topics and groups.

    Where Java or Kafka cannot be had, the test is skipped with the words of what to install; in CI it fails.
    """
    shared = getattr(request.config, "workerinput", {}).get("kafka_bootstrap")
    if shared is not None:
        yield shared
        return
    broker = _new_kafka(tmp_path_factory.mktemp("kafka"))
    or_skip(broker.start)
    try:
        yield broker.bootstrap_servers
    finally:
        broker.kill()


def _new_kafka(folder: Path) -> LocalKafka:
    return LocalKafka(folder, properties=_QUICK_HOUSEKEEPING, max_heap_mb=512)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """A PostgreSQL that all tests share: take a database of your own. Without its programs as for Kafka."""
    server = or_skip(PostgresServer)
    try:
        server.start()
        with pytest.MonkeyPatch.context() as environment:
            environment.setenv(PASSWORD_ENV, PASSWORD)
            yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def clickhouse_engine(tmp_path_factory: pytest.TempPathFactory) -> ClickHouseEngine:
    """A ClickHouse that all tests of the process share: take a database of your own."""
    return or_skip(lambda: ClickHouseEngine(tmp_path_factory.mktemp("clickhouse")))


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    """A server of S3 that all tests share: take a bucket of your own."""
    server = or_skip(S3Server)
    try:
        server.start()
        with pytest.MonkeyPatch.context() as environment:
            server.set_credentials(environment)
            yield server
    finally:
        server.stop()


@pytest.fixture
def seed() -> int:
    """Of what a test does at random. Printed; `TEST_SEED` repeats it."""
    # Not HOOKMILL_...: an option that is not known is refused.
    seed = int(os.environ.get("TEST_SEED", random.randrange(1_000_000)))
    print("TEST_SEED", seed)
    return seed


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The folder of a file system of 16 MiB. Where none can be mounted as for Kafka."""
    with small_file_system(tmp_path) as mount:
        yield mount
