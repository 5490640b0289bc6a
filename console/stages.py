"""The stages as lists of services, in the order they start: for one process each, or all together in `hookmill dev`."""

from collections.abc import Sequence

from hookmill.admin import AdminServer
from hookmill.config import Config
from hookmill.errors import ConfigError
from hookmill.lifecycle import Readiness, Resource, Service
from hookmill.log import Log, open_log
from hookmill.registry import Registry, RegistryView, Sink
from hookmill.retry import RetryPolicy
from hookmill.topics import Topic
from ingest.receiver import Receiver
from redelivery.mover import Mover
from sinks.open import open_sink
from sinks.options import Surroundings
from sinks.worker import SinkWorker

INGEST_ADMIN_PORT = 8081
PROCESS_ADMIN_PORT = 8082
SINK_ADMIN_PORT = 8083
MOVER_ADMIN_PORT = 8084


def ingest_services(config: Config, readiness: Readiness) -> Sequence[Service]:
    """The receiver as a process of its own."""
    log = open_log(config)
    admin = AdminServer(config.admin, INGEST_ADMIN_PORT, readiness)
    return [admin, *receiver_services(config, log)]


def receiver_services(config: Config, log: Log) -> tuple[RegistryView, Resource, Receiver]:
    """The receiver with what it needs."""
    names = config.topics.names
    view = RegistryView(log, names.full(Topic.REGISTRY))
    sender = log.sender()
    receiver = Receiver(config.ingest, view.registry, sender, names.full(Topic.WEBHOOKS))
    return view, Resource("sender", sender), receiver


def process_services(config: Config, readiness: Readiness) -> Sequence[Service]:
    """The function stage as a process of its own."""
    from processors.service import FunctionStage  # with Faust: 18 MiB that the other stages have no use for

    return [AdminServer(config.admin, PROCESS_ADMIN_PORT, readiness), FunctionStage(config)]


def mover_services(config: Config, readiness: Readiness) -> Sequence[Service]:
    """The mover as a process of its own."""
    mover = Mover(config.retry, open_log(config), config.topics.names)
    return [AdminServer(config.admin, MOVER_ADMIN_PORT, readiness), mover]


async def sink_services(config: Config, readiness: Readiness, names: Sequence[str]) -> Sequence[Service]:
    """Workers of the named sinks, of every sink of the registry when none is named, as a process of its own.

    Errors: `ConfigError` for a sink that the registry does not know, or when it knows none.
    """
    log = open_log(config)
    topic = config.topics.names.full(Topic.REGISTRY)
    async with RegistryView(log, topic) as known:
        definitions = chosen_sinks(known.registry, names)
    view = RegistryView(log, topic)
    workers = sink_workers(config, log, view.registry, definitions)
    return [AdminServer(config.admin, SINK_ADMIN_PORT, readiness), view, *workers]


def sink_workers(config: Config, log: Log, registry: Registry, definitions: Sequence[Sink]) -> list[SinkWorker]:
    """One worker per sink; which of them are paused is told by the registry, at any time."""
    names = config.topics.names
    around = sink_surroundings(config, log)
    policy = RetryPolicy(delays_s=config.retry.delays_s)
    return [
        SinkWorker(config.sinks, definition, log, names, open_sink(definition, around), registry.pauses, policy)
        for definition in definitions
    ]


def sink_surroundings(config: Config, log: Log) -> Surroundings:
    """What sinks are opened with."""
    return Surroundings(config.data_dir, log, config.topics.names, config.sinks.allow_private_network)


def chosen_sinks(registry: Registry, names: Sequence[str]) -> list[Sink]:
    """The named sinks, all of them when none is named. Errors: `ConfigError` for what the registry does not have."""
    known = registry.sinks
    if not known:
        raise ConfigError(
            "The registry holds no sink. `hookmill apply <folder>` publishes the sinks.toml of a project."
        )
    unknown = [name for name in names if name not in known]
    if unknown:
        raise ConfigError(f"Sink {unknown[0]!r} is not in the registry, which has: {', '.join(sorted(known))}.")
    return [known[name] for name in names or sorted(known)]
