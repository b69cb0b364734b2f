"""Entry points for sage-move-tree and sage-flock, if pip has installed the tool; a checkout has them in build/bin."""

from __future__ import annotations

import sys


def move_tree() -> int:
    """sage-move-tree: merge a staged tree into a prefix, all or nothing."""
    from sage_wheels.cli import main

    sys.argv.insert(1, "move-tree")
    return main()


def flock() -> int:
    """sage-flock: run a command while a lock is held."""
    from sage_wheels.sage.flock import main

    try:
        return main(sys.argv[1:])
    except KeyboardInterrupt:
        return 130
