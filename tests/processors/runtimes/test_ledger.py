"""What a ledger says of a batch, whatever the runner left in it."""

import os
from collections.abc import Iterator

import pytest

from processors.runtimes.contract import Status
from processors.runtimes.ledger import Ledger


@pytest.fixture
def ledger() -> Iterator[Ledger]:
    with Ledger() as ledger:
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
    ],
)
def test_torn_and_forged_lines_count_as_not_written(
    ledger: Ledger, content: bytes, indexes: list[int], is_running: bool
) -> None:
    entries = written(ledger, content).read()

    assert (list(entries.outcomes), entries.is_running) == (indexes, is_running)


def test_first_line_of_an_index_counts(ledger: Ledger) -> None:
    entries = written(ledger, b'{"i":0,"s":"ok"}\n{"i":0,"s":"timeout"}\n').read()

    assert entries.outcomes[0].status is Status.OK


def test_cleared_ledger_is_written_from_its_start(ledger: Ledger) -> None:
    written(ledger, b'{"i":0}\n')

    ledger.clear()

    assert ledger.size() == 0
    assert list(written(ledger, b'{"i":7}\n').read().outcomes) == [7]
