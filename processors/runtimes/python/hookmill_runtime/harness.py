"""The runner process: speaks frames with the pool, loads the function, runs its batches."""

import asyncio
import os
import platform
import sys

from . import frames, segment
from .batch import BatchRunner
from .function import Handler, load_handler
from .http import Line
from .late import LateErrors
from .load import Load, parse_load
from .logs import capture_output
from .report import describe_error
from .watch import TimeLimit, Watch

PROTOCOL = 1


def serve(channel_descriptor: int, ledger: int) -> None:
    """Serves the pool until it says stop or is gone; ends the process."""
    channel = frames.Channel(channel_descriptor)
    engine = f"{platform.python_implementation()} {platform.python_version()}"
    channel.send(frames.HELLO, {"proto": PROTOCOL, "language": "python", "engine": engine, "pid": os.getpid()})
    frame = channel.receive()
    if frame is not None and frame.kind == frames.LOAD:
        _work(parse_load(frame.header), channel, ledger)
    # At once: user code may have left threads and exit handlers behind.
    os._exit(0)


def _work(load: Load, channel: frames.Channel, ledger: int) -> None:
    sys.modules["segment"] = segment
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    watch = Watch(load.user_files, loop)
    capture_output()
    line = Line(channel, loop)
    if load.network:
        segment.http.line = line
    handler = _load(load, watch, channel)
    if handler is not None:
        channel.send(frames.LOADED, {})
        _run_batches(channel, BatchRunner(handler, load, watch, ledger, loop), line, LateErrors(loop))


def _load(load: Load, watch: Watch, channel: frames.Channel) -> Handler | None:
    watch.open(load.limits.load_ms / 1_000)
    watch.begin()
    try:
        return load_handler(load)
    except BaseException as caught:
        error = caught
        if watch.has_fired:
            error = TimeLimit(f"The top level of {load.file} did not finish within {load.limits.load_ms} ms.")
            error = error.with_traceback(caught.__traceback__)
        channel.send(frames.LOADFAIL, {"error": describe_error(error, load)})
        return None
    finally:
        watch.end()
        watch.close()


def _run_batches(channel: frames.Channel, runner: BatchRunner, line: Line, late_errors: LateErrors) -> None:
    while (frame := channel.receive()) is not None and frame.kind != frames.STOP:
        if frame.kind == frames.FETCHED:
            line.settle(frame)  # of an invocation that did not wait for it
            continue
        recycle = runner.run(frame) or ("late error" if late_errors.were_seen else None)
        channel.send(frames.RES, {"batch": frame.header["batch"], "recycle": recycle})
