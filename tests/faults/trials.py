"""How often a row tries: in `make faults-long` the full figure, in `make faults` a tenth of it.

The tenth is over both logs, or both languages, together. Loads may be smaller still, and the main figure, which takes
hours, has two kills on each log.
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
