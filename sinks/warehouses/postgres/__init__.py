"""The PostgreSQL warehouse: tables in a database of the user's, typed, one schema per source.

The table `<source>.<table>` of the rules (SEGMENT-SPEC W37) is called so here; with the option `schema`, all tables are
in that one schema and are called `<source>__<table>`. Which tables are ours is in the table `_hookmill_tables`; no
other is ever touched.

Columns are `bigint`, `double precision`, `boolean`, `timestamp with time zone` and `text`, by their first value. A
value that does not fit is never lost and never cast with loss:

* `bigint` becomes `double precision` where every value stays exact, else `text`; `double precision` and `boolean`
  become `text`. PostgreSQL rewrites the table for that.
* where PostgreSQL cannot do so, for example because a view uses the column, and for times, whose text would change,
  the value goes as text to a second column beside it, `<column>__text`.

Times without a zone are in UTC; they are exact to the microsecond. NUL, which PostgreSQL's text cannot hold, becomes
U+2400, the symbol for it. Columns called like PostgreSQL's own (`xmin`) get a leading underscore.
"""
