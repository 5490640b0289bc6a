"""`hookmill types`: what functions see, as declarations that editors and type checkers read."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import processors.runtimes
from console.functions import SHARED
from console.project import SOURCES, read_settings
from hookmill.codec import JsonValue
from hookmill.errors import ConfigError

_RUNTIMES: Final = Path(processors.runtimes.__file__).parent
_TYPESCRIPT: Final = "hookmill.d.ts"
_PYTHON: Final = "segment.pyi"
_COMPILER: Final = "tsconfig.json"

# Functions are no modules of each other, so that each may call its handler onRequest (moduleDetection); no types of
# browsers or Node.js, whose globals functions do not have; what esbuild takes, file by file (isolatedModules).
_COMPILER_OPTIONS: Final = {
    "target": "es2022",
    "lib": ["es2023"],
    "types": [],
    "module": "esnext",
    "moduleResolution": "bundler",
    "moduleDetection": "force",
    "allowImportingTsExtensions": True,
    "resolveJsonModule": True,
    "isolatedModules": True,
    "allowJs": True,
    "strict": True,
    "noEmit": True,
}


def write_declarations(folder: Path) -> list[Path]:
    """The project folder has declarations for both languages, written over those of another version; and a
    `tsconfig.json`, unless it has one. Returns what was written.

    Errors: `ConfigError`: no project, a `source.toml` that cannot be read, a file that cannot be written.
    """
    general = (_RUNTIMES / "javascript" / "segment.d.ts").read_text(encoding="utf-8")
    texts = {
        _TYPESCRIPT: f"{general}\n{declare_settings(read_settings(folder))}",
        _PYTHON: (_RUNTIMES / "python" / "segment.pyi").read_text(encoding="utf-8"),
    }
    if not (folder / _COMPILER).exists():
        compiler = {"compilerOptions": _COMPILER_OPTIONS, "include": [_TYPESCRIPT, SOURCES, SHARED]}
        texts[_COMPILER] = json.dumps(compiler, indent=2) + "\n"
    for name, text in texts.items():
        try:
            (folder / name).write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigError(f"{folder / name} cannot be written: {error.strerror}.") from None
    return [folder / name for name in texts]


def declare_settings(sources: Mapping[str, Mapping[str, JsonValue]]) -> str:
    """The type `Settings<'slug'>`: the settings of that source with the types that their values have."""
    lines = [f"  {json.dumps(slug)}: {_type_of(dict(settings))}" for slug, settings in sources.items()]
    return (
        "/** Settings by source, as its source.toml has them. */\n"
        "interface SettingsOfSources {\n" + "\n".join(lines) + "\n}\n"
        "type Settings<Source extends keyof SettingsOfSources> = SettingsOfSources[Source]\n"
    )


def _type_of(value: JsonValue) -> str:
    match value:
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case list():
            kinds = sorted({_type_of(item) for item in value})
            return f"({' | '.join(kinds)})[]" if kinds else "unknown[]"
        case dict():
            fields = (f"{json.dumps(name)}: {_type_of(item)}" for name, item in value.items())
            return f"{{ {'; '.join(fields)} }}" if value else "{}"
        case _:
            return "string"  # dates of TOML, too: functions get settings as JSON
