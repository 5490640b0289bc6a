"""The admin port of a process: /healthz, /readyz and /metrics, on loopback unless told otherwise."""

import asyncio

from aiohttp import web
from prometheus_client.aiohttp import make_aiohttp_handler

from hookmill.config import AdminConfig
from hookmill.errors import ConfigError
from hookmill.lifecycle import Readiness


class AdminServer:
    """Answers probes and scrapes. A service; `address` is set once it is ready."""

    name = "admin"

    def __init__(self, config: AdminConfig, default_port: int, readiness: Readiness) -> None:
        self._host = config.host
        self._port = default_port if config.port is None else config.port
        self._readiness = readiness
        self._runner: web.AppRunner | None = None
        self.address = ""

    async def start(self) -> None:
        """Listening. Errors: `ConfigError` when the port is taken."""
        app = web.Application()
        app.router.add_get("/healthz", self._health)
        app.router.add_get("/readyz", self._ready)
        app.router.add_get("/metrics", make_aiohttp_handler())
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=1.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, self._host, self._port).start()
        except OSError as error:
            await runner.cleanup()
            raise ConfigError(
                f"Admin address {self._host}:{self._port} cannot be used ({error.strerror}). "
                "Choose another with --admin-port or HOOKMILL_ADMIN__PORT."
            ) from error
        self._runner = runner
        host, port = runner.addresses[0][:2]
        self.address = f"http://{host}:{port}"

    async def wait(self) -> None:
        """Never ends by itself."""
        await asyncio.Event().wait()

    async def stop(self) -> None:
        """The port is closed."""
        if self._runner is not None:
            await self._runner.cleanup()

    async def _health(self, request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _ready(self, request: web.Request) -> web.Response:
        ready = self._readiness.is_ready
        return web.json_response({"status": "ready" if ready else "not ready"}, status=200 if ready else 503)
