"""`hookmill test`: examples through real runners, from the command line."""

import json
import shutil
from pathlib import Path

import pytest

from tests.processes import QUICKSTART, run_hookmill

CONFIG = 78
FAILED = 1


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the quickstart."""
    return shutil.copytree(QUICKSTART, tmp_path / "project", ignore=shutil.ignore_patterns(".hookmill"))


def add_example(project: Path, source: str, name: str, **content: object) -> Path:
    path = project / "sources" / source / "examples" / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


def test_a_difference_is_shown_and_ends_with_exit_code_1(project: Path) -> None:
    path = project / "sources" / "pipedrive" / "examples" / "deal-won.json"
    path.write_text(path.read_text().replace('"revenue": 18400', '"revenue": 18500'))

    code, output = run_hookmill("test", str(project))

    assert code == FAILED
    assert '    -        "revenue": 18500,' in output
    assert '    +        "revenue": 18400,' in output
    assert output.splitlines()[-1] == "2 passed, 1 failed"


def test_one_source_can_be_chosen(project: Path) -> None:
    code, output = run_hookmill("test", str(project), "--source", "zuora")

    assert (code, output.splitlines()[0], output.splitlines()[-1]) == (0, "zuora", "1 passed, 0 failed")


def test_an_example_without_expectation_runs_and_is_shown(project: Path) -> None:
    body = {"meta": {"object": "deal"}, "current": {"id": 7, "status": "open"}}
    add_example(project, "pipedrive", "quiet", body=body)

    code, output = run_hookmill("test", str(project), "--source", "pipedrive")

    assert code == 0
    assert '"collection": "deals", "id": "7"' in output
    assert output.splitlines()[-1] == "1 passed, 0 failed, 1 without expectation"


def test_settings_of_an_example_go_over_those_of_its_source(project: Path) -> None:
    won = json.loads((project / "sources" / "pipedrive" / "examples" / "deal-won.json").read_text())
    won["settings"] = {"won_event": "Won"}
    won["expect"]["events"][0]["event"] = "Won"
    add_example(project, "pipedrive", "other-setting", **won)

    code, output = run_hookmill("test", str(project), "--source", "pipedrive")

    assert code == 0, output
    assert output.splitlines()[-1] == "2 passed, 0 failed"


def test_errors_can_be_expected(project: Path) -> None:
    error = {"class": "EventNotSupported", "message": "added.person is not handled"}
    body = {"meta": {"object": "person", "action": "added"}}
    add_example(project, "pipedrive", "person", body=body, expect={"status": "rejected", "error": error})
    add_example(project, "pipedrive", "broken", body_text="{", expect={"error": {"class": "SyntaxError"}})

    code, output = run_hookmill("test", str(project), "--source", "pipedrive")

    assert code == 0, output
    assert output.splitlines()[-1] == "3 passed, 0 failed"


def test_output_that_the_split_refuses_is_refused_here_too(project: Path) -> None:
    (project / "sources" / "zuora" / "function.py").write_text(
        "import segment\n\ndef on_request(request, settings):\n    segment.set(collection='c' * 101, id=1)\n"
    )

    code, output = run_hookmill("test", str(project), "--source", "zuora")

    assert code == FAILED
    assert "InvalidOutput" in output


def test_update_writes_what_came(project: Path) -> None:
    path = add_example(project, "drift", "message", body={"type": "new_message", "data": {}}, expect={"status": "ok"})
    untouched = project / "sources" / "drift" / "examples" / "new-conversation.json"
    before = untouched.read_bytes()

    code, output = run_hookmill("test", str(project), "--update")

    assert code == 0
    assert f"updated {path}" in output
    assert json.loads(path.read_text())["expect"] == {
        "status": "rejected",
        "error": {"class": "EventNotSupported", "message": "new_message is not handled"},
        "events": [],
        "objects": [],
    }
    assert untouched.read_bytes() == before
    assert run_hookmill("test", str(project))[0] == 0


def test_programs_get_json(project: Path) -> None:
    path = add_example(project, "zuora", "refund", body={"eventType": "Refund"}, expect={})

    code, output = run_hookmill("test", str(project), "--json")
    result = json.loads(output)

    assert code == FAILED
    assert result["failed"] is True
    assert [source["source"] for source in result["sources"]] == ["drift", "pipedrive", "zuora"]
    refund = result["sources"][2]["examples"][1]
    assert (refund["name"], refund["file"], refund["result"]) == ("refund", str(path), "failed")
    assert refund["error"]["class"] == "EventNotSupported"
    assert refund["diff"][0] == "--- expected"


def test_a_function_that_does_not_load_fails_and_the_others_run(project: Path) -> None:
    function = project / "sources" / "zuora" / "function.py"
    function.write_text("def on_request(request, settings)\n    pass\n")

    code, output = run_hookmill("test", str(project))

    assert code == FAILED
    assert f"{function}:1" in output
    assert "SyntaxError" in output
    assert output.splitlines()[-1] == "2 passed, 0 failed, 1 function not loaded"


def test_a_project_without_examples_is_no_success(project: Path) -> None:
    for folder in project.glob("sources/*/examples"):
        shutil.rmtree(folder)

    code, output = run_hookmill("test", str(project))

    assert code == CONFIG
    assert "There are no examples in" in output


def test_an_unknown_source_is_refused_with_those_that_exist(project: Path) -> None:
    code, output = run_hookmill("test", str(project), "--source", "shop")

    assert code == CONFIG
    assert "has no source 'shop'; it has: drift, pipedrive, zuora" in output


def test_a_broken_example_is_refused_before_anything_runs(project: Path) -> None:
    path = project / "sources" / "zuora" / "examples" / "bad.json"
    path.write_text('{"body": 1, "colour": 2}')

    code, output = run_hookmill("test", str(project))

    assert code == CONFIG
    assert output.strip() == f"hookmill: {path}: colour is not a field of an example."
