"""The quickstart as a newcomer runs it, on each log."""

import json
import shutil
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from tests.processes import QUICKSTART, Process, dev_urls, run_hookmill, started, wait_until

VOLATILE = {"messageId", "receivedAt", "timestamp", "sentAt", "originalTimestamp"}
VOLATILE_COLUMNS = {"id", "received_at", "timestamp", "original_timestamp", "sent_at", "uuid", "uuid_ts"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the quickstart without anybody's data."""
    return shutil.copytree(QUICKSTART, tmp_path / "project", ignore=shutil.ignore_patterns(".hookmill"))


def events_of(process: Process) -> list[dict[str, object]]:
    """The events on stdout without what differs from run to run, in a stable order."""
    events = [json.loads(line) for line in process.stdout.splitlines()]
    plain = [{name: value for name, value in event.items() if name not in VOLATILE} for event in events]
    return sorted(plain, key=lambda event: json.dumps(event, sort_keys=True))


def rows_of(project: Path) -> dict[str, list[dict[str, object]]]:
    """Every row of every user table without what differs from run to run."""
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_%' ESCAPE '\\'"
    with closing(sqlite3.connect(project / ".hookmill" / "warehouse.db")) as connection:
        connection.row_factory = sqlite3.Row
        names = [row["name"] for row in connection.execute(tables)]
        return {name: [plain_row(row, name) for row in connection.execute(f'SELECT * FROM "{name}"')] for name in names}


def plain_row(row: sqlite3.Row, table: str) -> dict[str, object]:
    is_object = table.endswith(("deals", "invoices", "contacts", "users"))
    volatile = VOLATILE_COLUMNS - ({"id"} if is_object else set())
    return {key: value for key, value in dict(row).items() if key not in volatile and not key.startswith("_")}


def test_dev_takes_samples_to_events_and_rows_and_keeps_them(project: Path, tmp_path: Path) -> None:
    first = Process(["dev", str(project), "--samples", "--port", "0"], tmp_path / "first")
    with started(first):
        wait_until(lambda: "warehouse now" in first.stderr, 60, "the rows of the samples are shown")
        wait_until(lambda: len(first.stdout.splitlines()) == 3, 60, "three events on stdout")
        urls = dev_urls(first)
        answer = subprocess.run(
            ["curl", "-s", "-X", "POST", "-H", "Content-Type: application/json", "-d", "{}", urls["Drift"]],
            capture_output=True,
            timeout=30,
            check=True,
        )
        request_id = json.loads(answer.stdout)["request_id"]
        wait_until(lambda: f"{request_id}  -> dead" in first.stderr, 60, "a line for the webhook sent by hand")
        code, seconds = first.stop(signal.SIGINT)

    assert code == 0
    assert seconds < 5
    assert sorted(urls) == ["Drift", "Pipedrive", "Zuora"]
    assert {event["type"] for event in events_of(first)} == {"track", "identify"}
    assert "Traceback" not in first.stderr

    rows = rows_of(project)
    second = Process(["dev", str(project), "--port", "0"], tmp_path / "second")
    with started(second):
        wait_until(lambda: "Ready." in second.stderr, 60, "the second run is ready")
        kept = second.stderr
        second.stop()

    assert "rows of earlier runs are in the warehouse" in kept
    assert rows_of(project) == rows


@pytest.mark.kafka
def test_kafka_and_the_embedded_log_give_the_same_rows_and_events(
    project: Path, tmp_path: Path, kafka_bootstrap: str
) -> None:
    results = []
    for name, options in (
        ("embedded", []),
        ("kafka", ["--bootstrap-servers", kafka_bootstrap, "--topic-prefix", "quick."]),
    ):
        folder = shutil.copytree(project, tmp_path / name)
        process = Process(["dev", str(folder), "--samples", "--port", "0", *options], tmp_path / f"run-{name}")
        with started(process):
            wait_until(lambda p=process: "warehouse now" in p.stderr, 60, "the rows of the samples are shown")
            wait_until(lambda p=process: len(p.stdout.splitlines()) == 3, 60, "three events on stdout")
            process.stop()
        results.append((events_of(process), rows_of(folder)))

    assert results[0] == results[1]
    assert len(results[0][0]) == 3
    assert {"pipedrive__deals", "zuora__invoices", "drift__contacts"} <= results[0][1].keys()


def test_saving_a_function_reloads_it_and_a_broken_one_is_not_taken(project: Path, tmp_path: Path) -> None:
    process = Process(["dev", str(project), "--port", "0"], tmp_path / "dev")
    function = project / "sources" / "drift" / "function.js"
    with started(process):
        url = dev_urls(process)["Drift"]
        function.write_text("async function onRequest( {")
        wait_until(lambda: "function.js:1: SyntaxError" in process.stderr, 60, "the broken function is refused")
        function.write_text("async function onRequest() { Segment.track({event: 'New', userId: 'u'}) }")
        wait_until(lambda: "Reloaded source/drift" in process.stderr, 60, "the new function is published")

        def new_code_runs() -> bool:
            subprocess.run(["curl", "-s", "-o", "/dev/null", "-d", "{}", url], timeout=30, check=True)
            return any(event["event"] == "New" for event in events_of(process))

        wait_until(new_code_runs, 60, "a webhook runs the new function")
        process.stop()

    assert "Not reloaded" in process.stderr


def test_a_project_made_by_init_runs_and_takes_what_send_posts(tmp_path: Path) -> None:
    folder = tmp_path / "my-project"
    code, output = run_hookmill("init", str(folder))
    assert code == 0, output
    process = Process(["dev", str(folder), "--port", "0"], tmp_path / "dev")
    with started(process):
        url = dev_urls(process)["Hello"].partition("/v1/")[0]

        code, output = run_hookmill("send", "hello", "--folder", str(folder), "--url", url)

        assert code == 0, output
        wait_until(lambda: "1 event, 1 object" in process.stderr and output.strip() in process.stderr, 60, "its line")
        wait_until(lambda: process.stdout != "", 60, "its event")
        process.stop()
    (event,) = events_of(process)
    assert event["properties"] == {"text": "Hello, ada"}
