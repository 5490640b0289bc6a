"""The tokens of a project's sources, in a file that only its owner may read: the log keeps nothing but hashes."""

import json
import os
import secrets
from pathlib import Path

from hookmill.errors import ConfigError

_FILE = Path(".hookmill") / "tokens.json"


class TokenFile:
    """`.hookmill/tokens.json` of a project folder: {source slug: token}."""

    def __init__(self, project: Path) -> None:
        self.path = project / _FILE
        self._tokens = self._read()

    def get(self, slug: str) -> str | None:
        """The token of the source, if this folder knows it."""
        return self._tokens.get(slug)

    def create(self, slug: str) -> str:
        """A new token, 192 random bits, kept in the file before it is returned."""
        token = secrets.token_urlsafe(24)
        self._tokens[slug] = token
        self._write()
        return token

    def _read(self) -> dict[str, str]:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return {}
        except OSError as error:
            raise ConfigError(f"{self.path} cannot be read: {error.strerror}.") from None
        try:
            tokens = json.loads(text)
            if not isinstance(tokens, dict) or not all(isinstance(token, str) for token in tokens.values()):
                raise ValueError("it must be one object of strings")
        except ValueError as error:
            raise ConfigError(f"{self.path} is damaged ({error}). Delete it to get new tokens.") from None
        return tokens

    def _write(self) -> None:
        temporary = self.path.with_suffix(".new")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with open(temporary, "w", encoding="utf-8", opener=_owner_only) as file:
                json.dump(self._tokens, file, indent=2)
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(self.path)
        except OSError as error:
            raise ConfigError(f"Tokens cannot be kept in {self.path}: {error.strerror}.") from None


def _owner_only(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_TRUNC, 0o600)
