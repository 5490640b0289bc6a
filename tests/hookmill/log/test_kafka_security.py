"""TLS and SASL against a real Kafka that asks for both."""

import gc
import subprocess
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from console.broker import LocalKafka
from console.kafka_parts import find_java
from hookmill.config import KafkaConfig
from hookmill.errors import LogUnavailable
from hookmill.log.kafka import KafkaLog
from hookmill.records import NewRecord
from hookmill.topics import DAY_MS, TopicSpec
from tests.processes import free_port

pytestmark = [
    pytest.mark.kafka,
    # aiokafka 0.14 closes its first connection without waiting for it; over TLS the farewell of a busy broker can come
    # after the end of the test's event loop.
    pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning"),
]

SPEC = TopicSpec("t", 1, DAY_MS)
PASSWORD = "canary-of-alice"
STORE_PASSWORD = "changeit"


@dataclass(frozen=True)
class Guarded:
    """Where the guarded listener is, and whom to trust."""

    address: str
    authority: Path

    def config(self, **changes: object) -> KafkaConfig:
        right = KafkaConfig(
            bootstrap_servers=self.address,
            security_protocol="SASL_SSL",
            sasl_username="alice",
            sasl_password=SecretStr(PASSWORD),
            ssl_ca_file=self.authority,
            connect_timeout_s=30,  # the first handshake of a broker takes long
        )
        return right.model_copy(update=changes)


@pytest.fixture(scope="module")
def guarded(kafka_bootstrap: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Guarded]:
    folder = tmp_path_factory.mktemp("guarded")
    store, authority = _certificate(folder)
    plain, secure, controller = (f"127.0.0.1:{free_port()}" for _ in range(3))
    listeners = f"PLAINTEXT://{plain},SECURE://{secure}"
    login = f'org.apache.kafka.common.security.plain.PlainLoginModule required user_alice="{PASSWORD}";'
    properties = {
        "listeners": f"{listeners},CONTROLLER://{controller}",
        "advertised.listeners": listeners,
        "controller.quorum.bootstrap.servers": controller,
        "inter.broker.listener.name": "PLAINTEXT",
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT,SECURE:SASL_SSL",
        "listener.name.secure.sasl.enabled.mechanisms": "PLAIN",
        "listener.name.secure.plain.sasl.jaas.config": login,
        "listener.name.secure.ssl.keystore.location": str(store),
        "listener.name.secure.ssl.keystore.password": STORE_PASSWORD,
        "listener.name.secure.ssl.keystore.type": "PKCS12",
    }
    with LocalKafka(folder / "kafka", properties=properties, port=int(plain.split(":")[1]), max_heap_mb=256):
        yield Guarded(secure, authority)
    with warnings.catch_warnings(action="ignore", category=ResourceWarning):
        gc.collect()  # before another test is blamed for what the filter above lets pass


async def test_the_right_password_over_tls_sends_and_reads(guarded: Guarded) -> None:
    log = KafkaLog(guarded.config())
    await log.ensure_topics([SPEC])
    async with log.sender() as sender:
        await sender.send("t", [NewRecord(b"x")])

    async with log.reader(["t"], group=None) as reader:
        assert list((await reader.end_positions()).values()) == [1]


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"sasl_password": SecretStr("canary-of-mallory")}, id="password"),
        pytest.param({"ssl_ca_file": None}, id="unknown authority"),
        pytest.param({"security_protocol": "PLAINTEXT"}, id="no TLS"),
        pytest.param({"security_protocol": "SASL_PLAINTEXT"}, id="SASL without TLS"),
    ],
)
async def test_whoever_is_not_let_in_gets_a_clear_error_without_secrets(
    guarded: Guarded, wrong: dict[str, object], caplog: pytest.LogCaptureFixture
) -> None:
    log = KafkaLog(guarded.config(**wrong, connect_timeout_s=3))

    with pytest.raises(LogUnavailable, match="did not let us in") as refusal:
        async with log.sender():
            pass

    assert guarded.address in str(refusal.value)
    assert "canary" not in f"{refusal.value} {refusal.value.__cause__!r} {caplog.text}"


def _certificate(folder: Path) -> tuple[Path, Path]:
    """A key store for the broker, and its self-signed certificate as the authority to trust."""
    store, authority = folder / "broker.p12", folder / "authority.pem"
    keytool = find_java().resolve().with_name("keytool")
    common = ["-keystore", store, "-storetype", "PKCS12", "-storepass", STORE_PASSWORD, "-alias", "broker"]
    name = ["-dname", "CN=localhost", "-ext", "san=ip:127.0.0.1", "-ext", "bc:c", "-keyalg", "EC", "-validity", "2"]
    subprocess.run([keytool, "-genkeypair", *common, *name], check=True, capture_output=True, timeout=60)
    subprocess.run(
        [keytool, "-exportcert", "-rfc", "-file", authority, *common], check=True, capture_output=True, timeout=60
    )
    return store, authority
