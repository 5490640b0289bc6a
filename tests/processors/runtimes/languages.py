"""Functions for tests, written twice: once for each language."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import dedent
from typing import Any
from uuid import uuid4

from processors.runtimes.contract import Code, Invocation, Outcome

LANGUAGES = ("javascript", "python")
FILES = {"javascript": "function.js", "python": "function.py"}


@dataclass(frozen=True)
class Twins:
    """The same function in both languages."""

    javascript: str
    python: str

    def code(
        self, language: str, source: str | None = None, version: str = "1", *, timeout_ms: int = 10_000, **options: Any
    ) -> Code:
        """In one of them; of a source of its own unless named, and with more time than a busy machine takes."""
        text = dedent(getattr(self, language)).lstrip("\n")
        source = source or uuid4().hex
        return Code(source, version, language, FILES[language], text, timeout_ms=timeout_ms, **options)


def handlers(javascript: str, python: str) -> Twins:
    """From the bodies of the handlers alone."""
    return Twins(
        "async function onRequest(request, settings) {\n" + dedent(javascript).strip("\n") + "\n}\n",
        "async def on_request(request, settings):\n" + _indented(python),
    )


def webhook(
    body: bytes | dict[str, Any] = b"{}",
    url: str = "https://in.example/",
    headers: Sequence[tuple[str, str]] = (),
) -> Invocation:
    """A webhook as a sender posts it."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Invocation("request-1", "POST", url, list(headers), content)


def numbered(count: int) -> list[Invocation]:
    """Webhooks with the bodies {"n": 0}, {"n": 1}, ..."""
    return [webhook({"n": n}) for n in range(count)]


def events(outcome: Outcome) -> list[Any]:
    """Parsed."""
    return [json.loads(bytes(event)) for event in outcome.events]


def objects(outcome: Outcome) -> list[Any]:
    """Parsed."""
    return [json.loads(bytes(item)) for item in outcome.objects]


def statuses(outcomes: Sequence[Outcome]) -> list[str]:
    """As words."""
    return [str(outcome.status) for outcome in outcomes]


def _indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in dedent(text).strip("\n").splitlines())


TRACK_NUMBER = handlers(
    "Segment.track({event: 'Seen', userId: 'u', properties: {n: request.json().n}})",
    "segment.track(event='Seen', user_id='u', properties={'n': request.json()['n']})",
)
"""One event with the number of the webhook."""
