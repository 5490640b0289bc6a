# Orders: checked by their signature, a track per order, a row per line.
import base64
import hashlib
import hmac

import segment
from segment import EventNotSupported, ValidationError


def is_genuine(request, secret):
    digest = hmac.new(secret.encode(), request.body, hashlib.sha256).digest()
    return base64.b64encode(digest).decode() == request.headers.get("X-Shopify-Hmac-Sha256")


def cents(price):
    return round(float(price) * 100)


async def on_request(request, settings):
    if not is_genuine(request, settings["secret"]):
        raise ValidationError("The signature does not match")
    topic = request.headers.get("X-Shopify-Topic")
    if topic not in ("orders/create", "orders/cancelled"):
        raise EventNotSupported(topic)

    order = request.json()
    products = [
        {
            "sku": line["sku"],
            "name": line["title"],
            "quantity": line["quantity"],
            "price_cents": cents(line["price"]),
        }
        for line in order["line_items"]
    ]
    customer = order["customer"] or {}
    segment.track(
        event="Order Completed" if topic == "orders/create" else "Order Cancelled",
        user_id=customer.get("id"),
        anonymous_id=order["cart_token"],
        timestamp=order["created_at"],
        properties={
            "order_id": order["name"],
            "total_cents": cents(order["total_price"]),
            "total": float(order["total_price"]),
            "discount": ", ".join(code["code"] for code in order["discount_codes"]),
            "products": products,
            "gift": any(note["name"] == "gift" for note in order["note_attributes"]),
        },
    )
    if customer.get("email"):
        segment.identify(
            user_id=customer["id"],
            traits={
                "email": customer["email"].lower(),
                "firstName": customer["first_name"],
                "tags": customer["tags"].split(", "),
            },
        )
    for index, product in enumerate(products, 1):
        segment.set(collection="order_lines", id=f"{order['id']}-{index}", properties={"order": order["id"], **product})
