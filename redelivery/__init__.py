"""Brings records back to the stage that has to take them again: what waits on the delay topics, and dead letters."""
