"""What the user of a PostgreSQL warehouse may not do there, with the SQL that lets it; and a trial of the rest."""

from typing import Final

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from sinks.warehouses.postgres.statements import in_schema

_SESSION: Final = """\
SELECT current_database(), current_user, current_setting('transaction_read_only')::bool,
    has_database_privilege(current_database(), 'CREATE'), has_database_privilege(current_database(), 'TEMPORARY')"""
_SCHEMA: Final = """\
SELECT has_schema_privilege(oid, 'USAGE') AND has_schema_privilege(oid, 'CREATE')
FROM pg_namespace WHERE nspname = %s"""
_HAS_CATALOG: Final = "SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = '_hookmill_tables'"
_OUR_SCHEMAS: Final = 'SELECT DISTINCT "table_schema" FROM {schema}."_hookmill_tables"'
_HAS_HISTORIES: Final = "SELECT 1 FROM pg_tables WHERE schemaname = %s AND tablename = '_hookmill_histories'"
_FOREIGN: Final = """\
SELECT n.nspname, c.relname FROM {schema}."_hookmill_tables" AS t
JOIN pg_namespace AS n ON n.nspname = t."table_schema"
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname = t."table_name"
WHERE NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1, 2"""
"""Tables of ours that the user does not own: it could write them, but not give them columns."""
_FOREIGN_HISTORIES: Final = """\
SELECT n.nspname, c.relname, c.relkind = 'v' FROM {schema}."_hookmill_histories" AS t
JOIN pg_namespace AS n ON n.nspname = t."table_schema"
JOIN pg_class AS c ON c.relnamespace = n.oid AND c.relname IN (t."table_name", t."view_name")
WHERE NOT pg_has_role(c.relowner, 'USAGE') ORDER BY 1, 2"""
"""The same of histories, and their views: only the owner may make one anew."""

_SCRATCH: Final = "hookmill_check"


def what_is_missing(connection: psycopg.Connection, home: str, *, is_only_schema: bool) -> list[str]:
    """A sentence for each right that is missing. `home` is the schema of our bookkeeping, maybe the only one.

    When none is, a table was made and written, in `home` or in a new schema, and taken back. Errors: the server's.
    """
    row = connection.execute(_SESSION).fetchone()
    assert row is not None
    database, user, is_read_only, may_create, may_use_temporary = row
    if is_read_only:
        return ["The session is read-only: name the primary server, and a role without default_transaction_read_only."]
    schemas = _may_create_in(connection, {home})
    needs_schemas = not is_only_schema or home not in schemas
    grants = []
    if needs_schemas and not may_create:
        grants.append(SQL("GRANT CREATE ON DATABASE {} TO {};").format(Identifier(database), Identifier(user)))
    if not may_use_temporary:
        grants.append(SQL("GRANT TEMPORARY ON DATABASE {} TO {};").format(Identifier(database), Identifier(user)))
    if schemas.get(home) and connection.execute(_HAS_CATALOG, [home]).fetchone():
        ours = connection.execute(in_schema(_OUR_SCHEMAS, home)).fetchall()
        schemas |= _may_create_in(connection, {name for (name,) in ours})
        grants += _for_tables(connection, home, user)
    grants += [
        SQL("GRANT USAGE, CREATE ON SCHEMA {} TO {};").format(Identifier(name), Identifier(user))
        for name, is_open in sorted(schemas.items())
        if not is_open
    ]
    if not grants:
        _try(connection, None if needs_schemas else home)
    return [f"A right is missing: {grant.as_string(connection)}" for grant in grants]


def _may_create_in(connection: psycopg.Connection, names: set[str]) -> dict[str, bool]:
    """Of the schemas that exist, whether the user may create tables there."""
    found = {name: connection.execute(_SCHEMA, [name]).fetchone() for name in names}
    return {name: bool(row[0]) for name, row in found.items() if row is not None}


def _for_tables(connection: psycopg.Connection, home: str, user: str) -> list[Composed]:
    found = [(*table, False) for table in connection.execute(in_schema(_FOREIGN, home)).fetchall()]
    if connection.execute(_HAS_HISTORIES, [home]).fetchone():
        found += connection.execute(in_schema(_FOREIGN_HISTORIES, home)).fetchall()
    return [
        SQL("ALTER {} {} OWNER TO {};").format(
            SQL("VIEW" if is_view else "TABLE"), Identifier(schema, name), Identifier(user)
        )
        for schema, name, is_view in found
    ]


def _try(connection: psycopg.Connection, schema: str | None) -> None:
    """A table was written in `schema`, or else in a new one; nothing of it stays."""
    table = Identifier(schema or _SCRATCH, _SCRATCH)
    with connection.transaction(force_rollback=True):
        if schema is None:
            connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(_SCRATCH)))
        connection.execute(SQL("CREATE TABLE {} (id text PRIMARY KEY)").format(table))
        connection.execute(SQL("INSERT INTO {} VALUES ('1')").format(table))
        view = Identifier(schema or _SCRATCH, f"{_SCRATCH}_view")
        connection.execute(SQL("CREATE VIEW {} AS SELECT id FROM {}").format(view, table))
        connection.execute(SQL("DROP VIEW {}").format(view))
        connection.execute("CREATE TEMPORARY TABLE hookmill_check_stage () ON COMMIT DROP")
        connection.execute(SQL("DROP TABLE {}").format(table))
