"""Publishing a project: functions are checked, sources get tokens, the registry says what the folder says."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from console.project import Project, ProjectSource
from console.reports import quote_line
from console.tokens import TokenFile
from hookmill.codec import FunctionError
from hookmill.config import ProcessorsConfig
from hookmill.errors import ConfigError
from hookmill.log import Log
from hookmill.registry import Entity, Registry, RegistryView, entity_key, pause_key, publish, token_hash
from hookmill.topics import Topic, TopicNames
from processors.code import code_of
from processors.runtimes.confinement import Level
from processors.runtimes.contract import RunnerPool
from processors.runtimes.pool import ProcessPool


@dataclass(frozen=True)
class Applied:
    """What publishing changed; names of entities as `source/pipedrive`, without function versions."""

    published: tuple[str, ...]
    removed: tuple[str, ...]


async def apply_project(project: Project, log: Log, names: TopicNames, config: ProcessorsConfig) -> Applied:
    """The registry holds exactly the project's sources and sinks; old function versions stay for replays, and sinks
    that are paused stay so.

    Errors: `ConfigError` when a function does not load (nothing is published then); `LogError`.
    """
    await check_functions(project.sources, config)
    topic = names.full(Topic.REGISTRY)
    async with RegistryView(log, topic) as view:
        wanted = entities_of(project, view.registry, TokenFile(project.folder))
        changed = [entity for entity in wanted if not _is_known(entity, view.registry)]
        keys = {entity_key(entity) for entity in wanted} | {pause_key(sink.name) for sink in project.sinks}
        removed = [key for key in view.registry.keys() - keys if not key.startswith(b"function/")]
    await publish(log, topic, changed, removed)
    shown = (entity_key(entity).decode() for entity in changed)
    return Applied(
        tuple(name for name in shown if not name.startswith("function/")),
        tuple(key.decode() for key in sorted(removed)),
    )


async def check_functions(sources: Sequence[ProjectSource], config: ProcessorsConfig) -> None:
    """Every function loads in its runtime. Errors: `ConfigError` with file and line of each that does not."""
    isolation = Level(config.isolation)
    async with ProcessPool(config.node, 4, idle_s=1.0, isolation=isolation, packages=config.packages) as pool:
        problems = await asyncio.gather(*(_check(source, pool) for source in sources))
    complaints = [problem for problem in problems if problem is not None]
    if complaints:
        raise ConfigError("\n".join(complaints))


async def _check(source: ProjectSource, pool: RunnerPool) -> str | None:
    error = await pool.check(code_of(source.entity(()), source.function))
    return None if error is None else describe(source, error)


def describe(source: ProjectSource, error: FunctionError) -> str:
    """For the author: file, line, column, class, message; below it the line itself where that is told."""
    place = str(source.folder / source.function.file_name)
    for number in (error.line, error.column):
        if number is not None:
            place += f":{number}"
    return f"{place}: {error.kind}: {error.message}{quote_line(error)}"


def entities_of(project: Project, registry: Registry, tokens: TokenFile) -> list[Entity]:
    """What the project wants the registry to hold.

    A source's tokens: those the registry has and the one this folder knows; a new one where there is neither.
    """
    sources = []
    for source in project.sources:
        known = registry.sources.get(source.slug)
        hashes = set(known.token_hashes if known else ())
        token = tokens.get(source.slug)
        if token is None and not hashes:
            token = tokens.create(source.slug)
        if token is not None:
            hashes.add(token_hash(token))
        sources.append(source.entity(sorted(hashes)))
    return list(chain((source.function for source in project.sources), sources, project.sinks))


def _is_known(entity: Entity, registry: Registry) -> bool:
    everything = chain(registry.sources.values(), registry.functions.values(), registry.sinks.values())
    return any(entity == known for known in everything)
