"""A source's function as it is published: one script for JavaScript, the file and its helper modules for Python."""

from pathlib import Path
from typing import Final

from console.bundle import bundle, needs_bundling
from hookmill.errors import ConfigError
from hookmill.registry import Function, function_version

LANGUAGES: Final = {".js": "javascript", ".ts": "javascript", ".py": "python"}
SHARED: Final = "shared"
"""Folder of the project that the functions of all its sources may import from."""


def load_function(slug: str, source_file: Path, file_name: str) -> Function:
    """The function that a `source.toml` names. Errors: `ConfigError` naming the file and what is wrong with it."""
    folder = source_file.parent
    path = folder / file_name
    if path.resolve().parent != folder.resolve():
        raise ConfigError(f'{source_file}: function = "{file_name}" must be a file beside it.')
    language = LANGUAGES.get(path.suffix)
    if language is None:
        raise ConfigError(f'{source_file}: function = "{file_name}" must end in .js, .ts or .py.')
    if not path.exists():
        raise ConfigError(f"{path}, named by {source_file}, cannot be read: No such file.")
    code = _read(path)
    shared = folder.parent.parent / SHARED
    modules = _python_modules(path, shared) if language == "python" else {}
    if language == "javascript" and needs_bundling(file_name, code):
        code = bundle(path, code, shared)
    version = function_version(file_name, code, modules)
    return Function(slug, version, language, file_name, code, modules)


def _python_modules(function: Path, shared: Path) -> dict[str, str]:
    """Text by the path that the module is imported by: `helpers.py`, and of the project `shared/money.py`."""
    folder = function.parent
    if (folder / SHARED).exists() and shared.exists():
        raise ConfigError(f"{folder / SHARED} hides {shared} from the function: rename one of them.")
    beside = {file.relative_to(folder).as_posix(): file for file in _python_files(folder) if file != function}
    common = {file.relative_to(shared.parent).as_posix(): file for file in _python_files(shared)}
    return {name: _read(file) for name, file in sorted({**beside, **common}.items())}


def _python_files(folder: Path) -> list[Path]:
    """Hidden ones and those in hidden folders are no modules."""
    files = folder.rglob("*.py")
    return [file for file in files if not any(part.startswith(".") for part in file.relative_to(folder).parts)]


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode()  # as it is: reading as text would change line ends
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text: {error.reason} at byte {error.start}.") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}.") from None
