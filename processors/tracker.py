"""The offset tracker: which position of each partition may be committed, given what was delivered and finished."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from hookmill.records import Span, TopicPartition


@dataclass
class _Ownership:
    """What is known of one partition since it became ours; ends when it goes, starts afresh when it comes back."""

    unfinished: dict[int, Span] = field(default_factory=dict)
    """Spans not behind `position`, in order of delivery, by `id`: the same span delivered to a later ownership is
    another object, so that a finish that comes late can be told from one that counts."""
    finished: set[int] = field(default_factory=set)
    """Those of `unfinished` that are done but have an open one before them."""
    position: int | None = None
    """End of the finished prefix; `None` until the first span of the prefix is done."""
    committed: int | None = None


class OffsetTracker:
    """Commits the finished prefix of each partition and never more. Pure: no clock, no log.

    Calls come in the order in which things happened. A partition is tracked between `assigned` and `revoked`; what
    is said of any other partition, or of a span of an earlier ownership, changes nothing.
    """

    def __init__(self) -> None:
        self._owned: dict[TopicPartition, _Ownership] = {}

    def assigned(self, partitions: Collection[TopicPartition]) -> None:
        """`partitions` are tracked, with nothing delivered yet."""
        for partition in partitions:
            self._owned[partition] = _Ownership()

    def revoked(self, partitions: Collection[TopicPartition]) -> None:
        """Nothing of `partitions` can be committed or finished any more."""
        for partition in partitions:
            self._owned.pop(partition, None)

    def seeked(self, partitions: Collection[TopicPartition]) -> None:
        """Reading of `partitions` goes on elsewhere: what was delivered before does not count."""
        self.assigned([partition for partition in partitions if partition in self._owned])

    def delivered(self, span: Span) -> bool:
        """Whether the span counts: its partition is tracked. The position will not pass it until it is finished."""
        ownership = self._owned.get(span.partition)
        if ownership is None:
            return False
        ownership.unfinished[id(span)] = span
        return True

    def finished(self, span: Span) -> None:
        """The position may pass the span, once everything delivered before it is finished."""
        ownership = self._owned.get(span.partition)
        if ownership is None or id(span) not in ownership.unfinished:
            return
        ownership.finished.add(id(span))
        while ownership.unfinished:
            first = next(iter(ownership.unfinished))
            if first not in ownership.finished:
                break
            ownership.position = ownership.unfinished.pop(first).next_offset
            ownership.finished.discard(first)

    def is_pending(self, span: Span) -> bool:
        """Whether finishing the span would count."""
        ownership = self._owned.get(span.partition)
        return ownership is not None and id(span) in ownership.unfinished

    def committable(self) -> dict[TopicPartition, int]:
        """Positions that are not committed yet, the end of the finished prefix each."""
        return {
            partition: ownership.position
            for partition, ownership in self._owned.items()
            if ownership.position is not None and ownership.position != ownership.committed
        }

    def committed(self, positions: Mapping[TopicPartition, int]) -> None:
        """The log has `positions`: they need not be committed again."""
        for partition, position in positions.items():
            ownership = self._owned.get(partition)
            if ownership is not None:
                ownership.committed = position
