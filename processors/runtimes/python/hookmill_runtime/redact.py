"""Secrets, taken out of what people get to read."""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final

Redact = Callable[[str], str]
"""The text without secrets."""

MIN_CHARACTERS: Final = 6
"""Shorter values are left: they would be found all over texts that have nothing to do with them."""

_INSTEAD: Final = "[redacted]"


def redactor(secrets: Iterable[str]) -> Redact:
    """Replaces the values: as they are, as JSON and Python quote them, and each line of those with several, for output
    is cut at line ends."""
    values = {form for secret in secrets for form in _forms_of(secret) if len(form) >= MIN_CHARACTERS}
    if not values:
        return str
    # The longest first, so that one which begins like another does not leave its end behind.
    pattern = re.compile("|".join(map(re.escape, sorted(values, key=len, reverse=True))))
    return lambda text: pattern.sub(_INSTEAD, text)


def _forms_of(secret: str) -> Iterator[str]:
    yield secret
    yield json.dumps(secret, ensure_ascii=False)[1:-1]
    yield repr(secret)[1:-1]
    yield from secret.splitlines()
