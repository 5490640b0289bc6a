"""How often a row tries: in `make faults-long` the full figure, in `make faults` a tenth, on each log or on both.

The loads of rows 1, 7, 30 and of the main figure are smaller than a tenth in short.
Rows 15 and 21 try a fiftieth there: what they do is start processes, and a tenth would keep two processors busy for
four minutes more.
"""

import pytest


def trials(name: str, *, short: int, full: int, deadline_s: float) -> pytest.MarkDecorator:
    """The test takes `name`: once `short`, within 600 s, and once `full`, within `deadline_s`."""
    return pytest.mark.parametrize(
        name,
        [
            pytest.param(short, marks=[pytest.mark.faults, pytest.mark.timeout(600)]),
            pytest.param(full, marks=[pytest.mark.faults_long, pytest.mark.timeout(deadline_s)]),
        ],
    )
