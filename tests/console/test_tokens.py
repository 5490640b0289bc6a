"""The token file of a project."""

from pathlib import Path

import pytest

from console.tokens import TokenFile
from hookmill.errors import ConfigError


def test_a_token_is_kept_for_the_owner_alone(tmp_path: Path) -> None:
    token = TokenFile(tmp_path).create("shop")

    again = TokenFile(tmp_path)

    assert again.get("shop") == token
    assert len(token) >= 32
    assert again.path.stat().st_mode & 0o077 == 0


def test_an_unknown_source_has_no_token(tmp_path: Path) -> None:
    assert TokenFile(tmp_path).get("shop") is None


@pytest.mark.parametrize("text", ["{", "[]", '{"shop": 1}', ""])
def test_a_damaged_file_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    path = TokenFile(tmp_path).path
    path.parent.mkdir()
    path.write_text(text)

    with pytest.raises(ConfigError, match=r"tokens.json is damaged"):
        TokenFile(tmp_path)
