"""The options as text: what `hookmill config` prints."""

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Mapping

from pydantic import BaseModel, SecretStr

from hookmill.config import ENV_PREFIX, Config


def list_options(config: Config) -> Iterator[str]:
    """A line per option: variable, value in force, meaning. Secrets show as `**********`."""
    yield from _section(config, ENV_PREFIX)


def _section(section: BaseModel, prefix: str) -> Iterator[str]:
    meanings = _meanings(type(section))
    for name in type(section).model_fields:
        value = getattr(section, name)
        variable = prefix + name.upper()
        if isinstance(value, BaseModel):
            yield from _section(value, variable + "__")
        else:
            meaning = meanings.get(name, "")
            yield f"{variable}={_shown(value)}" + (f"  # {meaning}" if meaning else "")


def _meanings(section: type[BaseModel]) -> Mapping[str, str]:
    """The docstrings of the options. Pydantic could read them too, but would do so at every start of every process."""
    [definition] = ast.parse(textwrap.dedent(inspect.getsource(section))).body
    assert isinstance(definition, ast.ClassDef)
    found: dict[str, str] = {}
    for option, text in itertools.pairwise(definition.body):
        match option, text:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(meaning))):
                found[name] = " ".join(meaning.split())
    return found


def _shown(value: object) -> str:
    """The value as its variable takes it."""
    match value:
        case None:
            return ""
        case SecretStr():
            return "**********"
        case tuple():
            return ",".join(f"{item:g}" for item in value)
    return str(value)
