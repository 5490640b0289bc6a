"""The DuckDB warehouse: typed tables in one file, one schema per source.

The table `<source>.<table>` of the rules (SEGMENT-SPEC W37) is called so here. Which tables are ours is in the table
`main._hookmill_tables`, objects that were deleted are in `main._hookmill_tombstones`; no other table is ever touched.

Columns are `BIGINT`, `DOUBLE`, `BOOLEAN`, `TIMESTAMP WITH TIME ZONE` and `VARCHAR`, by their first value. A value that
does not fit is never lost and never cast with loss:

* `BIGINT` becomes `DOUBLE` where every value stays exact, else `VARCHAR`; `DOUBLE` and `BOOLEAN` become `VARCHAR`.
* where a view mentions the table, which would break, and for times, whose text would change, the value goes as text to
  a second column beside it, `<column>__text`.

No table has a primary key: DuckDB keeps its index in memory, and what it guards against cannot happen, because one
process at a time writes a file and looks up each id in the same transaction.
"""
