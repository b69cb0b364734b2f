"""What a program or a shared library says to the loader: the libraries that it needs, and what it is itself."""

from __future__ import annotations

from typing import NamedTuple


class Binary(NamedTuple):
    """`kind`: format, class and machine, which must be the same to be loaded together. `name` is its own as a library,
    `needed` are the names of others, `search` the directories to look for them, `versions` those that are needed, by
    the name of the library, and `defined` those that it has itself."""

    kind: tuple[int, ...]
    name: str
    needed: list[str]
    search: list[str]
    versions: dict[str, list[str]]
    defined: frozenset[str]
