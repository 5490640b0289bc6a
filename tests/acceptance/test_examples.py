"""The examples of the projects we ship: each webhook produces what its file says."""

import json
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pytest

from console.project import load_project
from console.samples import example_files, load_example
from console.starter import create_project
from processors.code import code_of
from processors.runtimes.contract import Invocation, Status
from processors.runtimes.pool import ProcessPool
from tests.processes import QUICKSTART


@pytest.fixture(params=["quickstart", "starter"])
def project_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "quickstart":
        return QUICKSTART
    create_project(tmp_path / "starter")
    return tmp_path / "starter"


async def test_every_example_produces_what_it_says(project_folder: Path) -> None:
    tried = 0
    async with ProcessPool(None, max_runners=4, idle_s=5.0) as pool:
        for source in load_project(project_folder).sources:
            for path in example_files(source.folder):
                sample = load_example(path)
                invocation = Invocation(
                    "r-1", "POST", "https://hooks.example/", list(sample.headers.items()), sample.body
                )

                (outcome,) = await pool.run(code_of(source.entity(()), source.function), [invocation])

                assert outcome.status is Status.OK, (path, outcome.error)
                made = {"events": decoded(outcome.events), "objects": decoded(outcome.objects)}
                assert made == json.loads(path.read_text())["expect"], path
                tried += 1
    assert tried > 0


def decoded(messages: Sequence[msgspec.Raw]) -> list[object]:
    return [msgspec.json.decode(message) for message in messages]
