"""A subscription payment: the customer's lifetime value for real-time tools, the invoice as a row for analysis."""

import segment


async def on_request(request, settings):
    callout = request.json()
    if callout["eventType"] != "PaymentProcessed":
        raise segment.EventNotSupported(f"{callout['eventType']} is not handled")

    account = callout["account"]
    invoice = callout["invoice"]
    paid_cents = sum(round(payment["amount"] * 100) for payment in account["payments"])

    segment.identify(
        user_id=account["accountNumber"],
        traits={
            "email": account["billToEmail"],
            "lifetime_value": paid_cents / 100,
            "payments": len(account["payments"]),
            "currency": account.get("currency", settings["currency"]),
        },
    )
    segment.set(
        collection="invoices",
        id=invoice["invoiceNumber"],
        properties={
            "account": account["accountNumber"],
            "subscription": invoice["subscriptionNumber"],
            "amount": invoice["amount"],
            "balance": invoice["balance"],
            "channel": invoice["salesChannel"],
            "invoice_date": invoice["invoiceDate"],
        },
    )
