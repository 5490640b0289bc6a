"""What is sent: every webhook follows from its number and the seed, and so does what must come of it."""

import json
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

CONNECTIONS: Final = 64
"""Posted at once. Each object belongs to one connection, which posts its webhooks in the order of their numbers."""

_COLUMNS: Final = 3
_PAD: Final = "x" * 2_097_152


class Fate(StrEnum):
    """What the function does with a webhook."""

    FINE = "fine"
    ONCE = "once"
    """Fails until the runner has seen it before, at most `PATIENCE` of the retry ladder; then it is fine."""
    DEAD = "dead"
    """Fails always."""
    POISON = "poison"
    """Makes the function stage itself fail, where `points` puts a bug into it."""


@dataclass(frozen=True)
class Webhook:
    """One webhook: about which object of which source, and whether the function takes it."""

    number: int
    source: str
    order: str
    column: str
    """The property that it sets beside `n`."""
    mark: str
    """What no other webhook carries: goes through the function into the event."""
    fate: Fate
    padding_bytes: int

    @property
    def delivery_id(self) -> str:
        """What the provider calls it, the same each time it is posted."""
        return f"w-{self.number}"

    @property
    def is_doomed(self) -> bool:
        """Whether it ends as a dead letter."""
        return self.fate in {Fate.DEAD, Fate.POISON}

    def body(self, fails_until_ms: int) -> bytes:
        """JSON. Only a webhook that fails once is told until when; all others have the same bytes each time."""
        until = fails_until_ms if self.fate is Fate.ONCE else 0
        return (
            f'{{"n":{self.number},"order":"{self.order}","column":"{self.column}","mark":"{self.mark}",'
            f'"fate":"{self.fate}","until":{until},"pad":"{_PAD[: self.padding_bytes]}"}}'
        ).encode()


@dataclass(frozen=True)
class Workload:
    """`webhooks` webhooks of `sources` sources about `objects` objects; bodies of 0.5 to 2 kB, of 100 kB, of 2 MiB."""

    seed: int
    webhooks: int
    sources: int = 20
    objects: int = 50_000
    fails_once: float = 0.1
    always_fails: float = 0.01
    poison: float = 0.0
    of_100_kb: float = 0.001
    of_2_mib: float = 0.00001

    def __iter__(self) -> Iterator[Webhook]:
        return map(self.webhook, range(self.webhooks))

    def webhook(self, number: int) -> Webhook:
        """The webhook of this number, the same each time."""
        chance = zlib.crc32(b"%d/%d" % (self.seed, number))
        connection = number % CONNECTIONS
        place = chance % max(1, self.objects // CONNECTIONS)
        luck = zlib.crc32(b"fate", chance)
        return Webhook(
            number=number,
            source=source_name((connection + place * CONNECTIONS) % 7_919 % self.sources),
            order=f"o{connection}-{place}",
            column=f"c{number % _COLUMNS}",
            mark=f"{luck:08x}{chance:08x}",
            fate=self._fate(luck % 10_000 / 10_000),
            padding_bytes=self._padding_bytes(zlib.crc32(b"size", chance)),
        )

    @property
    def source_names(self) -> list[str]:
        """All sources: the even ones have functions in JavaScript, the others in Python."""
        return [source_name(index) for index in range(self.sources)]

    def expected_objects(self, accepted: Iterable[int]) -> dict[tuple[str, str], dict[str, int]]:
        """The oracle: properties by source and order, when each accepted webhook is applied in order of its number."""
        objects: dict[tuple[str, str], dict[str, int]] = {}
        for number in sorted(accepted):
            webhook = self.webhook(number)
            if not webhook.is_doomed:
                properties = objects.setdefault((webhook.source, webhook.order), {})
                properties.update({"n": number, webhook.column: number})
        return objects

    def _fate(self, luck: float) -> Fate:
        for fate, share in ((Fate.DEAD, self.always_fails), (Fate.POISON, self.poison), (Fate.ONCE, self.fails_once)):
            if luck < share:
                return fate
            luck -= share
        return Fate.FINE

    def _padding_bytes(self, chance: int) -> int:
        luck = chance % 1_000_000 / 1_000_000
        if luck < self.of_2_mib:
            return len(_PAD) - 1_000
        if luck < self.of_2_mib + self.of_100_kb:
            return 100_000
        return 400 + chance % 1_500


def source_name(index: int) -> str:
    """Slug of a source."""
    return f"s{index:02d}"


def number_of(body: bytes) -> int:
    """The number of the webhook with this body."""
    return int(json.loads(body)["n"])


def now_ms() -> int:
    """As the functions see it."""
    return time.time_ns() // 1_000_000


JAVASCRIPT: Final = """
const failed = new Set()

async function onRequest(request) {
  const webhook = request.json()
  if (webhook.fate === 'dead') throw new Error('fails always')
  if (webhook.fate === 'once' && !failed.has(webhook.n) && Date.now() < webhook.until) {
    failed.add(webhook.n)
    throw new RetryError('fails once')
  }
  const { n, order, column, mark } = webhook
  Segment.track({ event: 'Order Changed', userId: order, properties: { n, mark } })
  Segment.set({ collection: 'orders', id: order, properties: { n, [column]: n } })
}
"""

PYTHON: Final = """
import time

failed = set()


async def on_request(request, settings):
    webhook = request.json()
    n = webhook["n"]
    if webhook["fate"] == "dead":
        raise ValueError("fails always")
    if webhook["fate"] == "once" and n not in failed and time.time() * 1000 < webhook["until"]:
        failed.add(n)
        raise RetryError("fails once")
    order = webhook["order"]
    segment.track(event="Order Changed", user_id=order, properties={"n": n, "mark": webhook["mark"]})
    segment.set(collection="orders", id=order, properties={"n": n, webhook["column"]: n})
"""
