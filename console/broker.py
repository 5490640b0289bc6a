"""A managed single-node Kafka on this machine, for `hookmill dev --kafka local`, the tests and the bench."""

import asyncio
import base64
import contextlib
import os
import signal
import subprocess
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from console.kafka_parts import find_jars, find_java
from console.ports import free_port
from hookmill.config import KafkaConfig
from hookmill.errors import ConfigError, LogUnavailable
from hookmill.log.kafka import wait_until_ready
from hookmill.telemetry import get_logger
from hookmill.topics import MAX_RECORD_BYTES

log = get_logger(__name__)

_READY_S = 120.0
"""Seen: 3 to 5 s on two idle cores, over a minute on two with ten times the work they can do."""
_STOP_S = 15.0
"""Seen: 2 s from SIGTERM to the end."""
_FORMAT_S = 120.0
_POLL_S = 0.05
_LOG_TAIL_LINES = 15

_FIXED_PROPERTIES = {
    "process.roles": "broker,controller",
    "node.id": "1",
    "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT",
    "controller.listener.names": "CONTROLLER",
    "num.partitions": "4",
    "auto.create.topics.enable": "false",
    "offsets.topic.replication.factor": "1",
    "offsets.topic.num.partitions": "4",
    "transaction.state.log.replication.factor": "1",
    "transaction.state.log.min.isr": "1",
    "transaction.state.log.num.partitions": "4",
    "share.coordinator.state.topic.replication.factor": "1",
    "share.coordinator.state.topic.min.isr": "1",
    "share.coordinator.state.topic.num.partitions": "2",
    "group.initial.rebalance.delay.ms": "0",
    "message.max.bytes": str(MAX_RECORD_BYTES + 524_288),
    "replica.fetch.max.bytes": str(MAX_RECORD_BYTES + 524_288),
    # With the defaults a node that was killed waits 12 s at its next start for its old session to end.
    "broker.session.timeout.ms": "2000",
    "broker.heartbeat.interval.ms": "500",
}


@dataclass(frozen=True)
class Seat:
    """A node's place in a cluster of several on this machine."""

    node_id: int
    cluster_id: str
    """As of `new_cluster_id`; the same for all nodes."""
    controller_ports: Mapping[int, int]
    """By node id; the same for all nodes."""


class LocalKafka:
    """One Kafka node on loopback, its data under `data_dir`, which keeps what was sent over stops and starts.

    As a context manager or by `start` and `stop`; `start` again after `stop` or `kill` uses the same port.
    `properties` overrule those of `server.properties`. With a `seat` it is one of several, and ready when most of them
    run. Blocks for seconds: within an event loop call it in a thread.
    The broker ends with the process that started it, however that ends.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        properties: Mapping[str, str] | None = None,
        port: int | None = None,
        max_heap_mb: int = 512,
        seat: Seat | None = None,
    ) -> None:
        self._data_dir = data_dir.absolute()
        self._properties = dict(properties or {})
        self._port = port
        self._max_heap_mb = max_heap_mb
        self._seat = seat
        self._java: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect; known from the first `start` on."""
        if self._port is None:
            raise ConfigError("The local Kafka has no address before it was started.")
        return f"127.0.0.1:{self._port}"

    @property
    def pid(self) -> int | None:
        """Of the broker, while it runs."""
        return self._java.pid if self._java else None

    @property
    def log_file(self) -> Path:
        """What the broker says."""
        return self._data_dir / "broker.log"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """The broker answers and coordinates groups.

        Errors: `ConfigError` when Java or Kafka cannot be had, the folder cannot be used, or the broker does not come
        up; the text ends with the last lines of its log.
        """
        java, jars = find_java(), find_jars()
        self._write_properties()
        if not (self._kafka_dir / "meta.properties").exists():
            self._format(java, jars)
        self._launch(java, jars)
        try:
            asyncio.run(self._until_ready())
        except BaseException:
            self.kill()
            raise
        log.info("kafka.started", bootstrap_servers=self.bootstrap_servers, data_dir=str(self._data_dir))

    def stop(self) -> None:
        """The broker has shut down in order, or was killed after a deadline."""
        if self._java is not None:
            self._java.send_signal(signal.SIGTERM)
            try:
                self._java.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                log.warning("kafka.stop_overdue", after_s=_STOP_S, log_file=str(self.log_file))
        self.kill()

    def kill(self) -> None:
        """The broker is gone at once (SIGKILL), as in a crash; what it acknowledged is still in `data_dir`."""
        for process in (self._java, self._guard):
            if process is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                if process.stdin is not None:
                    process.stdin.close()
        self._java = self._guard = None

    @property
    def _kafka_dir(self) -> Path:
        return self._data_dir / "data"

    @property
    def _properties_file(self) -> Path:
        return self._data_dir / "server.properties"

    def _write_properties(self) -> None:
        self._port = self._port or free_port()
        controller, quorum = self._quorum()
        properties = {
            **_FIXED_PROPERTIES,
            **quorum,
            "listeners": f"PLAINTEXT://{self.bootstrap_servers},CONTROLLER://{controller}",
            "advertised.listeners": f"PLAINTEXT://{self.bootstrap_servers}",
            "log.dirs": str(self._kafka_dir),
            **self._properties,
        }
        try:
            self._data_dir.mkdir(parents=True, exist_ok=True)
            self._properties_file.write_text("".join(f"{name}={value}\n" for name, value in properties.items()))
        except OSError as error:
            raise ConfigError(f"The local Kafka cannot use the folder {self._data_dir}: {error.strerror}.") from None

    def _quorum(self) -> tuple[str, Mapping[str, str]]:
        """Address of this node's controller, and the properties that name all of them."""
        if self._seat is None:
            controller = f"127.0.0.1:{free_port(besides=self._port)}"
            # Needed even for a node that is formatted as standalone.
            return controller, {"controller.quorum.bootstrap.servers": controller}
        node_id, ports = self._seat.node_id, self._seat.controller_ports
        voters = ",".join(f"{voter}@127.0.0.1:{port}" for voter, port in ports.items())
        return f"127.0.0.1:{ports[node_id]}", {"node.id": str(node_id), "controller.quorum.voters": voters}

    def _format(self, java: Path, jars: Path) -> None:
        """The storage has a cluster id and the formats of this Kafka version; done once, else data would be refused."""
        kind = ["--standalone", "-t", new_cluster_id()] if self._seat is None else ["-t", self._seat.cluster_id]
        arguments = ["format", *kind, "-c", str(self._properties_file)]
        command = [*self._java_command(java, jars), "kafka.tools.StorageTool", *arguments]
        with self.log_file.open("ab") as output:
            done = subprocess.run(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, timeout=_FORMAT_S, check=False
            )
        if done.returncode != 0:
            raise ConfigError(f"The storage of the local Kafka could not be formatted.\n{self._log_tail()}")

    def _launch(self, java: Path, jars: Path) -> None:
        command = [*self._java_command(java, jars), "kafka.Kafka", str(self._properties_file)]
        with self.log_file.open("ab") as output:
            self._java = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True
            )
        self._guard = _guard(self._java.pid)

    def _java_command(self, java: Path, jars: Path) -> list[str]:
        heap = [f"-Xms{min(256, self._max_heap_mb)}m", f"-Xmx{self._max_heap_mb}m"]
        quiet = "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
        return [str(java), *heap, "-XX:+UseG1GC", quiet, "-cp", f"{jars}/*"]

    async def _until_ready(self) -> None:
        config = KafkaConfig(bootstrap_servers=self.bootstrap_servers)
        ready = asyncio.create_task(wait_until_ready(config, _READY_S))
        try:
            while not ready.done():
                if self._java is None or self._java.poll() is not None:
                    raise ConfigError(f"The local Kafka ended while starting.\n{self._log_tail()}")
                await asyncio.wait({ready}, timeout=_POLL_S)
            ready.result()
        except LogUnavailable as error:
            raise ConfigError(f"The local Kafka is not ready after {_READY_S:.0f} s.\n{self._log_tail()}") from error
        finally:
            ready.cancel()
            await asyncio.wait({ready})

    def _log_tail(self) -> str:
        lines = self.log_file.read_text(errors="replace").splitlines()
        return "\n".join([f"Last lines of {self.log_file}:", *lines[-_LOG_TAIL_LINES:]])


def new_cluster_id() -> str:
    """An id in the form of Kafka's."""
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "_")


def _guard(process_group: int) -> subprocess.Popen[bytes]:
    """A process that kills `process_group` when this one is gone, however it went.

    It waits on a pipe whose other end we hold. Linux' parent-death signal would be simpler, but it comes when the
    starting *thread* ends, and no other system has it.
    """
    script = 'read -r line; kill -KILL "-$1"'
    return subprocess.Popen(  # noqa: S603
        ["/bin/sh", "-c", script, "guard", str(process_group)], stdin=subprocess.PIPE, start_new_session=True
    )
