"""The ledger: a line before each webhook is sent and a line after its answer, in a file that outlives the run."""

from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import Self


class Ledger:
    """A context manager. Lines: `sent <number>`, then `answered <number> <status> <request id>` or `failed <number>
    <error>`."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.sent: set[int] = set()
        self.accepted: dict[int, str] = {}
        """Request id by number of each webhook that was answered 202."""
        self.answers: Counter[str] = Counter()
        """How often each status was answered, and how each post without answer ended."""

    def __enter__(self) -> Self:
        self._lines = self.file.open("w", encoding="utf-8", buffering=65_536)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._lines.close()

    def sending(self, number: int) -> None:
        """To be called before the first byte goes out."""
        self._lines.write(f"sent {number}\n")
        self.sent.add(number)

    def answered(self, number: int, status: int, request_id: str) -> None:
        """The answer was complete; `request_id` is empty unless it is 202."""
        self._lines.write(f"answered {number} {status} {request_id}\n")
        self.answers[str(status)] += 1
        if status == 202:
            self.accepted[number] = request_id

    def failed(self, number: int, error: BaseException) -> None:
        """No answer came: whether the webhook is stored, nobody knows."""
        self._lines.write(f"failed {number} {type(error).__name__}\n")
        self.answers[type(error).__name__] += 1
