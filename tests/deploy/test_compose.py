"""The compose file without Docker: every command line of it runs as a process, against a Kafka with its settings."""

import contextlib
import importlib.util
import json
import os
import re
import shlex
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import jsonschema
import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from hookmill.config import Config
from hookmill.errors import ConfigError
from hookmill.topics import MAX_RECORD_BYTES, TopicNames
from tests.deploy.compose_file import COMPOSE, Machine, our_services, read_yaml, services
from tests.deploy.compose_kafka import running_kafka, settings
from tests.kafka_admin import kafka_admin
from tests.processes import QUICKSTART, ROOT, Process, free_port, run_hookmill, started, wait_until

STAGES = ("ingest", "process", "sink", "mover")
JOBS = ("topics", "apply")
ADMIN_PORTS = {"ingest": 8081, "process": 8082, "sink": 8083, "mover": 8084}


def test_the_file_follows_the_compose_specification() -> None:
    """With the schema of check-jsonschema 0.38, whose command does not start: it needs click 8.4, Faust click < 8.4."""
    package = importlib.util.find_spec("check_jsonschema")
    assert package is not None
    assert package.submodule_search_locations is not None
    folder = Path(package.submodule_search_locations[0])
    schema = json.loads((folder / "builtin_schemas" / "vendor" / "compose-spec.json").read_text())

    jsonschema.Draft202012Validator(schema).validate(read_yaml(COMPOSE))


def test_every_service_of_ours_is_run_by_these_tests() -> None:
    assert set(our_services()) == {*JOBS, *STAGES}


def test_ports_are_open_to_this_machine_only() -> None:
    published = [port for service in services().values() for port in service.get("ports", ())]

    assert published
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_files_of_the_repository_that_are_mounted_exist() -> None:
    volumes = [volume for service in services().values() for volume in service.get("volumes", ())]
    mounted = [volume.split(":")[0] for volume in volumes if volume.startswith("./")]

    assert mounted
    assert [path for path in mounted if not (ROOT / path).exists()] == []


def test_named_volumes_are_declared() -> None:
    volumes = [volume for service in services().values() for volume in service.get("volumes", ())]
    named = {volume.split(":")[0] for volume in volumes if not volume.startswith("./")}

    assert named == set(read_yaml(COMPOSE)["volumes"])


def test_kafka_takes_the_largest_record() -> None:
    environment = services()["kafka"]["environment"]

    assert environment["KAFKA_MESSAGE_MAX_BYTES"] > MAX_RECORD_BYTES
    assert environment["KAFKA_REPLICA_FETCH_MAX_BYTES"] >= environment["KAFKA_MESSAGE_MAX_BYTES"]


def test_stages_get_more_time_to_stop_than_they_take_to_drain() -> None:
    config = Config()
    longest_s = max(part.drain_timeout_s for part in (config.ingest, config.processors, config.sinks))

    for stage in STAGES:
        assert int(services()[stage]["stop_grace_period"].removesuffix("s")) > longest_s


@pytest.fixture(scope="module")
def listeners(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """Addresses of the Kafka of the compose file, by name of the listener."""
    with contextlib.ExitStack() as stack:
        try:
            addresses = stack.enter_context(running_kafka(tmp_path_factory.mktemp("kafka")))
        except ConfigError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(str(error))
        yield addresses


@pytest.fixture
def machine(listeners: dict[str, str], tmp_path: Path) -> Machine:
    """Folders and addresses of this machine for those of the containers."""
    project = tmp_path / "project"
    shutil.copytree(QUICKSTART, project, ignore=shutil.ignore_patterns(".hookmill"))
    return Machine(
        {
            "kafka:9092": listeners["INTERNAL"],
            "http://ingest:8080": f"http://127.0.0.1:{free_port()}",
            "0.0.0.0": "127.0.0.1",
            "/project": str(project),
            "/data": str(tmp_path / "data"),
        }
    )


@pytest.mark.kafka
def test_the_commands_of_all_services_take_a_webhook_to_its_row(machine: Machine, tmp_path: Path) -> None:
    ensured, topics = run_hookmill(*machine.command("topics"), env=machine.environment("topics"))
    assert ensured == 0, topics
    assert [spec.name for spec in TopicNames().specs() if f'"{spec.name}"' not in topics] == []

    applied, published = run_hookmill(*machine.command("apply"), env=machine.environment("apply"))
    assert applied == 0, published
    assert "published source/pipedrive" in published

    processes = {stage: stage_process(machine, stage, tmp_path) for stage in STAGES}
    with started(*processes.values()):
        for stage, process in processes.items():
            assert probe(stage, process) == 0
        sent, answer = run_hookmill(*send_command(machine))
        assert sent == 0, answer
        warehouse = tmp_path / "data" / "warehouse.db"
        wait_until(lambda: deals_in(warehouse) == [("4211", "won")], 60, "the deal is a row of the warehouse")
        wait_until(lambda: "Deal Closed Won" in processes["sink"].stdout, 60, "the event is on the sink's stdout")
        stopped = {stage: process.stop() for stage, process in processes.items()}

    assert {stage: code for stage, (code, _) in stopped.items()} == dict.fromkeys(STAGES, 0)
    assert all("Traceback" not in process.stderr for process in processes.values())
    assert all(line.startswith("{") for process in processes.values() for line in process.stderr.splitlines())


def test_the_probe_of_a_stage_fails_while_nothing_answers(tmp_path: Path) -> None:
    nobody = Process([], tmp_path / "nobody")
    nobody.admin = f"http://127.0.0.1:{free_port()}"

    assert [stage for stage in STAGES if probe(stage, nobody) == 0] == []


@pytest.mark.kafka
async def test_kafka_knows_every_setting_of_the_file(listeners: dict[str, str]) -> None:
    """It takes unknown names in silence, but reports them without a value: they could be secrets."""
    async with kafka_admin(listeners["INTERNAL"]) as admin:
        [answer] = await admin.describe_configs([ConfigResource(ConfigResourceType.BROKER, "1")])
    values = {entry[0]: entry[1] for entry in answer.resources[0][4]}

    assert [name for name in settings() if not values.get(name)] == []


@pytest.mark.kafka
def test_kafka_is_reached_from_the_host_by_its_own_listener(listeners: dict[str, str]) -> None:
    """Its advertised address must be that of the host: the name `kafka` is known to the containers only."""
    code, output = run_hookmill("topics", "ensure", "--bootstrap-servers", listeners["HOST"], "--topic-prefix", "host.")

    assert code == 0, output
    assert "host.webhooks" in output


def stage_process(machine: Machine, stage: str, folder: Path) -> Process:
    port = machine.text("http://ingest:8080").rpartition(":")[2]
    environment = {**machine.environment(stage), "HOOKMILL_INGEST__PORT": port}
    return Process(machine.command(stage), folder / stage, environment)


def probe(stage: str, process: Process) -> int:
    """Exit code of the health check of the stage, asked of the process."""
    kind, python, *arguments = services()[stage]["healthcheck"]["test"]
    assert (kind, python) == ("CMD", "python")
    inside = f"http://127.0.0.1:{ADMIN_PORTS[stage]}/readyz"
    assert inside in arguments[-1]
    here = [argument.replace(inside, f"{process.admin}/readyz") for argument in arguments]
    return subprocess.run([sys.executable, *here], stderr=subprocess.DEVNULL, timeout=60, check=False).returncode


def send_command(machine: Machine) -> list[str]:
    """The command that the head of the file offers to send a sample."""
    line = re.search(r"docker compose run --rm apply (send .*)", COMPOSE.read_text())
    assert line is not None
    return machine.arguments(shlex.split(line.group(1)))


def deals_in(warehouse: Path) -> list[tuple[str, str]]:
    if not warehouse.exists():
        return []
    with closing(sqlite3.connect(warehouse)) as connection:
        try:
            return connection.execute("SELECT id, status FROM pipedrive__deals").fetchall()
        except sqlite3.OperationalError:  # the table is made with the first row
            return []
