"""A real Prometheus for tests: with the configuration of `deploy/`, but for the addresses and the times."""

import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from tests.deploy.compose_file import read_yaml
from tests.processes import ROOT, free_port

FOLDER = ROOT / "deploy" / "prometheus"
CONFIG = FOLDER / "prometheus.yml"
RULES = FOLDER / "rules.yml"

READY_DEADLINE_S = 60.0
INTERVAL = "1s"


def find_program(name: str) -> str:
    """The program of the Debian package `prometheus`; without it the test is skipped, in CI it fails."""
    found = shutil.which(name)
    if found is None:
        words = f"{name} is not on the PATH: apt-get install --no-install-recommends prometheus"
        if os.environ.get("CI"):
            pytest.fail(words)
        pytest.skip(words)
    return found


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    """What the checker says."""
    command = [find_program("promtool"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


class Prometheus:
    """Scrapes `targets`, by the address that the committed configuration has for them. A context manager."""

    def __init__(self, folder: Path, targets: Mapping[str, str]) -> None:
        self._folder = folder
        self._targets = targets
        self._address = f"127.0.0.1:{free_port()}"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> "Prometheus":
        program = find_program("prometheus")
        config = self._folder / "prometheus.yml"
        with config.open("w", encoding="utf-8") as file:
            YAML(typ="safe", pure=True).dump(self._config(), file)
        command = [program, f"--config.file={config}", f"--storage.tsdb.path={self._folder / 'data'}"]
        with (self._folder / "prometheus.log").open("wb") as output:
            self._process = subprocess.Popen(
                [*command, f"--web.listen-address={self._address}"], stdout=output, stderr=output
            )
        self._wait_until_ready()
        return self

    def __exit__(self, *exc_info: object) -> None:
        assert self._process is not None
        self._process.kill()
        self._process.wait(10)

    def query(self, expression: str) -> list[float]:
        """Values of the expression now, one per series. Errors: `HTTPError` when it does not parse."""
        answer = self._get("query?" + urllib.parse.urlencode({"query": expression}))
        return [float(series["value"][1]) for series in answer["result"]]

    def rules(self) -> Sequence[Mapping[str, Any]]:
        """Every rule with its health and state."""
        return [rule for group in self._get("rules")["groups"] for rule in group["rules"]]

    def _config(self) -> Any:
        config = read_yaml(CONFIG)
        config["global"] = {"scrape_interval": INTERVAL, "evaluation_interval": INTERVAL}
        config["rule_files"] = [str(FOLDER / name) for name in config["rule_files"]]
        for job in config["scrape_configs"]:
            for group in job["static_configs"]:
                group["targets"] = [self._targets[target] for target in group["targets"]]
        return config

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://{self._address}/api/v1/{path}", timeout=30) as answer:
            return json.load(answer)["data"]

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + READY_DEADLINE_S
        while True:
            try:
                with urllib.request.urlopen(f"http://{self._address}/-/ready", timeout=2):
                    return
            except (urllib.error.URLError, OSError):
                if time.monotonic() > deadline:
                    self.__exit__()
                    raise AssertionError((self._folder / "prometheus.log").read_text()) from None
                time.sleep(0.05)
