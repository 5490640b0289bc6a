"""The form of the table: one row per rule and aspect, code in one language or both, and what must come of it."""

from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Any

from processors.runtimes.contract import Invocation, Status
from tests.processors.runtimes.languages import Twins, handlers, webhook


@dataclass(frozen=True)
class Case:
    """One row. `rule` is the number in the specification of Segment's functions, `title` what of it is shown.

    The code is the whole file; an empty one says that the rule is not one of that language.
    """

    rule: str
    title: str
    javascript: str
    python: str = ""
    _: KW_ONLY
    request: Invocation = field(default_factory=webhook)
    settings: Mapping[str, Any] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    status: Status = Status.OK
    events: Sequence[Any] = ()
    objects: Sequence[Any] = ()
    error: tuple[str, str] | None = None
    """Class and message; of a message that ends in an ellipsis only the beginning counts."""
    logs: Sequence[tuple[str, str]] = ()
    """Level and text of each line."""

    @property
    def code(self) -> Twins:
        """In both languages."""
        return Twins(self.javascript, self.python)


def handler(rule: str, title: str, javascript: str, python: str = "", **expected: Any) -> Case:
    """A row from the bodies of the handlers alone."""
    code = handlers(javascript, python)
    return Case(rule, title, code.javascript if javascript else "", code.python if python else "", **expected)


def value(rule: str, title: str, javascript: str, python: str = "", *, is_: Any, **options: Any) -> Case:
    """A row about expressions that must have the value `is_` within the handler, and the same in both languages."""
    return handler(
        rule,
        title,
        f"Segment.set({{collection: 'values', id: 1, properties: {{value: {javascript}}}}})",
        python and f"segment.set(collection='values', id=1, properties={{'value': {python}}})",
        objects=[{"collection": "values", "id": 1, "properties": {"value": is_}}],
        **options,
    )


def caught(rule: str, title: str, javascript: str, shown: str, *, is_: Any) -> Case:
    """A row about an `error` that code catches, of which the expression `shown` must have the value `is_`."""
    shows = f"Segment.set({{collection: 'values', id: 1, properties: {{value: {shown}}}}})"
    expected = {"collection": "values", "id": 1, "properties": {"value": is_}}
    return handler(rule, title, f"try {{ {javascript} }} catch (error) {{ {shows} }}", objects=[expected])


def rejected(rule: str, title: str, javascript: str, python: str = "", *, message: str) -> Case:
    """A row about a call that ends the invocation with a `ValidationError`."""
    return handler(rule, title, javascript, python, status=Status.REJECTED, error=("ValidationError", message))


def throws(rule: str, title: str, javascript: str, python: str = "", *, error: tuple[str, str], **options: Any) -> Case:
    """A row about an error that another try may not meet."""
    return handler(rule, title, javascript, python, status=Status.ERROR, error=error, **options)


def track(**fields: Any) -> dict[str, Any]:
    """The event of a call with `event: 'A', userId: '1'` and these fields."""
    return {"type": "track", "event": "A", "userId": "1", **fields}
