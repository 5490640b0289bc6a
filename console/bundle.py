"""TypeScript and imports of JavaScript: types erased, files bundled to one script, by esbuild."""

import base64
import json
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from hookmill.errors import ConfigError

SOURCE_MAP: Final = "//# sourceMappingURL=data:application/json;base64,"

_DEADLINE_S: Final = 30.0
_STATEMENT: Final = re.compile(r"""^\s*(?:import(?:\s+[\w$]|\s*[{*"'])|export(?:\s+\w|\s*[{*]))""", re.MULTILINE)

# The function's file becomes the body of a function, so that esbuild may rename what is in it: what a helper module
# calls onRequest comes first and keeps the name. The handler is therefore handed out by a line that is renamed with it.
# Undeclared, the name means the global that the last line makes, undefined until then.
_HANDLER_LINE: Final = "\nexport const hookmillHandler = () => onRequest;\n"
_OPTIONS: Final = (
    "--bundle",
    "--format=iife",
    "--global-name=hookmillBundle",
    "--footer:js=var onRequest = hookmillBundle.hookmillHandler();",
    "--target=node20",
    "--packages=external",
    "--charset=utf8",
    "--sourcemap=external",
    "--sources-content=false",
    "--tsconfig-raw={}",
    "--color=false",
    "--log-level=error",
)


def needs_bundling(file_name: str, code: str) -> bool:
    """TypeScript, or a line that begins like an import or export. All else runs byte for byte as it is written."""
    return file_name.endswith(".ts") or _STATEMENT.search(code) is not None


def bundle(function: Path, code: str, shared: Path) -> str:
    """One script that defines `onRequest`: the file, and what it imports from its own folder and from `shared`.

    It ends with a source map, by which runners tell positions in the files as they are written.
    Errors: `ConfigError`: esbuild is not there, does not understand a file, or an import is not allowed.
    """
    with tempfile.TemporaryDirectory(prefix="hookmill-") as scratch:
        output = Path(scratch).resolve() / "bundle.js"
        metafile = output.with_name("meta.json")
        _run_esbuild(function, code, output, metafile)
        refused = list(_refused_imports(function, json.loads(metafile.read_bytes())["inputs"], shared))
        if refused:
            raise ConfigError("\n".join(refused))
        source_map = json.loads(output.with_name("bundle.js.map").read_bytes())
        source_map["sources"] = [
            _name_of((output.parent / source).resolve(), function, shared) for source in source_map["sources"]
        ]
        encoded = base64.b64encode(json.dumps(source_map, separators=(",", ":")).encode()).decode()
        return f"{output.read_text(encoding='utf-8')}{SOURCE_MAP}{encoded}\n"


def _run_esbuild(function: Path, code: str, output: Path, metafile: Path) -> None:
    command = [_find_esbuild(function), *_OPTIONS, f"--loader={function.suffix.removeprefix('.')}"]
    command += [f"--sourcefile={function.name}", f"--outfile={output}", f"--metafile={metafile}"]
    try:
        done = subprocess.run(  # noqa: S603  # the command is ours
            command,
            cwd=function.parent,
            input=code + _HANDLER_LINE,
            capture_output=True,
            encoding="utf-8",
            timeout=_DEADLINE_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ConfigError(f"{function}: esbuild gave no answer within {_DEADLINE_S:g} s.") from None
    except OSError as error:
        raise ConfigError(f"{command[0]} does not start: {error.strerror}.") from None
    if done.returncode != 0:
        raise ConfigError(f"{function} cannot be bundled:\n{done.stderr.strip()}")


def _find_esbuild(function: Path) -> str:
    """Where npm puts it for the project or a folder around it, else the one on the PATH."""
    for folder in function.resolve().parents:
        local = folder / "node_modules" / ".bin" / "esbuild"
        if local.exists():
            return str(local)
    found = shutil.which("esbuild")
    if found is None:
        raise ConfigError(
            f"{function} needs esbuild, for its types or imports, and there is none in node_modules or on the PATH. "
            f"Install it in the project: npm install --save-dev esbuild"
        )
    return found


def _refused_imports(function: Path, inputs: Mapping[str, Any], shared: Path) -> Iterator[str]:
    """What to say about each import that is not of a file in the function's folder or in `shared`."""
    allowed = [function.parent.resolve(), shared.resolve()]
    for name, file in inputs.items():
        for package in (imported["path"] for imported in file["imports"] if imported.get("external")):
            yield (
                f'{function.parent / name} imports the package "{package}". A function may import files of its own '
                f"folder and of {shared}; what else there is are the globals that `hookmill types` lists."
            )
        path = (function.parent / name).resolve()
        if not any(path.is_relative_to(folder) for folder in allowed):
            yield f"{function} imports {path}, which is neither in {function.parent} nor in {shared}: move it there."


def _name_of(path: Path, function: Path, shared: Path) -> str:
    """What stacks call a file: `lib/money.ts` beside the function, `shared/money.ts` of the project."""
    for folder in (function.parent.resolve(), shared.resolve().parent):
        if path.is_relative_to(folder):
            return path.relative_to(folder).as_posix()
    return path.name
