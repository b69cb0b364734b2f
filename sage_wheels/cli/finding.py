"""The options of commands that look for the wheels of what is installed, or was."""

from __future__ import annotations

import argparse

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.history import FindWheels


def add_arguments(parser: argparse.ArgumentParser, purpose: str) -> None:
    parser.add_argument("-f", "--find-links", action="append", default=[], metavar="DIR", help=purpose)
    parser.add_argument(
        "--cache-dir", metavar="DIR", help="where the store is (default: $SAGE_WHEELS_CACHE, else in the user's cache)"
    )


def finder_of(
    options: argparse.Namespace, prefix: Prefix, say: Callable[[str], None] | None = None
) -> AbstractContextManager[FindWheels]:
    """`manifests.wheels.wheel_finder` for these options. With `say`, direct_url.json is used, too."""
    from sage_wheels.cli import common
    from sage_wheels.manifests.wheels import wheel_finder

    return wheel_finder(prefix, common.warn_once, options.find_links, options.cache_dir, say)
