"""The registry's state, fed with records."""

from hookmill.records import NewRecord, Record
from hookmill.registry import (
    Entity,
    Function,
    Registry,
    Sink,
    Source,
    entity_key,
    entity_record,
    function_version,
    removal_record,
    token_hash,
)

SHOP = Source(id="shop", name="Shop", token_hashes=(token_hash("t-1"),), function_version="v1")
CODE = Function(source="shop", version="v1", language="python", file_name="f.py", code="def on_request(r, s): ...")


def registry_of(*entities: Entity) -> Registry:
    registry = Registry()
    for entity in entities:
        registry.apply(as_read(entity_record(entity)))
    return registry


def as_read(record: NewRecord) -> Record:
    return Record("registry", 0, 0, 0, record.key, record.value, record.headers)


def test_a_token_opens_its_source() -> None:
    registry = registry_of(CODE, SHOP)

    assert registry.source_of_token("t-1") == SHOP
    assert registry.function_of(SHOP) == CODE


def test_a_token_that_was_replaced_opens_nothing() -> None:
    rotated = Source(id="shop", name="Shop", token_hashes=(token_hash("t-2"),), function_version="v1")

    registry = registry_of(SHOP, rotated)

    assert registry.source_of_token("t-1") is None
    assert registry.source_of_token("t-2") == rotated


def test_a_removed_source_is_unknown_with_its_tokens() -> None:
    registry = registry_of(CODE, SHOP)

    registry.apply(as_read(removal_record(entity_key(SHOP))))

    assert registry.sources == {}
    assert registry.source_of_token("t-1") is None


def test_removing_what_is_unknown_changes_nothing() -> None:
    registry = registry_of(SHOP)

    for key in (b"source/other", b"function/shop/v9", b"sink/x", b"planet/mars", b"\xff"):
        registry.apply(as_read(removal_record(key)))

    assert registry.sources == {"shop": SHOP}


def test_a_record_that_nobody_can_read_changes_nothing() -> None:
    registry = registry_of(SHOP)

    for value in (b"", b"[]", b'{"type":"planet"}', b"\xff\xfe"):
        registry.apply(as_read(NewRecord(key=b"source/shop", value=value)))

    assert registry.sources == {"shop": SHOP}


def test_keys_name_every_entity() -> None:
    sink = Sink(name="warehouse", kind="sqlite", events=True, objects=True)

    assert registry_of(CODE, SHOP, sink).keys() == {b"source/shop", b"function/shop/v1", b"sink/warehouse"}


def test_the_same_code_is_the_same_version_and_other_code_is_not() -> None:
    assert function_version("f.js", "a") == function_version("f.js", "a")
    assert len({function_version("f.js", "a"), function_version("f.js", "b"), function_version("g.js", "a")}) == 3


def test_a_version_covers_helper_modules_whatever_their_order() -> None:
    plain = function_version("f.py", "a")

    assert function_version("f.py", "a", {}) == plain
    assert function_version("f.py", "a", {"x.py": "1", "y.py": "2"}) == function_version(
        "f.py", "a", {"y.py": "2", "x.py": "1"}
    )
    assert len({plain, function_version("f.py", "a", {"x.py": "1"}), function_version("f.py", "a", {"x.py": "2"})}) == 3


def test_a_function_published_before_there_were_modules_is_read() -> None:
    record = Record(
        "registry",
        0,
        0,
        0,
        b"function/shop/v1",
        b'{"type":"function","source":"shop","version":"v1","language":"python","file_name":"f.py","code":""}',
        (),
    )
    registry = Registry()

    registry.apply(record)

    assert registry.functions["shop", "v1"].modules == {}
