"""Python's garbage collection in a program that has thousands of tasks or requests at once."""

import gc

THRESHOLDS = 50_000, 20, 100
"""Tasks and requests leave no cycles, and a busy event loop creates more than Python's default of 700 objects in one
turn. A collection of everything with 50,000 records in flight stops all of them for 0.4 s."""


def keep_what_exists() -> None:
    """Never look at what exists now again, and rarely at what comes. Call it when the program is complete."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)
