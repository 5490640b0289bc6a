"""The broker that the compose file describes, started without Docker: as its image does, on ports of this machine."""

import asyncio
import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from console.kafka_parts import find_jars, find_java
from hookmill.config import KafkaConfig
from hookmill.log.kafka import wait_until_ready
from tests.deploy.compose_file import Machine, services
from tests.processes import free_port

STOP_DEADLINE_S = 60.0


@contextlib.contextmanager
def running_kafka(folder: Path) -> Iterator[dict[str, str]]:
    """Runs while the context is open. Yields the address of each listener by its name.

    Errors: `ConfigError` where Java or Kafka cannot be had.
    """
    java, jars = find_java(), find_jars()
    ports = {name: free_port() for name in ("INTERNAL", "CONTROLLER", "HOST")}
    properties = folder / "server.properties"
    properties.write_text("".join(f"{name}={value}\n" for name, value in server_properties(folder, ports).items()))
    command = [str(java), "-Xmx384m", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn", "-cp", f"{jars}/*"]
    cluster_id = services()["kafka"]["environment"]["CLUSTER_ID"]
    format_storage = ["kafka.tools.StorageTool", "format", f"--cluster-id={cluster_id}", "-c", str(properties)]
    with (folder / "broker.log").open("ab") as output:
        subprocess.run([*command, *format_storage], stdout=output, stderr=output, timeout=120, check=True)
        broker = subprocess.Popen([*command, "kafka.Kafka", str(properties)], stdout=output, stderr=output)
    try:
        asyncio.run(wait_until_ready(KafkaConfig(bootstrap_servers=f"127.0.0.1:{ports['INTERNAL']}"), 120.0))
        yield {name: f"127.0.0.1:{port}" for name, port in ports.items()}
    finally:
        broker.terminate()
        try:
            broker.wait(STOP_DEADLINE_S)
        finally:
            broker.kill()
            broker.wait()


def server_properties(folder: Path, ports: dict[str, int]) -> dict[str, str]:
    """The settings with addresses and folders of this machine."""
    here = Machine(
        {
            "kafka:": "127.0.0.1:",
            "//:": "//127.0.0.1:",
            ":9092": f":{ports['INTERNAL']}",
            ":9093": f":{ports['CONTROLLER']}",
            ":29092": f":{ports['HOST']}",
            "/var/lib/kafka/data": str(folder / "data"),
        }
    )
    return {name: here.text(value) for name, value in settings().items()}


def settings() -> dict[str, object]:
    """Kafka's settings in the compose file, under Kafka's names."""
    environment = services()["kafka"]["environment"]
    return {kafka_name(name): value for name, value in environment.items() if name.startswith("KAFKA_")}


def kafka_name(variable: str) -> str:
    """The setting of a variable of the image: no prefix, lower case, dots (its README)."""
    return variable.removeprefix("KAFKA_").lower().replace("_", ".")
