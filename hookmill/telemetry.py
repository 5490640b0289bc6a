"""Logs of a process: structlog over the standard library, JSON for machines or coloured lines for people, on stderr."""

import logging
import sys

import structlog

from hookmill.config import LoggingConfig

_QUIET_LIBRARIES = ("aiokafka", "aiohttp.access", "aiohttp.server", "faust", "mode", "asyncio", "kafka")


def configure_logging(config: LoggingConfig) -> None:
    """Every logger of the process, libraries included, writes lines of one form to stderr.

    Libraries speak from warning up: their info lines name every heartbeat.
    """
    is_console = config.format == "console" or (config.format == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: structlog.typing.Processor
    if is_console:
        renderer = structlog.dev.ConsoleRenderer(
            event_key="action",
            colors=sys.stderr.isatty(),
            exception_formatter=structlog.dev.plain_traceback,  # the default shows variables, payloads and secrets too
        )
    else:
        renderer = structlog.processors.JSONRenderer()
    tail: list[structlog.typing.Processor] = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if not is_console:
        tail.append(structlog.processors.format_exc_info)
    tail += [structlog.processors.EventRenamer("action"), renderer]
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(foreign_pre_chain=shared, processors=tail))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(config.level.upper())
    for name in _QUIET_LIBRARIES:
        logging.getLogger(name).setLevel(logging.WARNING)
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """The logger of a module; the first argument of its methods is the action, everything else a field."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
