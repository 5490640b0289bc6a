"""A member of a group whose process was killed leaves the group as soon as another one of its machine starts.

Kafka itself waits until the session of the dead one ends; a successor that dies before that is waited for in its turn.
"""

import asyncio
import contextlib
from pathlib import Path
from typing import Final

from aiokafka import AIOKafkaConsumer
from aiokafka.errors import KafkaError, NoError, UnknownMemberIdError
from aiokafka.protocol.group import LeaveGroupRequest

from hookmill.log.lifeline import Lifeline, bury_in, dead_in
from hookmill.telemetry import get_logger

log = get_logger(__name__)

_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")
"""Of Linux (random(4)): another one after each start of the machine; containers have that of their host."""
_RELEASE_S: Final = 5.0
_LOOK_S: Final = 0.02
_LOOKS: Final = 50
_SEPARATOR: Final = "@"
"""Neither in the name of a group nor in the id that a broker gives a member."""


class Membership:
    """What the other processes of the machine know of one member: a locked file under `folder`, named by group and id.

    Where no file can be made, or `folder` is `None`, they know nothing, and the session counts. A reader without group
    has nothing that others could take over.
    """

    def __init__(self, folder: Path | None, group: str | None) -> None:
        self._folder = None if folder is None or group is None else _of_this_machine(folder)
        self._group = group
        self._prefix = f"{group}{_SEPARATOR}"
        self._member_id = ""
        self._lifeline: Lifeline | None = None

    async def release_dead(self, consumer: AIOKafkaConsumer) -> None:
        """The group has none of the members any more whose processes have ended, as far as it answers in time.

        Nor the one that this was before, when the consumer is a new one.
        """
        if self._folder is None:
            return
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RELEASE_S):
                if self._member_id:
                    await _leave(consumer, self._group, self._member_id)
                for name in dead_in(self._folder, self._prefix):
                    if await _leave(consumer, self._group, name.removeprefix(self._prefix)):
                        bury_in(self._folder, [name])
                        log.info("kafka.dead_member_released", member=name)

    async def announce_first(self, consumer: AIOKafkaConsumer) -> None:
        """As `announce`, once the broker has named the member, which it does before it waits for the others.

        A process killed before that is waited for until the group gives it up; after a second we go on without.
        """
        for _ in range(_LOOKS):
            if self._folder is None or consumer._coordinator.member_id:
                break
            await asyncio.sleep(_LOOK_S)
        self.announce(consumer)

    def announce(self, consumer: AIOKafkaConsumer) -> None:
        """The file says what the member is called now; a broker names it when it joins, and anew after it was lost."""
        if self._folder is None:
            return
        member_id = consumer._coordinator.member_id
        if not member_id or member_id == self._member_id:
            return
        self._member_id = member_id
        name = f"{self._prefix}{member_id}"
        try:
            if self._lifeline is None:
                self._lifeline = Lifeline(self._folder, name)
            else:
                self._lifeline.rename(name)
        except OSError as error:
            log.info("kafka.member_unannounced", folder=str(self._folder), error=error.strerror)

    def end(self) -> None:
        """The member is as dead as after a kill. Whether it could leave, a successor finds out."""
        lifeline, self._lifeline, self._member_id = self._lifeline, None, ""
        if lifeline is not None:
            lifeline.cut()


def _of_this_machine(folder: Path) -> Path | None:
    """Another folder on another machine, after a restart of it, and for a copy: locks are not seen there.

    `None` where that cannot be told.
    """
    try:
        boot = _BOOT_ID.read_text().strip()
        folder.mkdir(parents=True, exist_ok=True)
        return folder / f"{boot}-{folder.stat().st_ino}"
    except OSError:
        return None


async def _leave(consumer: AIOKafkaConsumer, group: str | None, member_id: str) -> bool:
    """Whether the group knows the member no longer."""
    coordinator = consumer._coordinator
    try:
        await coordinator.ensure_coordinator_known()
        answer = await coordinator._send_req(LeaveGroupRequest(group, member_id))
    except KafkaError:
        return False
    return answer.error_code in (NoError.errno, UnknownMemberIdError.errno)
