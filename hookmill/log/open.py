"""Choice of the engine."""

from hookmill.config import Config
from hookmill.log.contract import Log


def open_log(config: Config) -> Log:
    """The log that the configuration names: Kafka when it has bootstrap servers, else the embedded one.

    The engines are imported only when chosen: aiokafka alone costs 0.2 s of start-up.
    """
    if config.kafka.bootstrap_servers:
        from hookmill.log.kafka import KafkaLog

        return KafkaLog(config.kafka, config.data_dir / "kafka-members")
    from hookmill.log.sqlite import SqliteLog

    return SqliteLog(config.data_dir / "log")
