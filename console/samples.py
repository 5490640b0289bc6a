"""Sample webhooks: the `examples/*.json` of a source, and posting one to a receiver."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
from pydantic import BaseModel, ConfigDict, ValidationError

from console.project import SOURCES
from hookmill.errors import ConfigError, HookmillError

_DEADLINE_S = 30.0


class SendError(HookmillError):
    """The receiver did not take the sample."""


class _ExampleFile(BaseModel):
    """What an example file may hold; `expect` is for tests."""

    model_config = ConfigDict(extra="forbid")

    headers: dict[str, str] = {}
    query: dict[str, str] = {}
    body: Any
    expect: dict[str, Any] | None = None


@dataclass(frozen=True)
class Sample:
    """A webhook to post. `body` is sent as it is."""

    body: bytes
    headers: dict[str, str] = field(default_factory=dict)
    query: dict[str, str] = field(default_factory=dict)


def example_files(source_folder: Path) -> list[Path]:
    """The source's examples, by name."""
    return sorted((source_folder / "examples").glob("*.json"))


def load_example(path: Path) -> Sample:
    """The webhook of an example file. Errors: `ConfigError` naming the file."""
    try:
        example = _ExampleFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in problem["loc"]) or "the file"
        raise ConfigError(f"{path}: {place}: {problem['msg']}.") from None
    headers = {"Content-Type": "application/json", **example.headers}
    body = json.dumps(example.body, ensure_ascii=False, indent=2).encode()
    return Sample(body, headers, example.query)


def choose_sample(project: Path, source: str, example: str | None, body: Path | None) -> Sample:
    """The file `body` as it is, else the named example of the source, else its first. Errors: `ConfigError`."""
    if body is not None:
        try:
            return Sample(body.read_bytes(), {"Content-Type": "application/json"})
        except OSError as error:
            raise ConfigError(f"{body} cannot be read: {error.strerror}.") from None
    files = {path.stem: path for path in example_files(project / SOURCES / source)}
    if not files:
        raise ConfigError(f"Source {source!r} of {project} has no examples; name a file with --body.")
    chosen = files.get(example or next(iter(files)))
    if chosen is None:
        raise ConfigError(f"Source {source!r} has no example {example!r}; it has: {', '.join(files)}.")
    return load_example(chosen)


async def post_sample(url: str, token: str, sample: Sample) -> str:
    """The receiver at `url` stored the sample; returns the request id. Errors: `SendError` with its answer."""
    target = f"{url.rstrip('/')}/v1/webhooks/{token}"
    if sample.query:
        target += "?" + urlencode(sample.query)
    deadline = aiohttp.ClientTimeout(total=_DEADLINE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=deadline) as session,
            session.post(target, data=sample.body, headers=sample.headers) as answer,
        ):
            text = await answer.text()
            if answer.status != 202:
                raise SendError(f"{url} answered {answer.status}: {text[:500]}")
            return str(json.loads(text)["request_id"])
    except (aiohttp.ClientError, TimeoutError, aiohttp.InvalidURL) as error:
        raise SendError(
            f"{url} could not be reached ({error or 'no answer in time'}). Is `hookmill dev` running?"
        ) from None
