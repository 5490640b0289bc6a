"""The Faust app of the function stage; `faust -A processors.app worker` runs it by itself."""

import asyncio
import logging
import tempfile
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import faust
from faust.app.base import BootStrategy
from faust.types import AgentT, ChannelT
from mode import CrashingSupervisor

from hookmill.config import Config, load_config
from hookmill.records import Span
from hookmill.telemetry import configure_logging
from processors.agents import span_agent
from processors.runtimes.pool import working_at_once
from processors.stage import PoolMaker, Stage, process_pool

APP_ID: Final = "hookmill-processors"

_SLOW_SHARE: Final = 4
"""Of so many runners that work at once at most one does so for the slow lane, in turn with the main lane's sources."""

_faust_log = logging.getLogger("faust.app")
"""What Faust says of its services: under its name, not this module's, so that the level for libraries applies."""


class _WithoutKafka(BootStrategy):
    """Faust runs agents and nothing else: reading, sending and committing are ours (DESIGN, "Faust's place")."""

    enable_kafka = False
    enable_web = False
    enable_sensors = False


class _StopTheProcess(CrashingSupervisor):
    """An exception in one agent stops the process, and the other agents with it."""

    def wakeup(self) -> None:
        """Nothing. In mode 0.7.1 a crashing supervisor marks itself as stopped here; its `stop` then passes over the
        actors that still run, and Faust waits for them for ever (RELIABILITY F3)."""


class _SpanFeeder(faust.Service):
    """Opens the stage, puts its spans on the channel, and drains it at the end, while the agents still run."""

    logger = _faust_log

    def __init__(self, app: "StageApp", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._app = app
        self._stage: Stage | None = None
        self._running: list[asyncio.Future[None]] = []

    async def on_start(self) -> None:
        self._stage = await Stage(self._app.config, self._app.make_pool).__aenter__()
        # Faust holds queues back until its consumer has partitions, and it has no consumer.
        self._app.flow_control.resume()
        self._running = [
            self.add_future(self._stage.run()),
            self.add_future(_put(self._stage.next_span, self._app.spans)),
            self.add_future(_put(self._stage.next_slow_span, self._app.slow_spans)),
            self.add_future(_put(self._stage.next_parked_span, self._app.slow_spans)),
        ]

    async def on_stop(self) -> None:
        if self._stage is None:
            return
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)
        # After a crash nobody is left to finish what was begun.
        await self._stage.drain(0.0 if self.crashed else self._app.config.processors.drain_timeout_s)
        # The agents end before the log and the runners that they use. Stopped by `AgentManager`, which cancels them
        # before it marks them as stopping, an agent at work would count as crashed.
        await asyncio.gather(self._app.functions.stop(), self._app.slow_functions.stop())
        await self._stage.__aexit__(None, None, None)

    async def work(self, span: Span) -> None:
        """See `Stage.work`."""
        assert self._stage is not None
        await self._stage.work(span)


async def _put(next_span: Callable[[], Awaitable[Span]], channel: ChannelT[Any]) -> None:
    while True:
        await channel.put(await next_span())  # type: ignore[arg-type]  # channels carry any value, not only events


class StageApp(faust.App):
    """A Faust app that is the function stage. Nothing is read, opened or made before it starts."""

    BootStrategy = _WithoutKafka
    logger = _faust_log
    config: Config
    """Set at the start."""

    def __init__(self, load: Callable[[], Config], make_pool: PoolMaker, **options: Any) -> None:
        super().__init__(APP_ID, **options)
        self.make_pool = make_pool
        self.load = load
        self._feeder: _SpanFeeder | None = None
        self.spans = self.channel(maxsize=1)  # the feeder holds the others, and knows which goes first
        self.functions: AgentT[Any] = span_agent(self, "functions", self.spans, self._work)
        self.slow_spans = self.channel(maxsize=1)
        self.slow_functions: AgentT[Any] = span_agent(self, "slow-functions", self.slow_spans, self._work)

    async def on_first_start(self) -> None:
        """The configuration is known. Faust's own method makes folders for tables, and there are none."""
        self.config = self.load()
        self.functions.concurrency = self.config.processors.concurrency
        self.slow_functions.concurrency = max(1, working_at_once(self.config.processors.max_runners) // _SLOW_SHARE)

    async def on_start(self) -> None:
        """Faust is configured."""
        await super().on_start()
        # faust-streaming 0.15.3 makes the Kafka consumer that it does not start, with a loop for its thread that nobody
        # closes: a ResourceWarning and three descriptors. To go when a boot strategy without Kafka makes no consumer.
        self.consumer._thread.thread_loop.close()  # type: ignore[attr-defined]

    async def on_started_init_extra_services(self) -> None:
        """Agents run by now: the first span finds them."""
        await super().on_started_init_extra_services()
        self._feeder = _SpanFeeder(self)
        await self.add_runtime_dependency(self._feeder)

    async def _work(self, span: Span) -> None:
        assert self._feeder is not None
        await self._feeder.work(span)


class _Worker(faust.Worker):
    """Faust's worker with our log lines: what it would set up itself formats differently and knows no structlog."""

    app: StageApp

    def _setup_logging(self) -> None:
        configure_logging(self.app.load().logging)

    def _enter_debugger(self) -> None:
        """SIGUSR2 does nothing: Faust's debugger would stop the process until somebody typed (RELIABILITY F27)."""


def create_app(load: Callable[[], Config], make_pool: PoolMaker = process_pool) -> StageApp:
    """The app, not started; `load` is called when it starts."""
    return StageApp(
        load,
        make_pool,
        autodiscover=False,
        agent_supervisor=_StopTheProcess,
        datadir=str(Path(tempfile.gettempdir()) / APP_ID),  # named, never made
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        worker_redirect_stdouts=False,
        Worker=_Worker,
    )


app = create_app(load_config)
