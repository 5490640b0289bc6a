"""The configuration of Prometheus and the alerts, held to what they say by Prometheus' own checker."""

from pathlib import Path

from tests.deploy.compose_file import read_yaml, services
from tests.deploy.prometheus_server import CONFIG, RULES, promtool


def test_the_configuration_is_valid() -> None:
    done = promtool("check", "config", str(CONFIG))

    assert done.returncode == 0, done.stderr


def test_alerts_fire_when_they_should_and_only_then() -> None:
    done = promtool("test", "rules", str(Path(__file__).with_name("alerts.yml")))

    assert done.returncode == 0, done.stderr + done.stdout


def test_every_alert_has_a_case_in_which_it_fires() -> None:
    cases = [
        case for test in read_yaml(Path(__file__).with_name("alerts.yml"))["tests"] for case in test["alert_rule_test"]
    ]
    rules = [rule for group in read_yaml(RULES)["groups"] for rule in group["rules"]]

    fired = {case["alertname"] for case in cases if case["exp_alerts"]}
    assert fired == {rule["alert"] for rule in rules if "alert" in rule}


def test_prometheus_scrapes_every_stage_of_the_compose_file() -> None:
    jobs = read_yaml(CONFIG)["scrape_configs"]
    targets = {target for job in jobs for group in job["static_configs"] for target in group["targets"]}

    probed = {
        f"{name}:{service['healthcheck']['test'][-1].split('/readyz')[0].rpartition(':')[2]}"
        for name, service in services().items()
        if service["image"] == "hookmill" and "healthcheck" in service
    }
    assert targets == probed
