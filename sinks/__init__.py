"""The sink stage: events and objects from the log to where users keep data."""
