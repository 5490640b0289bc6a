"""The command `hookmill`."""

import gc
import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, CycloptsError, Parameter
from rich.console import Console

from console.command import Common, run_async
from hookmill import __version__
from hookmill.errors import ConfigError, HookmillError
from hookmill.lifecycle import ExitCode, Readiness, exit_code, serve
from hookmill.memory import give_back_large_blocks

app = App(
    name="hookmill",
    help="Turns webhooks into data: every source gets a URL, a small function makes events and rows of what arrives.",
    version=__version__,
    version_flags=["--version"],
    help_format="plaintext",
)
topics_app = App(name="topics", help="The topics on the log.")
app.command(topics_app)
app.command("console.sinks:sink_app", name="sink", help="Run sink workers; list, check, pause and resume sinks.")
app.command("console.audit:audit", name="audit", help="Account for every webhook; name what is missing or doubled.")
app.command(
    "console.replay:replay_app", name="replay", help="Run stored webhooks again: fill gaps, or compute everything anew."
)
app.command("console.trace:trace", name="trace", help="Tell the life of one webhook, from its receipt to the sinks.")
app.command(
    "console.dlq:dlq_app", name="dlq", help="Dead letters: what could not be delivered, and what to do with it."
)


@app.command
def version() -> None:
    """Print the version."""
    print(__version__)


@app.command
def init(folder: Path) -> None:
    """Make a project folder with one source that runs as it is.

    Parameters
    ----------
    folder
        Where to; what is there stays untouched.
    """
    from console.starter import create_project

    for path in create_project(folder):
        print(path)
    print(f"Run it: hookmill dev {folder}")


@app.command
def dev(
    folder: Path = Path(),
    *,
    host: str | None = None,
    port: int | None = None,
    samples: bool = False,
    kafka: Literal["local"] | None = None,
    common: Common = Common(),
) -> ExitCode:
    """Run all stages of a project folder in this process; reload functions on save.

    Parameters
    ----------
    folder
        The project folder.
    host
        Address that the receiver listens on (127.0.0.1).
    port
        Port of the receiver (8080); 0 picks one.
    samples
        Post the first example of each source once everything runs, and show the rows that came of it.
    kafka
        `local` starts a Kafka broker for this project, in its data folder.
    """
    from console.broker import LocalKafka
    from console.dev import run_dev

    screen = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)
    if common.data_dir is None and "HOOKMILL_DATA_DIR" not in os.environ:
        common = replace(common, data_dir=folder / ".hookmill")
    if common.log_level is None and "HOOKMILL_LOGGING__LEVEL" not in os.environ:
        common = replace(common, log_level="warning")  # the lines for people say what happens
    config = common.config(ingest={"host": host, "port": port})
    if kafka is not None and config.kafka.bootstrap_servers:
        raise ConfigError("--kafka local starts a broker, --bootstrap-servers names one: use only one of them.")

    if kafka is None:
        return run_async(run_dev(config, folder, screen, send_samples=samples))
    screen.print("Starting Kafka ...")
    with LocalKafka(config.data_dir / "kafka") as broker:
        served = config.kafka.model_copy(update={"bootstrap_servers": broker.bootstrap_servers})
        return run_async(run_dev(config.model_copy(update={"kafka": served}), folder, screen, send_samples=samples))


@app.command
def ingest(*, host: str | None = None, port: int | None = None, common: Common = Common()) -> ExitCode:
    """Run the receiver: HTTP in, raw webhooks on the log.

    Parameters
    ----------
    host
        Address to listen on (127.0.0.1).
    port
        Port to listen on (8080); 0 picks one.
    """
    from console.stages import ingest_services

    config = common.config(ingest={"host": host, "port": port})
    readiness = Readiness()
    return run_async(serve(ingest_services(config, readiness), readiness))


@app.command
def process(*, common: Common = Common()) -> ExitCode:
    """Run the function stage: raw webhooks through user functions to events and objects."""
    from console.stages import process_services

    config = common.config()
    readiness = Readiness()
    return run_async(serve(process_services(config, readiness), readiness))


@app.command
def mover(*, common: Common = Common()) -> ExitCode:
    """Run the mover: what has waited on the delay topics back to its stage."""
    from console.stages import mover_services

    config = common.config()
    readiness = Readiness()
    return run_async(serve(mover_services(config, readiness), readiness))


@app.command
def apply(folder: Path = Path(), *, common: Common = Common()) -> ExitCode:
    """Publish a project folder: its sources, functions and sinks, to whichever stages read this log.

    Parameters
    ----------
    folder
        The project folder.
    """
    from console.apply import apply_project
    from console.project import load_project
    from hookmill.log import open_log

    config = common.config()

    async def run() -> ExitCode:
        project = load_project(folder)
        applied = await apply_project(project, open_log(config), config.topics.names, config.processors)
        for name in applied.published:
            print(f"published {name}")
        for name in applied.removed:
            print(f"removed   {name}")
        if not applied.published and not applied.removed:
            print("nothing changed")
        return ExitCode.OK

    return run_async(run())


@app.command(name="test")
def run_examples(
    folder: Path = Path(),
    *,
    source: Annotated[list[str] | None, Parameter(negative=())] = None,
    update: Annotated[bool, Parameter(negative=())] = False,
    as_json: Annotated[bool, Parameter(name="--json", negative=())] = False,
    common: Common = Common(),
) -> ExitCode:
    """Run the examples of a project folder and compare what comes with what their files expect.

    Parameters
    ----------
    folder
        The project folder.
    source
        Slug of a source to run alone; may be given several times.
    update
        Write what came into the files whose expectation is missing or wrong.
    as_json
        Print one JSON object instead of text.
    """
    from console.project import load_project
    from console.trial import choose_sources, try_sources
    from console.verdicts import has_failed, judge_all, print_verdicts, update_expectations, verdicts_json

    if common.log_level is None and "HOOKMILL_LOGGING__LEVEL" not in os.environ:
        common = replace(common, log_level="warning")
    config = common.config()
    sources = choose_sources(load_project(folder), source or ())
    verdicts = judge_all(run_async(try_sources(sources, config.processors)))
    if as_json:
        print(verdicts_json(verdicts))
    else:
        print_verdicts(Console(markup=False, highlight=False, soft_wrap=True), verdicts)
    if not update:
        return ExitCode.FAILED if has_failed(verdicts) else ExitCode.OK
    for file in update_expectations(verdicts):
        print(f"updated {file}", file=sys.stderr)
    return ExitCode.FAILED if any(source.problem for source in verdicts) else ExitCode.OK


@app.command(name="types")
def write_types(folder: Path = Path()) -> None:
    """Write what functions see into a project folder, for editors: hookmill.d.ts and segment.pyi.

    Parameters
    ----------
    folder
        The project folder.
    """
    from console.declarations import write_declarations

    for path in write_declarations(folder):
        print(path)


@topics_app.command
def ensure(*, common: Common = Common()) -> ExitCode:
    """Create the topics that are missing; say where existing ones differ from what this version wants."""
    from hookmill.log import open_log

    config = common.config()

    async def run() -> ExitCode:
        for line in await open_log(config).ensure_topics(config.topics.names.specs()):
            print(line)
        return ExitCode.OK

    return run_async(run())


@app.command
def send(
    source: str,
    *,
    folder: Path = Path(),
    example: str | None = None,
    body: Path | None = None,
    url: str = "http://127.0.0.1:8080",
) -> ExitCode:
    """Post a sample webhook of a source to a running receiver.

    Parameters
    ----------
    source
        Slug of the source.
    folder
        The project folder, for its examples and tokens.
    example
        Name of the example, without `.json`; the first when not given.
    body
        A file to post instead of an example.
    url
        Where the receiver is.
    """
    from console.samples import choose_sample, post_sample
    from console.tokens import TokenFile

    token = TokenFile(folder).get(source)
    if token is None:
        raise ConfigError(f"{folder} has no token for source {source!r}. `hookmill dev` or `hookmill apply` makes one.")
    sample = choose_sample(folder, source, example, body)
    print(run_async(post_sample(url, token, sample)))
    return ExitCode.OK


@app.command
def config(*, common: Common = Common()) -> None:
    """List every option with its variable, its value now and its meaning; secrets are masked."""
    from console.options import list_options

    for line in list_options(common.config()):
        print(line)


def main() -> None:
    """Entry point of the command; ends the process with an `ExitCode`."""
    give_back_large_blocks()
    try:
        code = app(print_error=True, exit_on_error=False)
    except CycloptsError:
        sys.exit(ExitCode.USAGE)
    except HookmillError as error:
        print(f"hookmill: {error}", file=sys.stderr)
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        gc.freeze()  # what Python would look through several times while it ends: a fifth of a short command's CPU
    sys.exit(code or ExitCode.OK)
