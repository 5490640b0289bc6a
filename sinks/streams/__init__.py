"""Streams: sinks that pass messages on one by one, without merging."""
