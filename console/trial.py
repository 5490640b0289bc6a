"""A trial: the examples of a project through the runners and the split of production; nothing is stored."""

import asyncio
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from console.examples import EXAMPLES, Example, example_files, load_example
from console.project import Project, ProjectSource
from hookmill.codec import FunctionError, InvocationReport, JsonValue, decode_report
from hookmill.config import ProcessorsConfig
from hookmill.egress.guard import Egress
from hookmill.errors import ConfigError
from hookmill.records import NewRecord, Record
from hookmill.retry import RetryPolicy
from hookmill.topics import Topic
from processors.code import code_of
from processors.results import Results
from processors.runtimes.confinement import Level
from processors.runtimes.contract import Code, Invocation, Outcome, RunnerPool, Status
from processors.runtimes.errors import RunnerUnavailable
from processors.runtimes.pool import ProcessPool
from processors.webhook import Origin, Webhook

MAX_RUNNERS: Final = 4
"""As many start at once, so that loading keeps its time limit on a small machine."""

_RUNNER_IDLE_S: Final = 1.0
_RECEIVED_AT_US: Final = 1_767_225_600_000_000
"""2026-01-01T00:00:00Z: the same in every trial, so that what is made of it repeats."""

_Json = dict[str, JsonValue]


@dataclass(frozen=True)
class Produced:
    """What came of one example: its report, and the values of its records on `events` and `objects`."""

    report: InvocationReport
    events: Sequence[_Json]
    objects: Sequence[_Json]


@dataclass(frozen=True)
class SourceTrial:
    """What came of a source's examples, in their order; of none if its function does not load."""

    source: ProjectSource
    load_error: FunctionError | None
    results: Sequence[tuple[Example, Produced]]


def choose_sources(project: Project, slugs: Sequence[str]) -> Sequence[ProjectSource]:
    """The sources with these slugs, all when there are none. Errors: `ConfigError` for one that is not there, and for
    sources without a single example: a trial of nothing would pass."""
    known = {source.slug: source for source in project.sources}
    for slug in slugs:
        if slug not in known:
            raise ConfigError(f"{project.folder} has no source {slug!r}; it has: {', '.join(known)}.")
    chosen = [source for slug, source in known.items() if not slugs or slug in slugs]
    if not any(example_files(source.folder) for source in chosen):
        places = ", ".join(str(source.folder / EXAMPLES) for source in chosen)
        raise ConfigError(f"There are no examples in {places}. An example is a JSON file with a body.")
    return chosen


async def try_sources(sources: Sequence[ProjectSource], config: ProcessorsConfig) -> Sequence[SourceTrial]:
    """Every example of the sources has run, sources side by side.

    Errors: `ConfigError` for an example that cannot be read, before anything runs; `NodeMissing`; `RunnerUnavailable`.
    """
    examples = [[load_example(file) for file in example_files(source.folder)] for source in sources]
    egress = Egress(allow_private=config.allow_private_network)
    isolation = Level(config.isolation)
    async with ProcessPool(config.node, MAX_RUNNERS, _RUNNER_IDLE_S, isolation, egress, config.packages) as pool:
        trials = (_try_source(pool, source, found) for source, found in zip(sources, examples, strict=True))
        return await asyncio.gather(*trials)


async def _try_source(pool: RunnerPool, source: ProjectSource, examples: Sequence[Example]) -> SourceTrial:
    code = code_of(source.entity(()), source.function)
    load_error = await pool.check(code)
    results = (
        [] if load_error is not None else [(example, await _try(pool, source, code, example)) for example in examples]
    )
    return SourceTrial(source, load_error, results)


async def _try(pool: RunnerPool, source: ProjectSource, code: Code, example: Example) -> Produced:
    if example.settings:
        code = msgspec.structs.replace(code, settings=code.settings | example.settings)
    (outcome,) = await pool.run(code, [_invocation(example)])
    if outcome.status is Status.INFRA:
        raise RunnerUnavailable(
            f"{example.file} did not run: {outcome.error.message if outcome.error else 'no runner'}"
        )
    return _settle(source, example, outcome)


def _settle(source: ProjectSource, example: Example, outcome: Outcome) -> Produced:
    results = Results(source.slug, RetryPolicy(source.retries), lambda: _RECEIVED_AT_US // 1_000)
    results.settle(_webhook(source, example), source.function, outcome)
    (report,) = results.records[Topic.INVOCATIONS]
    return Produced(
        decode_report(report.value or b""),
        _values(results.records[Topic.EVENTS]),
        _values(results.records[Topic.OBJECTS]),
    )


def _invocation(example: Example) -> Invocation:
    sample = example.sample
    return Invocation(example.name, sample.method, sample.url, list(sample.headers.items()), sample.body)


def _webhook(source: ProjectSource, example: Example) -> Webhook:
    record = Record("examples", 0, 0, _RECEIVED_AT_US // 1_000, None, example.sample.body, ())
    return Webhook(record, source.slug, example.name, _RECEIVED_AT_US, Origin("examples", 0, 0), delivery_count=1)


def _values(records: Sequence[NewRecord]) -> list[_Json]:
    # The standard library's: it keeps integers of any size.
    return [json.loads(record.value or b"") for record in records]
