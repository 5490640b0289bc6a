# Payments: one track per charge or invoice, customers and subscriptions as rows.
from datetime import UTC, datetime

import segment
from segment import DropEvent, EventNotSupported, InvalidEventPayload

NAMES = {
    "charge.succeeded": "Payment Received",
    "charge.refunded": "Payment Refunded",
    "invoice.payment_failed": "Payment Failed",
}


def to_time(seconds):
    return datetime.fromtimestamp(seconds, UTC)


async def on_request(request, settings):
    hook = request.json()
    item = hook.get("data", {}).get("object")
    if not item:
        raise InvalidEventPayload(f"Event {hook['id']} has no object")
    if hook["livemode"] is False and not settings.get("testMode"):
        raise DropEvent("test mode")

    kind = hook["type"]
    name = NAMES.get(kind)
    if name:
        segment.track(
            event=name,
            user_id=item["customer"],
            timestamp=to_time(hook["created"]),
            message_id=hook["id"],
            properties={
                "revenue": item["amount"] / 100,
                "currency": item["currency"].upper(),
                "description": item["description"],
                "metadata": item["metadata"],
            },
        )
    elif kind.startswith("customer.subscription."):
        segment.set(
            collection="subscriptions",
            id=item["id"],
            properties={
                "customer": item["customer"],
                "status": item["status"],
                "plans": [line["plan"]["nickname"] or line["plan"]["id"] for line in item["items"]["data"]],
                "started_at": to_time(item["start_date"]),
            },
        )
    elif kind.startswith("customer."):
        traits = {"email": item["email"], "name": item["name"], "delinquent": item["delinquent"]}
        segment.identify(user_id=item["id"], traits=traits, timestamp=to_time(hook["created"]))
        segment.set(collection="customers", id=item["id"], properties=traits)
    else:
        raise EventNotSupported(f"{kind} is not supported")
