"""What the stages of Hookmill agree on: records, topics, the log, the registry, the retry rule."""

__version__ = "0.1.0"
