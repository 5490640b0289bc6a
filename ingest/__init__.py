"""The receiver: webhooks in by HTTP, durable records on the log out."""
