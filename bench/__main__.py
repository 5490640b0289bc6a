"""`python -m bench [PART ...]`, such as `receiver` or `sinks`: all of them when none is named."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import end_to_end, functions, receiver, report, runners, sink_worker, sinks, spans
from console.broker import LocalKafka
from hookmill.config import LoggingConfig
from hookmill.telemetry import configure_logging

PARTS: dict[str, Callable[[LocalKafka], None]] = {
    "receiver": receiver.run,
    "runners": runners.run,
    "spans": spans.run,
    "functions": functions.run,
    "sinks": sinks.run,
    "sink-worker": sink_worker.run,
    "end-to-end": end_to_end.run,
}


def main() -> None:
    unknown = [name for name in sys.argv[1:] if name not in PARTS]
    if unknown:
        raise SystemExit(f"There is no benchmark {unknown[0]!r}; there are: {', '.join(PARTS)}.")
    configure_logging(LoggingConfig(level="error"))
    report.header()
    with tempfile.TemporaryDirectory() as folder:
        broker = LocalKafka(Path(folder))
        for name in sys.argv[1:] or PARTS:
            PARTS[name](broker)


if __name__ == "__main__":
    main()
