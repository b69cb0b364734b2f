"""The key of a result contains everything that it depends on. A build for which that is impossible is not kept."""

from __future__ import annotations


class NotKeyable(Exception):
    """The build depends on something that cannot be part of a key. The message says on what."""
