"""Runners of user functions. Imports nothing of Faust, of Kafka or of the rest of `processors`."""
