"""Where a runner has no orjson, JSON in and out is as strict and as compact."""

import json
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from processors.runtimes.python.hookmill_runtime import codec

VALUES: list[Any] = [{"a": [1, 2.5, None, True]}, {"é": "\u2028🎉"}, datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC)]
REFUSED = [b"\xff{", b"[NaN]", b"[1,]", b"", b"\xff\xfe{\x00}\x00"]


@pytest.mark.parametrize("value", VALUES)
def test_written_as_orjson_does(value: Any) -> None:
    assert codec.dumps(value) == orjson.dumps(value)


@pytest.mark.parametrize("content", REFUSED)
def test_what_orjson_refuses_is_refused(content: bytes) -> None:
    with pytest.raises(orjson.JSONDecodeError):
        orjson.loads(content)
    with pytest.raises(json.JSONDecodeError):
        codec.loads(content)


@pytest.mark.parametrize("value", [{1, 2}, {"a": object()}])
def test_what_json_has_no_form_for_is_a_type_error(value: Any) -> None:
    with pytest.raises(TypeError):
        codec.dumps(value)
