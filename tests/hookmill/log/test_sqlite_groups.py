"""The file of the consumer groups, with a clock of the test's own."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookmill.errors import LogFull
from hookmill.log.sqlite.groups import GroupMember, fair_share
from hookmill.records import TopicPartition

LEASE_MS = 5_000


class Group:
    """Members of one group that share a clock."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._members: dict[str, GroupMember] = {}
        self.now_ms = 1_000_000

    def member(self, name: str, **partitions: int) -> GroupMember:
        member = GroupMember(self._folder, "group", name, partitions or {"t": 1}, lambda: self.now_ms)
        self._members[name] = member
        return member

    def close(self, *names: str) -> None:
        """All that are open, unless some are named."""
        for name in names or list(self._members):
            self._members.pop(name).close()


@pytest.fixture
def group(tmp_path: Path) -> Iterator[Group]:
    group = Group(tmp_path)
    yield group
    group.close()


@pytest.mark.parametrize(
    ("partitions", "members", "shares"),
    [(4, 1, [4]), (4, 2, [2, 2]), (4, 3, [2, 1, 1]), (1, 2, [1, 0]), (5, 4, [2, 1, 1, 1]), (2, 3, [1, 1, 0])],
)
def test_shares_add_up_and_the_eldest_get_the_odd_ones(partitions: int, members: int, shares: list[int]) -> None:
    assert [fair_share(partitions, members, rank) for rank in range(members)] == shares


def test_a_lone_member_takes_every_partition_of_every_topic(group: Group) -> None:
    standing = group.member("a", one=2, two=1).beat(LEASE_MS, takes=True)

    assert set(standing.owned) == {TopicPartition("one", 0), TopicPartition("one", 1), TopicPartition("two", 0)}
    assert set(standing.owned.values()) == {None}
    assert not standing.is_short


def test_a_newcomer_is_short_until_the_others_give_up_their_surplus(group: Group) -> None:
    elder, newcomer = group.member("elder", t=4), group.member("newcomer", t=4)
    elder.beat(LEASE_MS, takes=True)

    before = newcomer.beat(LEASE_MS, takes=True)
    surplus = elder.beat(LEASE_MS, takes=True).surplus
    elder.release(surplus)
    after = newcomer.beat(LEASE_MS, takes=True)

    assert (before.owned, before.is_short) == ({}, True)
    assert len(surplus) == 2
    assert (set(after.owned), after.is_short) == (surplus, False)


def test_a_lease_that_is_kept_up_is_not_taken_and_one_that_ended_is(group: Group) -> None:
    first, second = group.member("first"), group.member("second")
    first.beat(LEASE_MS, takes=True)
    group.now_ms += LEASE_MS
    assert not second.beat(LEASE_MS, takes=True).owned

    first.beat(LEASE_MS, takes=True)
    group.now_ms += LEASE_MS
    assert not second.beat(LEASE_MS, takes=True).owned
    group.now_ms += 1
    assert set(second.beat(LEASE_MS, takes=True).owned) == {TopicPartition("t", 0)}


def test_a_commit_counts_only_from_the_holder(group: Group) -> None:
    first, second, place = group.member("first"), group.member("second"), TopicPartition("t", 0)
    first.beat(LEASE_MS, takes=True)
    assert first.commit({place: 7}) == frozenset()
    group.now_ms += LEASE_MS + 1
    second.beat(LEASE_MS, takes=True)

    assert first.commit({place: 9}) == {place}

    assert second.beat(LEASE_MS, takes=True).owned == {place: 7}
    assert not first.beat(LEASE_MS, takes=True).owned


def test_an_ended_lease_that_nobody_took_still_lets_its_holder_commit(group: Group) -> None:
    member, place = group.member("late"), TopicPartition("t", 0)
    member.beat(LEASE_MS, takes=True)
    group.now_ms += 10 * LEASE_MS

    assert member.commit({place: 3}) == frozenset()
    assert member.beat(LEASE_MS, takes=True).owned == {place: 3}


def test_a_member_that_leaves_frees_its_partitions_at_once(group: Group) -> None:
    first, second = group.member("first", t=2), group.member("second", t=2)
    first.beat(LEASE_MS, takes=True)
    first.commit({TopicPartition("t", 1): 5})

    first.leave()

    assert second.beat(LEASE_MS, takes=True).owned == {TopicPartition("t", 0): None, TopicPartition("t", 1): 5}


DYING = """
import sys, time
from pathlib import Path
from hookmill.log.sqlite.groups import GroupMember
member = GroupMember(Path(sys.argv[1]), "group", "dying", {"t": 2}, lambda: 1_000_000)
member.beat(5_000, takes=True)
print("beats", flush=True)
time.sleep(60)
"""


@pytest.fixture
def dying(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with a member that holds everything."""
    process = subprocess.Popen([sys.executable, "-c", DYING, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "beats\n"
        yield process
        process.kill()


def test_what_a_killed_process_held_is_free_at_once(group: Group, dying: subprocess.Popen[str]) -> None:
    member = group.member("heir", t=2)
    before = member.beat(LEASE_MS, takes=True)

    dying.kill()
    dying.wait()
    after = member.beat(LEASE_MS, takes=True)

    assert (before.owned, before.is_short) == ({}, True)
    assert (len(after.owned), after.is_short) == (2, False)


def test_a_beat_that_fails_leaves_the_dead_to_the_next_one(
    group: Group, dying: subprocess.Popen[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    member = group.member("heir", t=2)
    dying.kill()
    dying.wait()
    with monkeypatch.context() as patch:
        patch.setattr("hookmill.log.sqlite.groups.fair_share", lambda *args: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            member.beat(LEASE_MS, takes=True)

    assert len(member.beat(LEASE_MS, takes=True).owned) == 2


def test_what_cannot_be_looked_at_hides_none_of_the_dead(
    group: Group, dying: subprocess.Popen[str], tmp_path: Path
) -> None:
    for name in ("a folder", "zz folder"):
        (tmp_path / "members" / name).mkdir()
    dying.kill()
    dying.wait()

    assert len(group.member("heir", t=2).beat(LEASE_MS, takes=True).owned) == 2


def test_what_a_stopped_process_holds_is_free_when_its_lease_ends(group: Group, dying: subprocess.Popen[str]) -> None:
    member = group.member("heir", t=2)

    dying.send_signal(signal.SIGSTOP)
    assert not member.beat(LEASE_MS, takes=True).owned
    group.now_ms += LEASE_MS + 1
    assert len(member.beat(LEASE_MS, takes=True).owned) == 2


def test_files_of_dead_members_do_not_pile_up(group: Group, tmp_path: Path) -> None:
    for name in ("one", "two", "three"):
        group.member(name).beat(LEASE_MS, takes=True)
        group.close(name)

    group.member("four").beat(LEASE_MS, takes=True)

    assert [path.name for path in (tmp_path / "members").iterdir()] == ["four"]


def test_a_folder_that_cannot_be_written_is_an_error_of_the_log(group: Group, tmp_path: Path) -> None:
    (tmp_path / "members").write_text("in the way")

    with pytest.raises(LogFull, match="needs a writable folder"):
        group.member("member")


def test_a_member_in_the_middle_of_a_change_takes_nothing(group: Group) -> None:
    assert not group.member("busy").beat(LEASE_MS, takes=False).owned
