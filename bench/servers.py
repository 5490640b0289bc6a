"""The servers that `bench.receiver` compares: `python -m bench.servers empty|sqlite|kafka FOLDER [BROKERS]`.

Prints its URL once it is ready; ends on SIGTERM.
"""

import asyncio
import signal
import sys
from pathlib import Path

import uvloop
from aiohttp import web

from console.stages import receiver_services
from hookmill.config import LoggingConfig, load_config
from hookmill.lifecycle import Readiness, serve
from hookmill.log import open_log
from hookmill.registry import Source, publish, token_hash
from hookmill.telemetry import configure_logging
from hookmill.topics import Topic

TOKEN = "bench-token"


async def serve_empty() -> None:
    """What aiohttp costs: the handler does nothing, not even read the body."""

    async def handle(request: web.BaseRequest) -> web.Response:
        return web.Response(status=202)

    runner = web.ServerRunner(web.Server(handle, access_log=None))
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"http://127.0.0.1:{runner.addresses[0][1]}/", flush=True)
    stopping = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopping.set)
    await stopping.wait()
    await runner.cleanup()


async def serve_receiver(bootstrap_servers: str | None, folder: Path) -> None:
    """Hookmill's receiver on the embedded log, or on the Kafka at `bootstrap_servers`."""
    config = load_config({"data_dir": folder, "kafka": {"bootstrap_servers": bootstrap_servers}, "ingest": {"port": 0}})
    log = open_log(config)
    names = config.topics.names
    await log.ensure_topics(names.specs())
    source = Source(id="bench", name="Bench", token_hashes=(token_hash(TOKEN),), function_version="none")
    await publish(log, names.full(Topic.REGISTRY), [source])
    view, sender, receiver = receiver_services(config, log)

    async def once_ready() -> None:
        print(f"{receiver.url}/v1/webhooks/{TOKEN}", flush=True)

    await serve([view, sender, receiver], Readiness(), once_ready)


def main() -> None:
    configure_logging(LoggingConfig(level="error"))
    side, folder, *addresses = sys.argv[1:]
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        work = serve_empty() if side == "empty" else serve_receiver(next(iter(addresses), None), Path(folder))
        runner.run(work)


if __name__ == "__main__":
    main()
