"""The `examples/*.json` of a source: webhooks, and what must come of them."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import urlencode

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from hookmill.codec import JsonValue
from hookmill.errors import ConfigError

EXAMPLES: Final = "examples"
HOST: Final = "https://hooks.example"
"""Scheme and host of the URL that the function sees in a trial."""

_JSON: Final = "application/json"

ExpectedStatus = Literal["ok", "error", "rejected", "dropped", "timeout", "memory", "crash", "too_large"]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ExpectedError(_Part):
    """What is not given may be anything."""

    kind: Annotated[str | None, Field(alias="class")] = None
    message: str | None = None


class Expectation(_Part):
    """What must come of a webhook: these events and objects and no others, in this order.

    Without `status` it is `ok`, or any failure where an error is expected.
    """

    status: ExpectedStatus | None = None
    error: ExpectedError | None = None
    events: Sequence[dict[str, JsonValue]] = ()
    objects: Sequence[dict[str, JsonValue]] = ()


@dataclass(frozen=True)
class Sample:
    """A webhook. `body` is what is on the wire; `path` and `query` are those of the URL that the function sees."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)
    method: str = "POST"
    path: str = "/"

    @property
    def url(self) -> str:
        """Absolute."""
        return HOST + self.path + ("?" + urlencode(self.query) if self.query else "")


@dataclass(frozen=True)
class Example:
    """An example file as read. `settings` go over those of the source."""

    file: Path
    sample: Sample
    settings: dict[str, JsonValue]
    expect: Expectation | None

    @property
    def name(self) -> str:
        """The file's name without `.json`."""
        return self.file.stem


class _ExampleFile(_Part):
    """What an example file may hold: one of the three bodies, all else if it matters."""

    method: Annotated[str, Field(pattern=r"^[A-Z]{1,20}$")] = "POST"
    path: Annotated[str, Field(pattern=r"^/[^?#\s]*$")] = "/"
    query: dict[str, str] = {}
    headers: dict[str, str] = {}
    body: JsonValue = None
    body_text: str | None = None
    body_base64: bytes | None = None
    settings: dict[str, JsonValue] = {}
    expect: Expectation | None = None

    @field_validator("body_base64")
    @classmethod
    def _decoded(cls, text: bytes | None) -> bytes | None:
        try:
            return None if text is None else base64.b64decode(text, validate=True)
        except binascii.Error as error:
            raise ValueError(f"is not base64 ({error})") from None

    @model_validator(mode="after")
    def _has_one_body(self) -> Self:
        given = self.model_fields_set & {"body", "body_text", "body_base64"}
        if len(given) != 1:
            raise ValueError("an example has one of body, body_text and body_base64")
        return self

    def sample(self) -> Sample:
        """The webhook; one with a JSON body says so in its headers unless the file says otherwise."""
        headers = self.headers
        if self.body_text is not None:
            body = self.body_text.encode()
        elif self.body_base64 is not None:
            body = self.body_base64
        else:
            body = json.dumps(self.body, ensure_ascii=False, indent=2).encode()
            if "content-type" not in (name.lower() for name in headers):
                headers = {"Content-Type": _JSON, **headers}
        return Sample(body, headers, self.query, self.method, self.path)


def example_files(source_folder: Path) -> list[Path]:
    """The source's examples, by name."""
    return sorted((source_folder / EXAMPLES).glob("*.json"))


def load_example(path: Path) -> Example:
    """The example of a file. Errors: `ConfigError` naming the file and what is wrong in it."""
    try:
        parsed = _ExampleFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        raise ConfigError("\n".join(_complaint(path, problem) for problem in error.errors(include_url=False))) from None
    return Example(path, parsed.sample(), parsed.settings, parsed.expect)


def _complaint(path: Path, problem: Any) -> str:
    place = ".".join(str(part) for part in problem["loc"]) or "the file"
    if problem["type"] == "extra_forbidden":
        return f"{path}: {place} is not a field of an example."
    return f"{path}: {place}: {problem['msg'].removeprefix('Value error, ')}."
