"""What the function stage reads, and as which group: commands that ask how far it is need no more of it."""

from typing import Final

from hookmill.topics import Topic

WEBHOOK_TOPICS: Final = (Topic.WEBHOOKS, Topic.WEBHOOKS_REDELIVERY, Topic.WEBHOOKS_REPLAY, Topic.WEBHOOKS_SLOW)
GROUP: Final = "processors"
