"""The log: what the stages see of it. One contract, two engines (`sqlite`, `kafka`), one suite that both pass.

`open_log` picks the engine from the configuration; nothing else in the code knows which one runs.
"""

from hookmill.log.contract import Log, RebalanceListener, RecordReader, RecordSender
from hookmill.log.open import open_log

__all__ = ["Log", "RebalanceListener", "RecordReader", "RecordSender", "open_log"]
