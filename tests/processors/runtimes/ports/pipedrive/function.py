# Deals: every change as a row, what was won or lost as a track, and what changed as properties.
import segment
from segment import EventNotSupported, InvalidEventPayload


def changes(previous, current):
    return {
        key: {"from": previous.get(key), "to": value}
        for key, value in current.items()
        if previous and previous.get(key) != value
    }


def on_request(request, settings):
    body = request.json()
    meta, current, previous = body.get("meta"), body.get("current"), body.get("previous")
    if not meta:
        raise InvalidEventPayload("meta is missing")
    if meta["object"] != "deal":
        raise EventNotSupported(f"{meta['object']} is not a deal")
    if meta["action"] == "deleted":
        segment.set(collection="deals", id=meta["id"], properties={"deleted": True})
        return

    user_id = f"{settings['prefix']}{current['person_id']}"
    segment.set(
        collection="deals",
        id=current["id"],
        properties={
            "title": current["title"],
            "value": current["value"],
            "currency": current["currency"],
            "stage": settings["stages"].get(str(current["stage_id"]), "unknown"),
            "owner": current["owner_name"],
            "probability": current["probability"],
        },
    )
    was_decided = previous and previous["status"] != current["status"] and current["status"] in ("won", "lost")
    if was_decided:
        segment.track(
            event=f"Deal {'Won' if current['status'] == 'won' else 'Lost'}",
            user_id=user_id,
            timestamp=current["update_time"],
            properties={"deal": current["id"], "value": current["value"], "reason": current["lost_reason"]},
        )
    else:
        segment.track(
            event="Deal Updated",
            user_id=user_id,
            properties={"deal": current["id"], "changes": changes(previous, current)},
        )
