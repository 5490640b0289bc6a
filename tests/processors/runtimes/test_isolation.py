"""Which layers runners get, and when the pool refuses to start."""

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from hookmill.errors import ConfigError
from processors.runtimes import isolation
from processors.runtimes.confinement import Layers, Level
from processors.runtimes.isolation import layers_for
from processors.runtimes.pool import ProcessPool

OLD_KERNEL = Layers(no_new_privs=True, rlimits=True, landlock_abi=0, seccomp=True)


@pytest.fixture
def old_kernel(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine without Landlock."""
    monkeypatch.setattr(isolation, "available", lambda: OLD_KERNEL)


@pytest.mark.usefixtures("old_kernel")
async def test_strict_pool_does_not_start_without_a_layer_and_names_it() -> None:
    with pytest.raises(ConfigError, match="lacks Landlock"):
        async with ProcessPool(None, max_runners=1, idle_s=1, isolation=Level.STRICT):
            pass


@pytest.mark.usefixtures("old_kernel")
async def test_best_effort_takes_what_there_is_and_says_what_is_missing() -> None:
    with capture_logs() as lines:
        assert await layers_for(Level.BEST_EFFORT) == OLD_KERNEL

    [line] = [line for line in lines if line["event"] == "runner.isolation"]
    assert line["log_level"] == "warning"
    assert line["missing"] == ["Landlock (Linux 5.13 or newer)"]


async def test_limits_of_a_function_hold_at_level_off() -> None:
    assert await layers_for(Level.OFF) == Layers(no_new_privs=False, rlimits=True, landlock_abi=0, seccomp=False)


@pytest.mark.usefixtures("old_kernel")
async def test_metric_tells_level_and_layers() -> None:
    await layers_for(Level.BEST_EFFORT)

    labels = {
        "level": "best-effort",
        "no_new_privs": "True",
        "rlimits": "True",
        "landlock_abi": "0",
        "seccomp": "True",
    }
    assert REGISTRY.get_sample_value("hookmill_runner_isolation", labels) == 1.0
