"""Runners on a busy machine."""

import msgspec
import pytest

from processors.runtimes.contract import Code
from processors.runtimes.limits import Limits, limits_of


@pytest.fixture
def load_ms() -> int:
    """How long the top level of a function may take: longer than a busy machine takes for what lasts a millisecond."""
    return 8_000


@pytest.fixture(autouse=True)
def _patient_loads(load_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def patient_limits_of(code: Code) -> Limits:
        return msgspec.structs.replace(limits_of(code), load_ms=load_ms)

    monkeypatch.setattr("processors.runtimes.runner.limits_of", patient_limits_of)
