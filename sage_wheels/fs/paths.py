"""`FullPath`: the type of absolute paths. To mypy, it differs from a path in a prefix and from an archive member."""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NewType

    FullPath = NewType("FullPath", str)
else:
    FullPath = str  # no cost at run time


def full(text: str) -> FullPath:
    """`text` as a `FullPath`. Raises `ValueError` if it is relative.

    >>> full("lib/six.py")
    Traceback (most recent call last):
    ...
    ValueError: 'lib/six.py' is no full path
    """
    if not text.startswith("/"):
        raise ValueError(f"{text!r} is no full path")
    return FullPath(text)
