"""Posting a sample webhook to a receiver."""

import json
from pathlib import Path
from urllib.parse import urlencode

import aiohttp

from console.examples import Sample, example_files, load_example
from console.project import SOURCES
from hookmill.errors import ConfigError, HookmillError

_DEADLINE_S = 30.0


class SendError(HookmillError):
    """The receiver did not take the sample."""


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
    return load_example(chosen).sample


async def post_sample(url: str, token: str, sample: Sample) -> str:
    """The receiver at `url` stored the sample; returns the request id. Errors: `SendError` with its answer."""
    target = f"{url.rstrip('/')}/v1/webhooks/{token}"
    if sample.query:
        target += "?" + urlencode(sample.query)
    deadline = aiohttp.ClientTimeout(total=_DEADLINE_S)
    try:
        async with (
            aiohttp.ClientSession(timeout=deadline) as session,
            session.request(sample.method, target, data=sample.body, headers=sample.headers) as answer,
        ):
            text = await answer.text()
            if answer.status != 202:
                raise SendError(f"{url} answered {answer.status}: {text[:500]}")
            return str(json.loads(text)["request_id"])
    except (aiohttp.ClientError, TimeoutError, aiohttp.InvalidURL) as error:
        raise SendError(
            f"{url} could not be reached ({error or 'no answer in time'}). Is `hookmill dev` running?"
        ) from None
