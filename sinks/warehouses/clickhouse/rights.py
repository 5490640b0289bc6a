"""What the user of a ClickHouse warehouse may not do there, with the SQL that lets it; and a trial of the rest."""

from typing import Final

from clickhouse_connect.driver.client import Client
from clickhouse_connect.driver.exceptions import DatabaseError

from sinks.warehouses.clickhouse.statements import quoted

_RIGHTS: Final = (
    "SELECT",
    "INSERT",
    "ALTER ADD COLUMN",
    "ALTER DELETE",
    "CREATE TABLE",
    "CREATE VIEW",
    "DROP TABLE",
    "DROP VIEW",
)
"""`DROP VIEW` for `CREATE OR REPLACE VIEW`, `DROP TABLE` for the trial alone."""

_SYNTAX_ERROR: Final = 62
_SCRATCH: Final = "_hookmill_check"
_TRIAL: Final = (
    f"CREATE TABLE IF NOT EXISTS {_SCRATCH} (`id` String) ENGINE = MergeTree ORDER BY `id`",
    f"INSERT INTO {_SCRATCH} VALUES ('1')",
    f"CREATE OR REPLACE VIEW {_SCRATCH}_view AS SELECT `id` FROM {_SCRATCH}",
    f"DROP VIEW {_SCRATCH}_view",
    f"DROP TABLE {_SCRATCH}",
)

# ruff: noqa: S608 above are constants


def what_is_missing(client: Client) -> list[str]:
    """A sentence for each right that is missing; when none is, a table was made, written and dropped.

    Errors: the server's.
    """
    ((database, user),) = client.query("SELECT currentDatabase(), currentUser()").result_rows
    where = f"{quoted(database)}.*"
    missing = [right for right in _RIGHTS if not _is_granted(client, right, where)]
    if missing:
        return [f"A right is missing: GRANT {', '.join(missing)} ON {where} TO {quoted(user)};"]
    for statement in _TRIAL:
        client.command(statement)
    return []


def _is_granted(client: Client, right: str, where: str) -> bool:
    """Servers before 24.11 cannot tell: there the trial does."""
    try:
        return bool(client.command(f"CHECK GRANT {right} ON {where}"))
    except DatabaseError as error:
        if error.code != _SYNTAX_ERROR:
            raise
        return True
