"""dlt merges rows into PostgreSQL: `python merge_by_dlt.py <folder> <file of JSON lines> ...`.

A program of its own, for the environment of dlt; `DESTINATION__POSTGRES__CREDENTIALS` says where to. It prints the
seconds of each file's load, one a line, without start-up.
"""

import json
import os
import sys
import time
from pathlib import Path

os.environ["RUNTIME__DLTHUB_TELEMETRY"] = "false"
import dlt  # reads the environment when it is imported


def main() -> None:
    folder, *files = sys.argv[1:]
    pipeline = dlt.pipeline("bench", pipelines_dir=folder, destination="postgres", dataset_name="by_dlt")
    for file in files:
        rows = [json.loads(line) for line in Path(file).read_text().splitlines()]
        merge = {"disposition": "merge", "strategy": "upsert"}
        began = time.monotonic()
        pipeline.run(rows, table_name="deals", write_disposition=merge, primary_key="id")
        print(time.monotonic() - began)


if __name__ == "__main__":
    main()
