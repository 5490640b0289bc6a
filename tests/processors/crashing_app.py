"""A function stage with a bug: `faust -A tests.processors.crashing_app worker`."""

from hookmill.config import load_config
from processors.app import create_app
from processors.runtimes.contract import Code, Invocation, Outcome
from tests.processors.parts import ScriptedPool


def _fail(code: Code, invocation: Invocation) -> Outcome:
    raise RuntimeError("a bug of ours")


app = create_app(load_config, lambda config: ScriptedPool(_fail))
