"""Say which distributions own a path in a prefix, one "NAME VERSION" a line; exit status 1 if none does.

A directory belongs to all distributions that have files in it. If the path does not exist, that is an error with status
1, even if a distribution lists it. A pattern such as '*/six.py' is compared with whole paths in the prefix; then each
line is "NAME VERSION PATH".
"""

from __future__ import annotations

import argparse
import os

from sage_wheels.cli import common
from sage_wheels.errors import NotThere, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath

EXAMPLES = """\
    sage-wheels owner venv/bin/flask
    sage-wheels owner '*/six.py'
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument(
        "path",
        metavar="PATH",
        help="a path: absolute, or relative to the current directory or to the prefix; or a pattern",
    )


def run(options: argparse.Namespace) -> int:
    from sage_wheels.fs import presence
    from sage_wheels.installed import find_all
    from sage_wheels.installed.distributions import described
    from sage_wheels.installed.owners import Owners

    if not options.path:
        raise UsageError("the path is empty", "name a path in the prefix")
    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    if any(each in options.path for each in "*?[") and not presence.is_there(options.path):
        return _print_matching(prefix, options)
    is_here = os.path.isabs(options.path) or presence.is_there(options.path)
    full = os.path.abspath(options.path if is_here else prefix.path(options.path))
    paths = list(_paths(prefix, full))
    if not paths:
        if full.startswith(f"{prefix.root}/") and not presence.is_there(full):  # a name longer than a file system takes
            common.warn(f"{full} is not there")
            return 1
        raise NotThere(f"{full} is not in {prefix.root}", "name a path in the prefix")
    owners = Owners(prefix, find_all(prefix))
    found = next(filter(None, map(owners.of, paths)), [])
    found = [described(prefix, each) for each in found]
    if options.json:
        common.print_json([{"name": each.name, "version": each.version} for each in found])
    else:
        for each in found:
            print(each)
    if not presence.is_there(full):
        if found:
            common.warn(f"{full} is not there, though {found[0]} lists it")
        elif is_here:
            common.warn(f"{full} is not there")
        else:
            common.warn(f"{options.path} is not there, neither in the current directory nor in {prefix.root}")
        return 1
    if not found:
        common.warn(f"{full} belongs to no distribution")
    return 0 if found else 1


def _print_matching(prefix: Prefix, options: argparse.Namespace) -> int:
    """Print the owners of each path that the pattern matches."""
    import fnmatch

    from sage_wheels.errors import NotRemovable
    from sage_wheels.installed import find_all
    from sage_wheels.installed.distributions import described
    from sage_wheels.installed.files import owned

    pattern = options.path
    if not pattern.startswith(("/", "*")):
        pattern = prefix.path(pattern)
    found = []
    for each in find_all(prefix):
        try:
            paths = [prefix.path(file) for file in owned(prefix, each).rows]
        except NotRemovable:
            continue  # it is not known which files it owns
        if matched := fnmatch.filter(paths, pattern):
            about = described(prefix, each)
            found += [{"name": about.name, "version": about.version, "path": path} for path in sorted(matched)]
    if options.json:
        common.print_json(found)
    else:
        for fact in found:
            print(fact["name"], fact["version"], fact["path"])
    if not found:
        common.warn(f"no file of a distribution matches {pattern}")
    return 0 if found else 1


def _paths(prefix: Prefix, full: str) -> Iterator[PrefixPath]:
    """The paths in the prefix that `full` may mean: as it is, with links above it resolved, with all links resolved."""
    from sage_wheels.prefix.locator import Locator

    directory, name = os.path.split(full)
    spellings = (full, os.path.join(os.path.realpath(directory), name), os.path.realpath(full))
    locate = Locator(prefix.root).locate
    yield from dict.fromkeys(path for each in spellings if (path := locate("", each)) is not None)
