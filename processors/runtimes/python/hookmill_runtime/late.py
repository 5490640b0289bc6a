"""Late errors: what fails in tasks and threads that user code left running, when nobody waits for them any more."""

import asyncio
import threading
from typing import Any


class LateErrors:
    """Notes them, and lets them be told as usual: to the log of whichever invocation is running.

    A process that had one may hold half-changed state, and is not to be used for long.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.were_seen = False
        self._tell_of_thread = threading.excepthook
        loop.set_exception_handler(self._on_task)
        threading.excepthook = self._on_thread

    def _on_task(self, loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        self.were_seen = True
        loop.default_exception_handler(context)

    def _on_thread(self, arguments: threading.ExceptHookArgs) -> None:
        self.were_seen = True
        self._tell_of_thread(arguments)
