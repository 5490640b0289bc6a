import segment


async def on_request(request, settings):
    webhook = request.json()
    current = webhook["current"]
    segment.track(
        event=webhook["event"],
        user_id=f"user-{current['id']}",
        properties={"value": current["value"], "currency": current["currency"]},
    )
    segment.set(
        collection="deals",
        id=str(current["id"]),
        properties={"status": current["status"], "value": current["value"]},
    )
