# Contacts and companies: changes come in groups; those of one record become one row.
import re

import segment
from segment import EventNotSupported


async def on_request(request, settings):
    rows = {}
    for change in sorted(request.json(), key=lambda change: change["occurredAt"]):
        kind, what = change["subscriptionType"].split(".")
        if kind not in ("contact", "company"):
            raise EventNotSupported(f"{kind} is not supported")
        collection = "contacts" if kind == "contact" else "companies"
        row = rows.setdefault(
            (kind, change["objectId"]), {"collection": collection, "id": change["objectId"], "properties": {}}
        )
        if what == "propertyChange":
            text = change["propertyValue"]
            value = int(text) if re.fullmatch(r"-?\d+", text, re.ASCII) else text or None
            row["properties"][change["propertyName"]] = value
        row["properties"]["deleted"] = what == "deletion"
        segment.track(
            event=f"{kind} {what}",
            user_id=change["objectId"],
            timestamp=change["occurredAt"],
            properties={"attempt": change["attemptNumber"] + 1, "source": change["changeSource"].lower()},
        )
    for row in rows.values():
        segment.set(**row)
