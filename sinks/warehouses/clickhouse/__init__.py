"""The ClickHouse warehouse: tables in one database of a server, each with a view that shows it as rows by id.

The table `<source>.<table>` of the rules (SEGMENT-SPEC W37) is the view `<source>__<table>`, for example
`pipedrive__deals`; below it is `_pipedrive__deals__objects`, which is only ever inserted into. ClickHouse has no
transactions, so no two workers could read, merge and write an object in turns. Instead the engine merges: a property is
a pair of version and value, the greatest pair wins (`AggregatingMergeTree`, `max`), in whatever order and however often
they come, from any number of workers. Events are in a `ReplacingMergeTree` by id. See docs/decisions/0016.

Which tables and views are ours is in their comments; no other is ever touched.

Columns are `Int64`, `Float64`, `Bool`, `DateTime64(6, 'UTC')` and `String`, by their first value. The type of a column
never changes, as that would race with other workers: values that do not fit go to further columns beside it
(`<column>__real`, `<column>__text`), and the view shows all of them as one column, wide enough for every value. A time
is the exception: what is none is a column of its own in the view too.
"""
