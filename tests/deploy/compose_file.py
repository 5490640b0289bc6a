"""`docker-compose.yml` as read by tests, and what of it can run on this machine without Docker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from tests.processes import ROOT

COMPOSE = ROOT / "docker-compose.yml"
OUR_IMAGE = "hookmill"


def read_yaml(path: Path) -> Any:
    """The document in the file, anchors resolved."""
    return YAML(typ="safe", pure=True).load(path.read_text(encoding="utf-8"))


def services() -> dict[str, dict[str, Any]]:
    """Every service by name."""
    found: dict[str, dict[str, Any]] = read_yaml(COMPOSE)["services"]
    return found


def our_services() -> dict[str, dict[str, Any]]:
    """The services that run the command `hookmill`."""
    return {name: service for name, service in services().items() if service["image"] == OUR_IMAGE}


@dataclass(frozen=True)
class Machine:
    """What stands on this machine for what is in the containers: text by text of the compose file."""

    replacements: Mapping[str, str]

    def text(self, value: object) -> str:
        """The value as it is on this machine."""
        text = str(value)
        for inside, here in self.replacements.items():
            text = text.replace(inside, here)
        return text

    def command(self, service: str) -> list[str]:
        """Arguments of `hookmill` for the service."""
        return self.arguments(services()[service]["command"])

    def arguments(self, command: Sequence[str]) -> list[str]:
        return [self.text(argument) for argument in command]

    def environment(self, service: str) -> dict[str, str]:
        """Variables of the service."""
        return {name: self.text(value) for name, value in services()[service]["environment"].items()}
