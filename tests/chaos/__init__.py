"""The whole system under faults drawn from a seed, and a judge of every promise: `make chaos`."""
