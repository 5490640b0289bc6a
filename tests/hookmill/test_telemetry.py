"""What log lines tell."""

import subprocess
import sys

import pytest

from tests.processes import ROOT

FAILING = """
import sys
from hookmill.config import LoggingConfig
from hookmill.telemetry import configure_logging, get_logger

def fail(payload):
    raise ZeroDivisionError("by zero")

configure_logging(LoggingConfig(format=sys.argv[1]))
try:
    fail("a secret " + "payload")
except ZeroDivisionError:
    get_logger("test").exception("it.failed")
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_a_traceback_names_places_and_shows_no_values(form: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FAILING, form], cwd=ROOT, capture_output=True, text=True, timeout=120, check=True
    )

    assert "it.failed" in done.stderr
    assert "in fail" in done.stderr
    assert "ZeroDivisionError: by zero" in done.stderr
    assert "a secret payload" not in done.stderr
