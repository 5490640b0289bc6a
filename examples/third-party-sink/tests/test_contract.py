"""The sink keeps the contract of sinks: `python -m pytest`."""

import pytest

from hookmill_tsv import TsvSink
from sinks.testing import SinkContract


class TestTsv(SinkContract):
    @pytest.fixture(autouse=True)
    def _destination(self, tmp_path):
        self.file = tmp_path / "out.tsv"

    def sink(self):
        return TsvSink(self.file)

    def delivered(self):
        return [line.split("\t")[1] for line in self.file.read_text(encoding="utf-8").splitlines()]
