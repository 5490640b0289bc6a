"""What the runner gets of a source."""

from hookmill.registry import Function, Source
from processors.code import code_of

FUNCTION = Function("shop", "0123", "python", "function.py", "")


def test_the_texts_of_secret_settings_are_named_as_secrets() -> None:
    settings = {"key": "s3cret-1", "keys": {"a": ["s3cret-2", 31337], "b": None, "c": True}, "region": "eu-west"}
    source = Source("shop", "Shop", (), "0123", settings, secret_settings=("key", "keys"))

    code = code_of(source, FUNCTION)

    assert code.secrets == ["s3cret-1", "s3cret-2", "31337"]
    assert code.settings == settings
