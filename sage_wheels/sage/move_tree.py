"""Move a staged tree into a prefix, all or nothing: `sage-move-tree`.

Directories that are not there yet arrive by one rename, others are merged; files replace what is there, and each file
that was there already is named. SRC is gone afterwards. DEST is a prefix, or any other directory.
"""

from __future__ import annotations

import argparse
import os

from sage_wheels.cli import common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.prog = "sage-move-tree"
    parser.add_argument(
        "--lock-timeout", type=common.seconds, metavar="S", help="give up after S seconds without the lock"
    )
    parser.add_argument("--durable", action="store_true", help="be safe against power loss, too (slower)")
    parser.add_argument("-q", "--quiet", action="store_true", help="do not name the files that were there already")
    parser.add_argument("source", metavar="SRC")
    parser.add_argument("prefix", metavar="DEST")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.transaction.move import move_tree

    for path, owners in move_tree(options.source, _tree(options.prefix), common.commit_options_of(options)):
        if not options.quiet:
            whose = f" and belongs to {' and '.join(owners)}" if owners else ""
            common.warn(f"warning: {path} was there already{whose}; it was replaced")
    return 0


def _tree(path: str) -> Prefix:
    """The prefix at `path`, or one without a Python."""
    from sage_wheels.errors import PrefixError
    from sage_wheels.prefix import Prefix, find_prefix
    from sage_wheels.prefix.model import Scheme

    os.makedirs(path, exist_ok=True)
    try:
        return find_prefix(path)
    except PrefixError:
        # nobody's library: no distribution is looked for
        return Prefix(
            os.path.abspath(path), (0, 0), "", "", Scheme("lib/no-python", "lib/no-python", "include", "bin", "")
        )
