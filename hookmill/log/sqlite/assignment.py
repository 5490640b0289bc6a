"""What a reader owns and where it stands. Pure: told what happened, asked what to read."""

from collections.abc import Collection, Iterable, Mapping

from hookmill.records import TopicPartition


class Assignment:
    """Positions of the owned partitions, and which of them are not to be read just now."""

    def __init__(self) -> None:
        self._positions: dict[TopicPartition, int] = {}
        self._committed: dict[TopicPartition, int] = {}
        self._paused: set[TopicPartition] = set()
        self._held_back: set[TopicPartition] = set()

    @property
    def owned(self) -> frozenset[TopicPartition]:
        return frozenset(self._positions)

    def gain(self, positions: Mapping[TopicPartition, int]) -> None:
        """The partitions are owned; reading and the group both stand at `positions`. Held back until `let_go`."""
        self._held_back.update(positions)
        self._positions.update(positions)
        self._committed.update(positions)

    def hold_back(self, partitions: Iterable[TopicPartition]) -> None:
        """The partitions are about to come or go: owned, but not read."""
        self._held_back.update(partitions)

    def let_go(self, partitions: Iterable[TopicPartition]) -> None:
        """The partitions are read from now on."""
        self._held_back.difference_update(partitions)

    def lose(self, partitions: Iterable[TopicPartition]) -> None:
        """The partitions are gone, with all that was known of them."""
        for place in partitions:
            self._positions.pop(place, None)
            self._committed.pop(place, None)
            self._paused.discard(place)
            self._held_back.discard(place)

    def pause(self, partitions: Iterable[TopicPartition]) -> None:
        """Owned partitions among these are not read until `resume`."""
        self._paused.update(self._positions.keys() & set(partitions))

    def resume(self, partitions: Iterable[TopicPartition]) -> None:
        """The partitions are read again."""
        self._paused.difference_update(partitions)

    def readable(self) -> dict[TopicPartition, int]:
        """Position of every partition to be read now."""
        unread = self._paused | self._held_back
        return {place: position for place, position in self._positions.items() if place not in unread}

    def advance(self, place: TopicPartition, asked: int, position: int) -> bool:
        """Reading of `place` goes on at `position`, if it still is at `asked` and wanted; whether it was."""
        if self._positions.get(place) != asked or place in self._paused or place in self._held_back:
            return False
        self._positions[place] = position
        return True

    def seek(self, positions: Mapping[TopicPartition, int]) -> None:
        """Owned partitions among these stand at the given positions."""
        for place in self._positions.keys() & positions.keys():
            self._positions[place] = positions[place]

    def commit(self, positions: Mapping[TopicPartition, int], refused: Collection[TopicPartition]) -> None:
        """The group stands at `positions`; what was refused is lost."""
        self._committed.update((place, positions[place]) for place in self._positions.keys() & positions.keys())
        self.lose(refused)

    def committed(self, *, is_alone: bool) -> dict[TopicPartition, int]:
        """Where the group stands in each owned partition; without a group, where the reader does."""
        return dict(self._positions if is_alone else self._committed)
