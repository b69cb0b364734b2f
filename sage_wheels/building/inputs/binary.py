"""What the loader reads in a program or shared library: its own name and versions, and the libraries that it needs."""

from __future__ import annotations

from sage_wheels.named import NamedTuple


class Binary(NamedTuple):
    """A program or shared library. `kind` is format, class and machine: only files of the same kind can be loaded
    together. `name` is its own name as a library, `needed` are the names of the libraries that it needs, `search` the
    directories where they are searched, `versions` the versions that are needed, by name of the library, and `defined`
    the versions that it has itself."""

    kind: tuple[int, ...]
    name: str
    needed: list[str]
    search: list[str]
    versions: dict[str, list[str]]
    defined: frozenset[str]
