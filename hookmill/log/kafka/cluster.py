"""Where a Kafka cluster is and how to get in: client options, the first connection, deadlines on every call."""

import asyncio
import contextlib
import math
import os
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiokafka.conn import collect_hosts
from aiokafka.errors import KafkaError

from hookmill.config import KafkaConfig
from hookmill.errors import ConfigError, LogUnavailable
from hookmill.log.kafka.connections import closing_if_failed, repair_connections
from hookmill.telemetry import get_logger

log = get_logger(__name__)

CLOSE_S = 5.0
"""Deadline for giving up connections; aiokafka may wait for ever for brokers that are away (its issue 659)."""

_SETTING = "HOOKMILL_KAFKA__BOOTSTRAP_SERVERS"
_KNOCK_PAUSE_S = 0.25
_PATIENCE_S = 5.0
"""After so long a person should know what is waited for; a broker that starts takes 3 to 5 s."""


class Cluster:
    """One Kafka cluster as configured. Holds no connection."""

    def __init__(self, config: KafkaConfig) -> None:
        repair_connections()
        self.config = config
        self._options: dict[str, Any] | None = None

    def __str__(self) -> str:
        return f"Kafka at {self.config.bootstrap_servers}"

    def options(self) -> dict[str, Any]:
        """What every aiokafka client is made with.

        Errors: `ConfigError` for servers that are no addresses, and when the file of the authorities cannot be read.
        """
        if self._options is None:
            self._servers()
            password = self.config.sasl_password
            self._options = {
                "bootstrap_servers": self.config.bootstrap_servers,
                "client_id": "hookmill",
                "security_protocol": self.config.security_protocol,
                "sasl_mechanism": self.config.sasl_mechanism,
                "sasl_plain_username": self.config.sasl_username,
                "sasl_plain_password": password.get_secret_value() if password else None,
                "ssl_context": self._ssl_context(),
            }
        return self._options

    async def open(self, start: Callable[[], Awaitable[object]], close: Callable[[], Awaitable[object]]) -> None:
        """`start` is done; when it fails or takes too long, `close` as well.

        Waits for a broker that is not there yet until the deadline of the first connection.

        Errors: `LogUnavailable` naming the servers and the setting.
        """
        try:
            async with self.within(self.config.connect_timeout_s, "let us in"):
                await self._until_listening()
                with closing_if_failed():
                    await start()
        except BaseException:
            await finished_within(CLOSE_S, close())
            raise

    @contextlib.asynccontextmanager
    async def within(self, seconds: float, verb: str) -> AsyncIterator[None]:
        """The block ends in time and speaks of the cluster in our errors.

        Errors: `LogUnavailable` for a deadline or an error of Kafka that the block did not handle.
        """
        try:
            async with asyncio.timeout(seconds):
                yield
        except TimeoutError as error:
            raise LogUnavailable(f"{self} did not {verb} within {seconds:g} s. {self._advice()}") from error
        except KafkaError as error:
            raise LogUnavailable(f"{self} did not {verb}: {explain(error)}. {self._advice()}") from error

    async def _until_listening(self) -> None:
        """Some broker accepts connections.

        aiokafka gives up at the first refusal, and says so in its own log; a quiet knock first spares both.
        """
        servers = self._servers()
        began = time.monotonic()
        ends_at = began + self.config.connect_timeout_s - _KNOCK_PAUSE_S
        warns_at = began + _PATIENCE_S
        while True:
            for host, port, _ in servers:
                try:
                    _, writer = await asyncio.open_connection(host, port)
                except OSError as error:
                    # asyncio puts a text of its own where uvloop has the system's
                    has_number = error.errno is not None and error.errno > 0
                    reason = os.strerror(error.errno or 0) if has_number else error.strerror or str(error)
                else:
                    writer.close()
                    return
            if time.monotonic() >= ends_at:
                raise LogUnavailable(f"{self} cannot be reached: {reason}. {self._advice()}")
            if time.monotonic() >= warns_at:
                log.warning("kafka.waiting", servers=self.config.bootstrap_servers, error=reason)
                warns_at = math.inf
            await asyncio.sleep(_KNOCK_PAUSE_S)

    def _servers(self) -> list[tuple[str, int, Any]]:
        try:
            servers: list[tuple[str, int, Any]] = collect_hosts(self.config.bootstrap_servers)
        except ValueError:
            servers = []
        if not servers or not all(host and 0 < port < 65_536 for host, port, _ in servers):
            raise ConfigError(
                f'{_SETTING} is "{self.config.bootstrap_servers}": expected host:port, several with commas.'
            )
        return servers

    def _advice(self) -> str:
        return f"Check that the brokers run and that {_SETTING} (--bootstrap-servers) names them."

    def _ssl_context(self) -> ssl.SSLContext | None:
        if "SSL" not in self.config.security_protocol.split("_"):
            return None
        try:
            return ssl.create_default_context(cafile=self.config.ssl_ca_file)
        except OSError as error:  # ssl.SSLError included
            raise ConfigError(f"HOOKMILL_KAFKA__SSL_CA_FILE {self.config.ssl_ca_file}: {error}.") from error


def explain(error: BaseException) -> str:
    """An error of aiokafka in a few words; many have no text of their own."""
    return str(error).rstrip(".") or type(error).__name__


async def finished_within(seconds: float, closing: Awaitable[object]) -> bool:
    """Whether `closing` came to an end in time; it is cancelled otherwise. Its errors are logged: nobody can act."""
    task = asyncio.ensure_future(closing)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    finally:
        task.cancel()
    if not done:
        await asyncio.wait({task}, timeout=seconds)
        return False
    if not task.cancelled() and (error := task.exception()) is not None:
        log.warning("kafka.close_failed", error=repr(error))
    return True
