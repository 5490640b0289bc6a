"""Runs in a Python runner, beside user code. Needs the standard library only, imports nothing else of Hookmill."""
