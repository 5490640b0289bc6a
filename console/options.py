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
            shown = "" if value is None else str(value) if not isinstance(value, SecretStr) else "**********"
            meaning = " ".join((field.description or "").split())
            yield f"{variable}={shown}" + (f"  # {meaning}" if meaning else "")
