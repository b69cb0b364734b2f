"""What is kept in the store has a key of everything that it depends on; what cannot have one is not kept."""

from __future__ import annotations


class NotKeyable(Exception):
    """The build depends on something that cannot be named; the argument is the reason, for people."""
