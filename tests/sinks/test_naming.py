"""Names of tables and columns."""

import pytest

from sinks.naming import (
    MAX_NAME_BYTES,
    NameCache,
    event_column,
    event_table,
    identifier,
    name_part,
    object_column,
    object_table,
    schema_name,
    snake_case,
)

PUBLISHED = {
    "sampleText": "sample_text",
    "samPLE text": "sam_ple_text",
    "sample text": "sample_text",
    "sample-text": "sample_text",
    "sample_text": "sample_text",
    "sample___text": "sample_text",
    "sample 2 Text": "sample_2_text",
    "   $#$sample   2    Text   ": "sample_2_text",
    "SAMPLE 2 TEXT": "sample_2_text",
    "inviteYourCustomersAddInvites": "invite_your_customers_add_invites",
    "___$$Base64Encode": "base64_encode",
    "FOO:BAR$BAZ": "foo_bar_baz",
    "FOO#BAR#BAZ": "foo_bar_baz",
    "something.com": "something_com",
    "$something%": "something",
    "•¶§ƒ˚foo˙∆˚¬": "foo",
    "CStringRef": "cstring_ref",
    "5test": "5test",
    "test5": "test5",
    "THE5r": "the5r",
    "5TEst": "5test",
    "_5TEst": "5test",
    "@%#&5TEst": "5test",
    "edf_6N": "edf_6n",
    "f_pX9": "f_p_x9",
    "p_z9Rg": "p_z9_rg",
    "2FA Enabled": "2fa_enabled",
    "Enabled 2FA": "enabled_2fa",
    "lk0B@bFmjrLQ_Z6YL": "lk0_b_b_fmjr_lq_z6yl",
}
"""Cases of Segment's own package (SEGMENT-SPEC W44)."""

DERIVED = {
    "userID": "user_id",
    "iOSVersion": "i_osversion",
    "URLPath": "urlpath",
    "HTMLParser2Go": "htmlparser2_go",
    "100%": "100",
    "日本語": "",
    "": "",
}


@pytest.mark.parametrize(("name", "expected"), [*PUBLISHED.items(), *DERIVED.items()])
def test_snake_case_is_segments(name: str, expected: str) -> None:
    assert snake_case(name) == expected


def test_a_name_without_letters_or_digits_is_told_from_others_by_a_hash() -> None:
    assert name_part("🎉") != name_part("日本語")
    assert name_part("🎉").startswith("unnamed_")


def test_a_leading_digit_is_guarded() -> None:
    assert identifier("3doctors") == "_3doctors"
    assert event_table("2FA Enabled") == "_2fa_enabled"


def test_long_names_are_cut_and_stay_different() -> None:
    first, second = identifier("a" * 100), identifier("a" * 99 + "b")

    assert len(first) == len(second) == MAX_NAME_BYTES
    assert first != second
    assert identifier("a" * 63) == "a" * 63


@pytest.mark.parametrize(
    ("source", "schema"), [("pipedrive", "pipedrive"), ("my-shop", "my_shop"), ("3doctors", "_3doctors")]
)
def test_the_schema_is_the_slug_in_snake_case(source: str, schema: str) -> None:
    assert schema_name(source) == schema


def test_two_sources_never_share_a_schema() -> None:
    slugs = ["a-b", "a--b", "a-b-", "ab", "a_b", "A-b", "x" * 70 + "1", "x" * 70 + "2"]

    assert len({schema_name(slug) for slug in slugs}) == len(slugs)


def test_collections_are_lenient() -> None:
    assert object_table("checkout-order") == "checkout_order"
    assert object_table("users") == "users"


def test_users_cannot_take_the_tables_of_calls() -> None:
    assert event_table("Tracks") == "tracks_event"
    assert event_table("users") == "users_event"
    assert object_table("groups") == "groups_object"


def test_reserved_columns_get_an_underscore() -> None:
    assert event_column("timestamp") == "_timestamp"
    assert event_column("context_ip") == "_context_ip"
    assert object_column("id") == "_id"
    assert object_column("timestamp") == "timestamp"


def test_no_column_is_called_like_our_own() -> None:
    assert object_column(name_part("_versions")) == "versions"


def test_the_cache_of_names_is_bounded() -> None:
    asked = []
    cache = NameCache(lambda name: asked.append(name) or name.upper())

    assert [cache["a"], cache["a"], cache["x" * 1_000], cache["x" * 1_000]] == ["A", "A", "X" * 1_000, "X" * 1_000]
    assert asked == ["a", "x" * 1_000, "x" * 1_000]
