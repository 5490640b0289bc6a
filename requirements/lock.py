"""Resolves the dependencies of pyproject.toml and of npm/package.json into hashed requirement files, one per use.

An export instead of uv.lock: that names a download address per file, this names packages and hashes only.
"""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent


def main() -> None:
    """Every file is written anew; the versions of `runtime.txt` hold in the others."""
    compile_file("uv.txt", ["--group", "uv"])
    compile_file("runtime.txt", ["pyproject.toml", "--extra", "all", "--group", "build"])
    constrained = ["--constraint", "requirements/runtime.txt"]
    dev = ["--extra", "all", "--extra", "duckdb", "--extra", "parquet", "--group", "build", "--group", "dev"]
    compile_file("dev.txt", ["pyproject.toml", *dev, *constrained])
    compile_file("node.txt", ["--group", "node"])
    compile_file("java.txt", ["--group", "java"])
    compile_file("clickhouse.txt", ["--group", "clickhouse", "--constraint", "requirements/dev.txt"])
    compile_file("s3.txt", ["--group", "s3"])
    compile_file("dlt.txt", ["--group", "dlt"])
    lock_npm()


def compile_file(name: str, arguments: list[str]) -> None:
    """`requirements/<name>` holds the resolution of `arguments` for every platform and Python from 3.11 on."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--universal", "--python-version", "3.11"]
    command += ["--generate-hashes", "--no-header", "--no-annotate", "--upgrade"]
    subprocess.run([*command, *arguments, "--output-file", f"requirements/{name}"], cwd=ROOT, check=True)


def lock_npm() -> None:
    """`requirements/npm/package-lock.json` has the newest versions that `package.json` allows, without addresses."""
    npm = [sys.executable, "requirements/npm/run.py"]
    options = ["--package-lock-only", "--omit-lockfile-registry-resolved", "--no-audit", "--no-fund", "--silent"]
    subprocess.run([*npm, "update", *options], cwd=ROOT, check=True)


if __name__ == "__main__":
    main()
