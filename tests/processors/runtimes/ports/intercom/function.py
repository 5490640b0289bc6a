# Conversations: text without markup, companies as groups, tags as they are put on.
import re

import segment
from segment import DropEvent, EventNotSupported, RetryError


def plain(html):
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", html).replace("&amp;", "&")).strip()


async def on_request(request, settings):
    hook = request.json()
    topic = hook["topic"]
    if topic == "ping":
        raise DropEvent("ping")
    item = hook["data"]["item"]
    if item.get("pending"):
        raise RetryError(f"{item['type']} {item['id']} is not complete yet")
    timestamp = hook["created_at"] * 1000
    user = item.get("user", {})
    match topic:
        case "conversation.user.created" | "conversation.user.replied":
            parts = [{"text": plain(part["body"]), "by": part["author"]["type"]} for part in item["conversation_parts"]]
            segment.track(
                event="Conversation Started" if topic.endswith("created") else "Conversation Continued",
                user_id=user.get("user_id"),
                anonymous_id=user.get("anonymous_id"),
                timestamp=timestamp,
                properties={
                    "conversation": item["id"],
                    "parts": parts,
                    "first": parts[0]["text"] if parts else "",
                },
            )
        case "user.tag.created":
            traits = {"tags": user["tags"], f"tag_{item['tag']['name']}": True}
            segment.identify(user_id=user["user_id"], traits=traits, timestamp=timestamp)
            for company in user["companies"]:
                segment.group(
                    user_id=user["user_id"],
                    group_id=company["company_id"],
                    traits=company["custom_attributes"],
                    timestamp=timestamp,
                )
        case _:
            raise EventNotSupported(f"Topic {topic}")
