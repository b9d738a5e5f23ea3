"""Calls and records of every kind, drawn from a seed: `make fuzz`."""
