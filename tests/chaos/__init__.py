"""The whole system under faults drawn from a seed, with a check of every promise: `make chaos`."""
