"""Benchmarks: sides compared in one run, in work per CPU second of what is measured. `make bench` runs them all."""
