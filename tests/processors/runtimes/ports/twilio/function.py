# Text messages: the body is a form.
from urllib.parse import parse_qsl

import segment
from segment import InvalidEventPayload, ValidationError


async def on_request(request, settings):
    form = dict(reversed(parse_qsl(request.text(), keep_blank_values=True)))
    sid = form.get("MessageSid")
    if not sid:
        raise InvalidEventPayload("MessageSid is missing")
    if form.get("AccountSid") != settings["account"]:
        raise ValidationError("The account is not ours")
    phone = form.get("From")
    media = int(form.get("NumMedia") or "0")
    urls = [form.get(f"MediaUrl{index}") for index in range(media)]
    text = form.get("Body") or ""
    command = text.strip().upper()
    if command in ("STOP", "START"):
        segment.identify(anonymous_id=phone, traits={"phone": phone, "subscribed": command == "START"})
    segment.track(
        event=f"SMS {form.get('SmsStatus')}",
        anonymous_id=phone,
        message_id=sid,
        properties={
            "text": text,
            "characters": len(text),
            "words": len(text.split()),
            "media": urls,
            "country": form.get("FromCountry"),
        },
    )
    segment.screen(anonymous_id=phone, name="Conversation", properties={"to": form.get("To")})
