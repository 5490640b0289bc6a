"""Both hostile functions against every set of layers: nothing gets through all of them, and the docs tell the rest."""

import platform
import shutil
from pathlib import Path

import pytest

from processors.runtimes.confinement import available
from tests.processors.runtimes.attacks.levels import COLUMNS, complete_with, read_table, run_as, users

DOCUMENT = Path(__file__).parents[4] / "docs" / "isolation.md"
MEASURED_ON = "Linux 6.18"
LANGUAGES = ("python", "javascript")


@pytest.fixture(scope="session")
def node() -> str:
    found = shutil.which("node")
    if found is None:
        pytest.skip("needs node on the PATH")
    return found


@pytest.mark.parametrize("user", users())
@pytest.mark.parametrize("language", LANGUAGES)
def test_no_attack_gets_through_all_layers_on_any_version_of_landlock(node: str, language: str, user: str) -> None:
    run = run_as(user, node)
    versions = range(1, available().landlock_abi + 1)

    assert {version: run.let_through[complete_with(version)][language] for version in versions} == {
        version: [] for version in versions
    }


@pytest.mark.skipif("root" not in users(), reason="some attacks are only open to root")
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_attack_gets_through_where_there_are_no_layers(node: str, language: str) -> None:
    run = run_as("root", node)

    assert set(run.attacks[language]) - set(run.let_through["nothing"][language]) == set()


@pytest.mark.parametrize("user", users())
def test_what_lower_levels_let_through_is_in_the_docs(node: str, user: str) -> None:
    text = DOCUMENT.read_text()
    documented = read_table(text.partition(f"<!-- {user} -->\n")[2].partition("\n\n")[0].splitlines())
    run = run_as(user, node)

    for column in set(COLUMNS) & set(run.let_through):
        for language, letter in zip(LANGUAGES, "PJ", strict=True):
            told = {name for (name, of), cell in documented.items() if of == column and letter in cell}
            seen = set(run.let_through[column][language]) & set(run.attacks[language])
            assert seen <= told, f"make it anew: python -m {__package__}"
            # On other kernels, and with less than all of root's capabilities, less may get through.
            if platform.release().startswith(MEASURED_ON.partition(" ")[2] + "."):
                assert told == seen, f"make it anew: python -m {__package__}"
    assert {name for name, _ in documented} == {*run.attacks["python"], *run.attacks["javascript"]}
