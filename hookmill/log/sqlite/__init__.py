"""The embedded log: SQLite files under one folder, for one machine and any number of its processes.

`database` opens files and names their failures; `topic_file` is the shape of a topic's file and `batch` of its rows;
`placement`, `writer` and `sender` write; `fetch` and `reader` read; `groups` and `membership` share partitions out;
`housekeeping` forgets. Durability is SQLite's: a commit is one WAL transaction, fsynced before the answer, whose frames
carry checksums, so that after a crash or a power cut it is there as a whole or not at all.
"""

from hookmill.log.sqlite.log import SqliteLog

__all__ = ["SqliteLog"]
