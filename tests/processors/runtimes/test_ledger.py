"""What a ledger says of a batch, whatever the runner left in it."""

import os
from collections.abc import Iterator

import pytest

from processors.runtimes.contract import Status
from processors.runtimes.ledger import Ledger


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger() as ledger:
        ledger.clear(invocations=10)
        yield ledger


def written(ledger: Ledger, content: bytes) -> Ledger:
    os.write(ledger.descriptor, content)
    return ledger


def test_line_is_an_outcome_with_its_messages_as_written(ledger: Ledger) -> None:
    line = b'{"i":3,"ms":1.5,"s":"ok","ev":[{"type": "track"}],"ob":[{"id":1e2}],"l":[["info","a",2]]}\n'

    [(index, outcome)] = written(ledger, line).read().outcomes.items()

    assert (index, outcome.status, outcome.duration_ms) == (3, Status.OK, 1.5)
    assert [bytes(event) for event in outcome.events] == [b'{"type": "track"}']
    assert [bytes(item) for item in outcome.objects] == [b'{"id":1e2}']
    assert [(line.level, line.text, line.at_ms) for line in outcome.logs] == [("info", "a", 2.0)]


@pytest.mark.parametrize(
    ("content", "indexes", "is_running"),
    [
        (b"", [], False),
        (b'{"m":"+"}\n', [], True),
        (b'{"m":"+"}\n{"i":0}\n', [0], True),
        (b'{"m":"+"}\n{"i":0}\n{"m":"-"}\n', [0], False),
        (b'{"m":"+"}\n{"i":0}\n{"i":1,"s":"ti', [0], True),
        (b'{"m":"+"}\n{"i":0}\nnonsense\n{"i":1}\n', [0], True),
        (b'{"m":"+"}\n{"i":0,"s":"unheard of"}\n{"i":1}\n', [], True),
        (b'{"m":"+"}\n{"i":0}\n\xff\xfe\n', [0], True),
        (b'{"m":"+"}\n{"i":0,"l":[["info","\xff",0]]}\n', [], True),
        (b'{"m":"+"}\n{"i":0,"ms":-1}\n', [], True),
        (b'{"m":"+"}\n{"i":0,"ev":[%s1]}\n' % (b"1," * 1_000), [], True),
        (b'{"m":"+"}\n{"i":0}\n{"i":1,"l":[["info","%s",0]]}\n{"i":2}\n' % (b"x" * 65_533), [0], True),
        (b'{"m":"+"}\n{"i":0,"e":{"class":"E","message":"%s"}}\n' % (b"x" * 65_536), [], True),
        (b'{"m":"+"}\n{"i":0}\n{"i":1,"x":"%s"}\n{"i":2}\n' % (b"x" * 5_242_880), [0], True),
    ],
)
def test_torn_and_forged_lines_count_as_not_written(
    ledger: Ledger, content: bytes, indexes: list[int], is_running: bool
) -> None:
    entries = written(ledger, content).read()

    assert (list(entries.outcomes), entries.is_running) == (indexes, is_running)


@pytest.mark.parametrize(
    ("content", "is_whole"),
    [
        (b"", True),
        (b'{"m":"+"}\n{"i":0}\n', True),
        (b'{"m":"+"}\n{"i":0}\n{"i":1', False),
        (b'{"m":"+"}\nnonsense\n', False),
        (b'{"i":0}\n' * 45, False),
        (b'{"i":0,"l":[["info","%s",0]]}\n' % (b"x" * 65_533), False),
    ],
)
def test_what_no_runner_writes_is_noticed(ledger: Ledger, content: bytes, is_whole: bool) -> None:
    assert written(ledger, content).read().is_whole == is_whole


def test_no_more_lines_are_looked_at_than_a_batch_can_have(ledger: Ledger) -> None:
    # 4 for each of the 10 invocations, and 4 for the batch.
    content = b'{"i":3}\n' * 43 + b'{"i":4}\n' + b'{"i":5}\n' * 1_000_000

    assert list(written(ledger, content).read().outcomes) == [3, 4]


def test_largest_line_of_an_honest_runner_is_read(ledger: Ledger) -> None:
    line = b'{"i":0,"ob":["%s"]}\n' % (b"x" * 4_194_304)

    entries = written(ledger, line + line.replace(b'"i":0', b'"i":1')).read()

    assert [len(bytes(outcome.objects[0])) for outcome in entries.outcomes.values()] == [4_194_306] * 2


def test_first_line_of_an_index_counts(ledger: Ledger) -> None:
    entries = written(ledger, b'{"i":0,"s":"ok"}\n{"i":0,"s":"timeout"}\n').read()

    assert entries.outcomes[0].status is Status.OK


def test_cleared_ledger_is_written_from_its_start(ledger: Ledger) -> None:
    written(ledger, b'{"i":0}\n')

    ledger.clear(invocations=10)

    assert ledger.size() == 0
    assert list(written(ledger, b'{"i":7}\n').read().outcomes) == [7]
