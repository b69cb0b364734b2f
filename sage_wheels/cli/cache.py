"""Look at the store, where what was built, unpacked and compiled before is kept.

    sage-wheels cache info                          print where it is, and how much there is of each kind
    sage-wheels cache gc                            delete what was not used for longest, down to --cache-size,
                                                    but nothing that was used within the last hour, and the
                                                    directories of builds that have failed a week ago
    sage-wheels cache clear                         delete everything except running builds
    sage-wheels cache explain [OPTION...] SOURCE    say what differs from the last build of the project
    sage-wheels cache keygen FILE                   make a private key; print the line for files of trusted keys

The store may be deleted at any time: everything in it is made again. 'explain' takes all options of 'build', copies the
source as a build does, and builds nothing.
"""

from __future__ import annotations

import argparse

from sage_wheels.cli import build, build_options, common, done, screen
from sage_wheels.errors import FileOperationFailed, SageWheelsError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.building.explaining import Explanation

IS_MIXED = True
_KINDS = {
    "content": "wheels and logs",
    "results": "entries of its index",
    "trees": "unpacked wheels",
    "wheels": "downloaded wheels",
    "build": "directories of builds",
}

EXAMPLES = """\
    sage-wheels cache info
    sage-wheels cache explain ./numpy
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("info", "gc", "clear", "explain", "keygen"), help="what to do")
    build.add_arguments(parser)


def run(arguments: argparse.Namespace) -> int:
    if arguments.what == "explain":
        return _explain(arguments)
    if arguments.what == "keygen":
        return _keygen(arguments)
    if arguments.sources:
        raise UsageError(f"cache {arguments.what} takes no SOURCE", "leave it out")
    from sage_wheels.building.options import store_of
    from sage_wheels.fs import caches
    from sage_wheels.store import eviction

    options = build_options.options_from(arguments, None)
    root, store = options.cache_root(), store_of(options)
    if caches.is_temporary(root):
        where = next(iter(caches.directories_of_user()), "")
        why = f"{where} cannot be used" if where else "this user has no home directory"
        raise SageWheelsError(f"there is no store, because {why}", "name a directory with --cache-dir")
    if arguments.what == "info":
        kinds = eviction.summary(root)
        total = sum(size for _, size in kinds.values())
        told = {"directory": root, "limit": store.limit, "size": total}
        if arguments.json:
            each = {kind: {"number": number, "size": size} for kind, (number, size) in kinds.items()}
            common.print_json({**told, "kinds": each})
        else:
            print(f"{root}: {screen.human_size(total)} of {screen.human_size(store.limit)}")
            for kind, (number, size) in kinds.items():
                print(f"  {_KINDS[kind]:<22}{number:>8}  {screen.human_size(size):>10}")
        return 0
    try:
        is_gc = arguments.what == "gc"
        freed, left = eviction.evict(root, store.limit) if is_gc else (eviction.clear(root), 0)
    except OSError as error:
        advice = "nothing can be deleted in it unless you may write there"
        raise FileOperationFailed.from_os_error(error, f"'cache {arguments.what}'", denied=advice) from error
    done.note("the store was changed")
    if arguments.json:
        common.print_json({"directory": root, "freed": freed})
    else:
        print(f"{root}: {screen.human_size(freed)} were deleted")
        if left > store.limit:
            print(f"{screen.human_size(left)} are left, because they were used within the last hour")
    return 0


def _keygen(arguments: argparse.Namespace) -> int:
    import os

    from sage_wheels.store.signing import make_key

    if len(arguments.sources) != 1:
        raise UsageError("cache keygen needs the FILE of one new key", "name it")
    [path] = arguments.sources
    line = make_key(path, os.path.basename(path))
    if arguments.json:
        common.print_json({"file": path, "trust": line})
    else:
        print(line)
    return 0


def _explain(arguments: argparse.Namespace) -> int:
    from sage_wheels.building import project

    if not (arguments.sources or arguments.requirement):
        raise UsageError("cache explain needs a SOURCE", "name what would be built")
    options = build_options.options_from(arguments, build.prefix_if_named(arguments))
    sources, options = build.named_sources(arguments, options)
    found = [project.explain(each, options) for each in sources]
    if arguments.json:
        common.print_json([each._asdict() for each in found])
    else:
        for each in found:
            print("\n".join(_sentences(each)))
    return 0


def _sentences(found: Explanation) -> list[str]:
    if found.not_kept:
        return [f"{found.name} is not kept in the store: {found.not_kept}"]
    if found.is_stored:
        return [f"{found.name} would come from the store; its build had taken {found.seconds} s"]
    if found.differences is None:
        return [f"{found.name} would be built: the store knows no build of it"]
    if not found.differences:
        return [f"{found.name} would be built: nothing has changed, but it is not in the store any more"]
    return [f"{found.name} would be built:", *(f"  {each}" for each in found.differences)]
