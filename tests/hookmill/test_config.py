"""Configuration: environment, overrides, refusals."""

from pathlib import Path

import pytest

from hookmill.config import load_config
from hookmill.errors import ConfigError


def test_the_environment_sets_nested_options(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKMILL_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    monkeypatch.setenv("HOOKMILL_DATA_DIR", "/srv/data")

    config = load_config()

    assert config.kafka.bootstrap_servers == "127.0.0.1:9092"
    assert config.data_dir == Path("/srv/data")


def test_overrides_win_over_the_environment_and_none_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKMILL_INGEST__PORT", "9000")
    monkeypatch.setenv("HOOKMILL_INGEST__HOST", "::1")

    config = load_config({"ingest": {"port": 9001, "host": None}})

    assert (config.ingest.port, config.ingest.host) == (9001, "::1")


@pytest.mark.parametrize("name", ["HOOKMILL_INGEST__PROT", "HOOKMILL_PROT", "HOOKMILL_KAFKA__X__Y"])
def test_an_unknown_option_is_refused_by_its_name(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv(name, "1")

    with pytest.raises(ConfigError, match=f"{name} is not an option"):
        load_config()


def test_a_bad_value_is_named_with_its_option(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKMILL_INGEST__PORT", "70000")

    with pytest.raises(ConfigError, match=r"HOOKMILL_INGEST__PORT is '70000': Input should be less"):
        load_config()


def test_a_section_given_as_a_value_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKMILL_KAFKA", "here")

    with pytest.raises(ConfigError, match="HOOKMILL_KAFKA"):
        load_config()


def test_secrets_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKMILL_KAFKA__SASL_PASSWORD", "hunter2")

    assert "hunter2" not in repr(load_config())


def test_the_delays_of_retries_are_a_rising_list_of_five(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOOKMILL_RETRY__DELAYS_S", "0.1,0.2,0.2, 4,5")
    assert load_config().retry.delays_s == (0.1, 0.2, 0.2, 4.0, 5.0)

    for bad in ("5,25", "5,4,3,2,1", "0,1,2,3,4", "soon", ""):
        monkeypatch.setenv("HOOKMILL_RETRY__DELAYS_S", bad)
        with pytest.raises(ConfigError, match="HOOKMILL_RETRY"):
            load_config()
