# Mail: one webhook carries many events; a user is known by the digest of the address.
import base64
import hashlib
from datetime import UTC, datetime
from urllib.parse import unquote

import segment
from segment import InvalidEventPayload

NAMES = {"delivered": "Email Delivered", "open": "Email Opened", "click": "Email Clicked", "bounce": "Email Bounced"}


def given(**properties):
    """Without what the webhook does not have, as JSON.stringify leaves out what is undefined."""
    return {name: value for name, value in properties.items() if value is not None}


async def on_request(request, settings):
    events = request.json()
    if not isinstance(events, list):
        raise InvalidEventPayload("An array was expected")
    skipped = 0
    for event in events:
        name = NAMES.get(event["event"])
        if not name:
            skipped += 1
            continue
        email = event["email"].strip().lower()
        category = event.get("category", [])
        url = event.get("url")
        segment.track(
            event=name,
            user_id=hashlib.md5(email.encode()).hexdigest(),
            message_id=event.get("sg_event_id"),
            timestamp=datetime.fromtimestamp(event["timestamp"], UTC),
            context=given(ip=event.get("ip"), userAgent=event.get("useragent")),
            properties=given(
                domain=email.split("@")[1],
                categories=category if isinstance(category, list) else [category],
                url=url and unquote(url),
                reason=event.get("reason"),
                code=base64.b64decode(event.get("campaign", "")).decode(),
            ),
        )
    print(f"{len(events)} events, {skipped} skipped")
