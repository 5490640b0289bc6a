"""The function stage: webhooks from the log, through user functions, to events and objects on the log."""
