"""The examples of the projects we ship: each webhook produces what its file says."""

from pathlib import Path

import pytest

from console.starter import create_project
from tests.processes import QUICKSTART, run_hookmill


@pytest.fixture(params=["quickstart", "starter"])
def project_folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "quickstart":
        return QUICKSTART
    create_project(tmp_path / "starter")
    return tmp_path / "starter"


def test_every_example_produces_what_it_says(project_folder: Path) -> None:
    examples = len(list(project_folder.glob("sources/*/examples/*.json")))

    code, output = run_hookmill("test", str(project_folder))

    assert code == 0, output
    assert output.splitlines()[-1] == f"{examples} passed, 0 failed"
