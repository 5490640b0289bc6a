"""Where the token is in a target, and what is left without it."""

import pytest

from ingest.target import parse_target


@pytest.mark.parametrize(
    ("raw", "token", "cleaned"),
    [
        ("/?b=tok", "tok", "/"),
        ("/?b=tok&x=1", "tok", "/?x=1"),
        ("/?x=%41&b=tok&y=a+b&&z", "tok", "/?x=%41&y=a+b&&z"),
        ("/v1/webhooks/tok", "tok", "/"),
        ("/v1/webhooks/tok?x=%41&&y", "tok", "/?x=%41&&y"),
        ("/", "", "/"),
        ("/?x=1", "", "/?x=1"),
        ("/?b=", "", "/"),
        ("/v1/webhooks/", "", "/"),
    ],
)
def test_token_is_taken_out_and_the_rest_stays_byte_for_byte(raw: str, token: str, cleaned: str) -> None:
    assert parse_target(raw) == (token, cleaned)


@pytest.mark.parametrize("raw", ["/?b=a%2Bb%3D%3D", "/?b=a+b==", "/v1/webhooks/a+b%3D="])
def test_token_is_percent_decoded_and_keeps_its_plus(raw: str) -> None:
    assert parse_target(raw) == ("a+b==", "/")


def test_every_b_is_taken_out_and_the_first_one_counts() -> None:
    assert parse_target("/?b=first&x=1&%62=second&b=third") == ("first", "/?x=1")


def test_target_with_scheme_and_host_is_read_like_any_other() -> None:
    assert parse_target("http://hooks.example:8080/?b=tok&x=1") == ("tok", "/?x=1")
    assert parse_target("https://hooks.example/v1/webhooks/tok") == ("tok", "/")


@pytest.mark.parametrize(
    "raw", ["/x", "//?b=tok", "/v1/webhooks", "/v1/webhooks/a/b", "/v1/webhook/tok", "*", "", "hooks.example:443"]
)
def test_other_paths_are_not_ours(raw: str) -> None:
    assert parse_target(raw) is None
