"""Metrics of the function stage that are our own: durations."""

from prometheus_client import REGISTRY

from processors.metrics import observe_seconds

NAME = "hookmill_processors_invocation_seconds"


def test_durations_are_counted_in_every_bucket_from_their_own_on() -> None:
    observe_seconds("cobol", [0.0005, 0.0006, 61.0])
    observe_seconds("cobol", [0.3])

    def counted(bound: str) -> float | None:
        return REGISTRY.get_sample_value(f"{NAME}_bucket", {"language": "cobol", "le": bound})

    assert [counted(bound) for bound in ("0.0005", "0.001", "0.25", "0.5", "60.0", "+Inf")] == [1, 2, 2, 3, 3, 4]
    assert REGISTRY.get_sample_value(f"{NAME}_count", {"language": "cobol"}) == 4
    assert REGISTRY.get_sample_value(f"{NAME}_sum", {"language": "cobol"}) == 0.0005 + 0.0006 + 61.0 + 0.3
