"""The seeds of what tests leave to chance."""

from __future__ import annotations

import os
import random

ALL_FAULTS = bool(os.environ.get("FAULT_ERRORS"))  # whether all that can fail does, and not a part of it by chance


def seed(variable: str) -> int:
    """What that variable of the environment says, so that a failure can be repeated; else another number each time.

    But where CI is set, it is always the same one, as with hypothesis: there no change is to fail because of bad luck.
    """
    told = os.environ.get(variable)
    chosen = int(told) if told else 1 if os.environ.get("CI") else random.SystemRandom().randrange(10**9)
    print(f"{variable}={chosen}", flush=True)
    return chosen


def faults() -> random.Random:
    """What decides which operations fail, or what is deleted, and how; it follows from FAULT_SEED."""
    return random.Random(seed("FAULT_SEED"))
