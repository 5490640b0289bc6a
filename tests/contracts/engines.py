"""The engines of the log that the contract suite holds to the contract, by addresses that other processes can open."""

from dataclasses import dataclass
from pathlib import Path

from hookmill.config import KafkaConfig
from hookmill.log.contract import Log
from hookmill.log.sqlite import SqliteLog
from hookmill.log.sqlite.membership import LeaseTimes

_LEASE_TIMES = LeaseTimes(lease_s=3.0, heartbeat_s=0.2)
_HOUSEKEEPING_INTERVAL_S = 0.2
_SEND_TIMEOUT_S = 30.0
"""What a contract says holds on a busy machine too, where many sends at once may take more than the usual time."""


@dataclass(frozen=True)
class Engine:
    """A log that any process can open."""

    address: str
    """`sqlite <folder>` or `kafka <bootstrap servers>`."""

    @property
    def kind(self) -> str:
        return self.address.partition(" ")[0]

    def open(self) -> Log:
        """As a process that has just started sees the log."""
        kind, _, place = self.address.partition(" ")
        match kind:
            case "sqlite":
                return SqliteLog(
                    Path(place), lease_times=_LEASE_TIMES, housekeeping_interval_s=_HOUSEKEEPING_INTERVAL_S
                )
            case "kafka":
                # aiokafka is slow to import, and the processes that tests kill by the dozen do not need it.
                from hookmill.log.kafka import KafkaLog

                return KafkaLog(KafkaConfig(bootstrap_servers=place, send_timeout_s=_SEND_TIMEOUT_S))
        raise ValueError(self.address)
