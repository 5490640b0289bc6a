"""`python -m bench [receiver|runners|spans|end-to-end ...]`: all of them when none is named."""

import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import end_to_end, receiver, report, runners, spans
from console.broker import LocalKafka
from hookmill.config import LoggingConfig
from hookmill.telemetry import configure_logging

PARTS: dict[str, Callable[[str], None]] = {
    "receiver": receiver.run,
    "runners": lambda _: runners.run(),
    "spans": spans.run,
    "end-to-end": end_to_end.run,
}


def main() -> None:
    unknown = [name for name in sys.argv[1:] if name not in PARTS]
    if unknown:
        raise SystemExit(f"There is no benchmark {unknown[0]!r}; there are: {', '.join(PARTS)}.")
    configure_logging(LoggingConfig(level="warning"))
    report.header()
    with tempfile.TemporaryDirectory() as folder, LocalKafka(Path(folder)) as broker:
        for name in sys.argv[1:] or PARTS:
            PARTS[name](broker.bootstrap_servers)


if __name__ == "__main__":
    main()
