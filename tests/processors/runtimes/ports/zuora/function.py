# Callouts: what happened is a parameter of the URL, the rest is flat JSON with names of our own choice.
import segment
from segment import InvalidEventPayload, ValidationError

totals = {}


async def on_request(request, settings):
    happened = request.url.search_params.get("event")
    tags = request.url.search_params.get_all("tag")
    if not happened:
        raise ValidationError("The callout URL needs ?event=")
    callout = request.json()
    account_id = callout.get("accountId")
    if not account_id:
        raise InvalidEventPayload("accountId is missing")

    account = next((known for known in settings["accounts"] if known["id"] == account_id), None)
    amount = float(callout["amount"])
    totals[account_id] = totals.get(account_id, 0) + amount
    segment.track(
        event=happened,
        user_id=account_id,
        properties={
            "revenue": amount if happened == "PaymentProcessed" else -amount,
            "total": totals[account_id],
            "currency": callout.get("currency") or settings["currency"],
            "tags": tags,
            "large": amount >= 1000,
        },
        integrations={"All": True, "Warehouse": {"table": "payments"}},
    )
    group_id = account["group"] if account else "none"
    segment.group(user_id=account_id, group_id=group_id, traits={"ltv": totals[account_id]})
    if happened == "AccountMerged":
        segment.alias(user_id=account_id, previous_id=callout["mergedId"])
