"""Warehouses: sinks that keep events and objects as rows of tables. Each has only its dialect and its I/O."""
