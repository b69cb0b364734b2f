"""Command lines of this tool in messages, which people copy: they name the prefix that the message is about."""

from __future__ import annotations

import os

from sage_wheels import environment


def command(root: str, words: str) -> str:
    """The command line `sage-wheels WORDS` for the prefix at `root`; `--prefix` is left out if a variable names it.

    >>> command("/my prefix", "undo 3")
    "sage-wheels undo 3 --prefix '/my prefix'"
    """
    told = environment.prefix()
    if not told or os.path.abspath(told) != root:
        words = f"{words} --prefix {_quoted(root)}"
    return f"sage-wheels {words}"


def _quoted(path: str) -> str:
    """`path` as a word of a shell; the module `shlex` is imported only if there is something to quote."""
    if path.isascii() and path.replace("/", "").replace("-", "").replace("_", "").replace(".", "").isalnum():
        return path
    import shlex

    return shlex.quote(path)
