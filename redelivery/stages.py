"""Where a record goes back to: the redelivery topic of the stage that its header names."""

from hookmill.topics import Topic

FUNCTION: str = "function"


def topic_of_stage(stage: str) -> Topic | None:
    """The topic that the stage reads for what comes again; `None` for a stage that does not exist."""
    kind, colon, sink = stage.partition(":")
    if stage == FUNCTION:
        return Topic.WEBHOOKS_REDELIVERY
    if not (colon and sink):
        return None
    match kind:
        case "events":
            return Topic.EVENTS_REDELIVERY
        case "objects":
            return Topic.OBJECTS_REDELIVERY
        case _:
            return None
