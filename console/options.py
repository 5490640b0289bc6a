"""The options as text: what `hookmill config` prints."""

from collections.abc import Iterator

from pydantic import BaseModel, SecretStr

from hookmill.config import ENV_PREFIX, Config


def list_options(config: Config) -> Iterator[str]:
    """A line per option: variable, value in force, meaning. Secrets show as `**********`."""
    yield from _section(config, ENV_PREFIX)


def _section(section: BaseModel, prefix: str) -> Iterator[str]:
    for name, field in type(section).model_fields.items():
        value = getattr(section, name)
        variable = prefix + name.upper()
        if isinstance(value, BaseModel):
            yield from _section(value, variable + "__")
        else:
            meaning = " ".join((field.description or "").split())
            yield f"{variable}={_shown(value)}" + (f"  # {meaning}" if meaning else "")


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
