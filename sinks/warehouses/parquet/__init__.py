"""The Parquet warehouse: files that every analytics tool reads, in a folder or in a bucket of S3.

    <source>/objects/<collection>/current.parquet          one row per object
    <source>/events/<table>/2026-11-23T10.parquet          the events received in that hour (UTC), one row each
    _inbox/<time>.json                                     batches that are not in these files yet

A Parquet file cannot be changed, and a batch is far too small for a file in each of its tables. So a batch is durable
as one file of the inbox. Now and then the inbox is merged: the files of all tables that it is about are read, changed
as the DuckDB warehouse changes tables, and replaced, each at once; then what was merged goes. Merging the same again
changes nothing, so an interruption anywhere is made good by the next merge.

Whoever replaces a file makes sure that nobody else did since it was read: in a folder by a lock, on S3 by the condition
that the object still is the one that was read (`If-Match`, `If-None-Match`).

Columns are `BIGINT`, `DOUBLE`, `BOOLEAN`, `TIMESTAMP` (UTC, microseconds) and `VARCHAR`, by their first value, and keep
that type in all files of the table; a value of another type goes as text to the column `<column>__text`. Objects that
were deleted are remembered in the metadata of their file (`hookmill.tombstones`).
"""
