"""Command lines of this tool in messages, which people copy: they name the prefix that the message is about."""

from __future__ import annotations

import os
import shlex

from sage_wheels import environment


def command(root: str, words: str) -> str:
    """The command line `sage-wheels WORDS` for the prefix at `root`; `--prefix` is left out if a variable names it.

    >>> command("/my prefix", "undo 3")
    "sage-wheels undo 3 --prefix '/my prefix'"
    """
    told = environment.prefix()
    if not told or os.path.abspath(told) != root:
        words = f"{words} --prefix {shlex.quote(root)}"
    return f"sage-wheels {words}"
