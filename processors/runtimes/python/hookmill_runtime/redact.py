"""Secrets, taken out of what people get to read."""

import re
from collections.abc import Callable, Iterable
from typing import Final

Redact = Callable[[str], str]
"""The text without secrets."""

MIN_CHARACTERS: Final = 6
"""Shorter values are left: they would be found all over texts that have nothing to do with them."""

_INSTEAD: Final = "[redacted]"


def redactor(secrets: Iterable[str]) -> Redact:
    """Replaces the values, and each line of those that have several: output is cut at line ends."""
    values = {part for secret in secrets for part in (secret, *secret.splitlines()) if len(part) >= MIN_CHARACTERS}
    if not values:
        return str
    # The longest first, so that one which begins like another does not leave its end behind.
    pattern = re.compile("|".join(map(re.escape, sorted(values, key=len, reverse=True))))
    return lambda text: pattern.sub(_INSTEAD, text)
