"""The image without an engine to build it: what its Dockerfile copies is there, is let through, and is enough."""

import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from tests.processes import ROOT

DOCKERFILE = ROOT / "deploy" / "Dockerfile"


def copied() -> list[str]:
    """What the Dockerfile takes from the repository."""
    lines = re.findall(r"^COPY (?!--from)(.+)$", DOCKERFILE.read_text(), re.MULTILINE)
    return [source for line in lines for source in line.split()[:-1]]


def test_what_is_copied_exists_and_is_not_kept_from_the_build() -> None:
    ignore_file = DOCKERFILE.with_name("Dockerfile.dockerignore").read_text()
    let_through = {line.removeprefix("!") for line in ignore_file.splitlines() if line.startswith("!")}

    assert [source for source in copied() if not (ROOT / source).exists()] == []
    assert {source.split("/")[0] for source in copied()} == let_through


def test_what_is_copied_builds_the_package_with_its_command(tmp_path: Path) -> None:
    source = tmp_path / "src"
    for name in copied():
        copy(ROOT / name, source / name)

    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(tmp_path), str(source)]
    subprocess.run([sys.executable, "-m", "pip", *build], capture_output=True, timeout=110, check=True)

    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = wheel.namelist()
        entry_points = wheel.read(next(name for name in names if name.endswith("entry_points.txt"))).decode()
    assert "hookmill = console.main:main" in entry_points
    shipped = {str(path.relative_to(ROOT)) for package in packages() for path in code_of(ROOT / package)}
    assert shipped - set(names) == set()


def test_nothing_in_the_image_runs_as_root() -> None:
    users = re.findall(r"^USER (.+)$", DOCKERFILE.read_text(), re.MULTILINE)

    assert users == ["hookmill"]


def packages() -> list[str]:
    return [source for source in copied() if (ROOT / source).is_dir()]


def code_of(package: Path) -> list[Path]:
    """Python and the JavaScript of the runners."""
    return [path for suffix in ("py", "cjs", "js") for path in package.rglob(f"*.{suffix}")]


def copy(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
