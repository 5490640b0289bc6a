"""The stories of the quickstart in PostgreSQL: the queries of the README give what the webhooks said."""

import contextlib
import copy
import json
import re
import shutil
import urllib.request
from pathlib import Path
from typing import Any

import psycopg
import pytest

from tests.postgres_server import PASSWORD, PASSWORD_ENV, Database, PostgresServer
from tests.processes import QUICKSTART, ROOT, Process, dev_urls, started, wait_until

EXPECTED = [
    [("A-1", "ann@example.com", 129.9, "EUR"), ("A-2", "bob@example.com", 7.5, "EUR")],
    [("102", "Won", 20)],
    [("ann@example.com", 29.9, 100.0), ("bob@example.com", 7.5, None)],
]
"""Lifetime values, won deals, revenue by channel."""


@pytest.fixture
def database(postgres_server: PostgresServer) -> Database:
    return postgres_server.empty_database()


def example(source: str) -> dict[str, Any]:
    """The body of the source's example."""
    (file,) = (QUICKSTART / "sources" / source / "examples").iterdir()
    body: dict[str, Any] = json.loads(file.read_text())["body"]
    return body


def payment(account: str, email: str, number: str, channel: str, *amounts: float) -> dict[str, Any]:
    """A callout after the last of these payments, which settled an invoice."""
    body = copy.deepcopy(example("zuora"))
    payments = [{"paymentNumber": f"P-{n}", "amount": amount} for n, amount in enumerate(amounts)]
    body["account"] |= {"accountNumber": account, "billToEmail": email, "payments": payments}
    body["invoice"] |= {"invoiceNumber": number, "amount": amounts[-1], "salesChannel": channel}
    return body


def deal(number: int, status: str, previous: str, title: str) -> dict[str, Any]:
    body = copy.deepcopy(example("pipedrive"))
    body["current"] |= {"id": number, "status": status, "title": title, "person_id": 100 + number, "value": number * 10}
    body["previous"] |= {"id": number, "status": previous}
    return body


def post(url: str, body: dict[str, Any]) -> None:
    with urllib.request.urlopen(url, json.dumps(body).encode(), timeout=30) as answer:
        assert answer.status == 202


def queries() -> list[str]:
    """Of the README."""
    return re.findall(r"```sql\n(.+?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def answers(database: Database) -> list[list[Any]]:
    """What the queries give; nothing while their tables are not there yet."""
    try:
        return [database.query(query) for query in queries()]
    except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn):
        return []


def test_the_queries_of_the_readme_answer_what_the_sources_know(database: Database, tmp_path: Path) -> None:
    project = shutil.copytree(QUICKSTART, tmp_path / "project", ignore=shutil.ignore_patterns(".hookmill"))
    address = database.address().parameters
    url = f"postgresql://{address['user']}@{address['host']}:{address['port']}/{address['dbname']}"
    options = f'kind = "postgres"\nurl = "{url}"\npassword_env = "{PASSWORD_ENV}"'
    (project / "sinks.toml").write_text(f"[warehouse]\n{options}\n")
    process = Process(["dev", str(project), "--port", "0"], tmp_path / "dev", {PASSWORD_ENV: PASSWORD})

    with started(process):
        urls = dev_urls(process)
        post(urls["Zuora"], payment("A-1", "ann@example.com", "INV-1", "web", 100.0))
        post(urls["Zuora"], payment("A-2", "bob@example.com", "INV-2", "mobile", 7.5))
        post(urls["Zuora"], payment("A-1", "ann@example.com", "INV-3", "mobile", 100.0, 29.9))
        post(urls["Pipedrive"], deal(1, "open", "open", "Not won"))
        post(urls["Pipedrive"], deal(2, "won", "open", "Won"))
        post(urls["Pipedrive"], deal(2, "won", "won", "Won before"))
        post(urls["Drift"], example("drift"))
        with contextlib.suppress(AssertionError):  # the comparison below says more
            wait_until(lambda: answers(database) == EXPECTED, 60, "all is in the database")
        process.stop()

    assert answers(database) == EXPECTED
    assert len(database.rows("drift", "contacts")) == 1
