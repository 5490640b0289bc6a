"""The SQLite warehouse: one file that every tool opens, on the machine of the worker.

SQLite has no schemas within a file, so the table `<source>.<table>` of the rules is called `<source>__<table>` here,
for example `pipedrive__deals`. A double underscore cannot come from a name in snake case, so no two tables of the rules
share one name; a file may hold other tables, which are never touched.

Columns made for text and times are declared TEXT: a number that comes later becomes text, digit by digit. All others
have no declared type, so a value of another type is stored as it is; a declared number would turn "007" into 7.
Booleans are 0 and 1, times are the ISO text that came, lists are JSON text.
"""

from sinks.warehouses.sqlite.sink import SqliteWarehouse

__all__ = ["SqliteWarehouse"]
