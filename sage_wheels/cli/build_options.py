"""The options of every command that builds. Modules for builds are imported only if something is built."""

from __future__ import annotations

import argparse
import os

from sage_wheels.cli import common
from sage_wheels.errors import UsageError
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.building import BuildOptions
    from sage_wheels.prefix import Prefix


class ManyOptions(NamedTuple):
    """The options of a run of many builds (`cli.many`)."""

    jobs: int | None
    keep_going: bool
    from_source: bool
    slots: dict[str, int]
    report: str | None
    timings: str | None
    engine: str | None = None
    is_insecure: bool = False
    follow: str = ""
    last_lines: bool = False


def add_build_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every command that builds."""
    group = parser.add_argument_group("building")
    group.add_argument(
        "-f",
        "--find-links",
        metavar="DIR",
        action="append",
        default=[],
        help="directory of wheels for build requirements; may be given several times",
    )
    group.add_argument(
        "--index", action="store_true", help="let pip download the build requirements that no --find-links has"
    )
    group.add_argument("--no-isolation", action="store_true", help="build with what is installed in the prefix")
    group.add_argument(
        "--skip-dependency-check", action="store_true", help="with --no-isolation: do not check the build requirements"
    )
    group.add_argument(
        "--fallback-no-isolation", action="store_true", help="if the isolated build fails, try it without isolation"
    )
    group.add_argument("--ignore-requires-python", action="store_true", help="do not check Requires-Python")
    group.add_argument(
        "-C",
        "--config-settings",
        "--config-setting",
        dest="config_settings",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        help="setting for the backend; may be given several times, also for one KEY",
    )
    group.add_argument(
        "--sdist-then-wheel", action="store_true", help="build an sdist first, and then the wheel from that sdist"
    )
    group.add_argument(
        "--in-place",
        action="store_true",
        help="build source trees without a copy, one build at a time in each build directory (-C build-dir=DIR)",
    )
    group.add_argument(
        "--python",
        metavar="EXE",
        help="the interpreter that runs build backends (default: the one that the prefix was made with)",
    )
    group.add_argument(
        "--keep-build-dir", action="store_true", help="do not delete the build directory, environment and log"
    )
    group.add_argument("--log", metavar="FILE", help="append the whole output of the build to FILE")
    group.add_argument(
        "--usual-build-dir", metavar="DIR", help="where build directories are made, if nobody else may write there"
    )
    common.add_sandbox(group)
    common.add_store(group)
    group.add_argument(
        "--store-sandboxed", action="store_true", help="use only wheels from the store that were built in a sandbox"
    )
    group.add_argument(
        "--rebuild", action="store_true", help="build even if the store has the wheel, and replace it there"
    )
    _add_inputs(group)
    group = common.add_wheel_limits(parser)
    group.add_argument(
        "--max-sdist-size",
        metavar="N",
        type=common.size,
        help="how much an sdist may unpack to, in bytes; K, M, G and T may follow the number (default: 2G)",
    )
    group.add_argument(
        "--max-sdist-members",
        metavar="N",
        type=common.size,
        help="how many files and directories an sdist may hold (default: 200000)",
    )


def _add_inputs(group: argparse._ArgumentGroup) -> None:
    """The options that say what stands for an input of a build in the key of its result."""
    group.add_argument(
        "--cache-path",
        metavar="NAME=DIR",
        action="append",
        default=[],
        help="look for a stored wheel as if variables and settings had NAME in the place of DIR, which may then differ "
        "between machines; may be given several times",
    )
    group.add_argument(
        "--cache-cpu",
        metavar="TEXT",
        help="look for a stored wheel by TEXT instead of by the features of the processor: whoever gives the same TEXT "
        "shares wheels",
    )
    group.add_argument(
        "--cache-system",
        metavar="TEXT",
        help="look for a stored wheel by TEXT instead of by what is installed on this system: whoever gives the same "
        "TEXT shares wheels",
    )
    group.add_argument(
        "--cache-declared",
        action="store_true",
        help="with --no-isolation: state that the build uses only those installed packages that the project declares",
    )


def add_many_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of a command that builds many sources."""
    group = parser.add_argument_group("many sources")
    group.add_argument(
        *("-j", "--jobs"),
        metavar="N",
        type=_count,
        help="run N builds at the same time, with N compilers in all (default: the number of processors)",
    )
    group.add_argument(
        "-k",
        "--keep-going",
        action="store_true",
        help="after a failure, build everything that does not need what failed",
    )
    group.add_argument(
        "--from-source",
        action="store_true",
        help="let builds use only wheels that this run has built, also for their backends",
    )
    group.add_argument(
        "--slots",
        metavar="NAME=N",
        action="append",
        default=[],
        help="the build of NAME takes N slots, or, with 'all', the whole machine; may be given several times",
    )
    group.add_argument(
        "--engine",
        metavar="ENGINE",
        default="local",
        help="where to build: local, on this machine (default), or dask:tls://HOST:PORT, on the workers of a Dask "
        "cluster, which must use the same store (--store)",
    )
    group.add_argument(
        "--engine-insecure",
        action="store_true",
        help="use a scheduler on another machine without TLS; everybody who reaches it can run code on the workers",
    )
    group.add_argument("--follow", metavar="NAME", help="show the log of the build of NAME while it is written")
    group.add_argument(
        "--last-lines", action="store_true", help="on a terminal, show the last line of the log of each build that runs"
    )
    group.add_argument("--report", metavar="FILE", help="write the result for each source to FILE, as JSON")
    group.add_argument(
        "--timings",
        metavar="FILE",
        nargs="?",
        const="timings.html",
        help="write a page that shows when each source was built (default: timings.html), and a .json file beside it",
    )


def options_from(arguments: argparse.Namespace, prefix: Prefix | None) -> BuildOptions:
    """The options of a build for `prefix`. Raises `UsageError` for a setting that is no KEY=VALUE."""
    from sage_wheels.building import BuildOptions

    limits = {
        name: getattr(arguments, name)
        for name in ("max_sdist_size", "max_sdist_members")
        if getattr(arguments, name) is not None
    }
    return BuildOptions(
        find_links=tuple(arguments.find_links),
        use_index=arguments.index,
        isolation=not arguments.no_isolation,
        fallback_no_isolation=arguments.fallback_no_isolation,
        skip_dependency_check=arguments.skip_dependency_check,
        editable=bool(getattr(arguments, "editable", False)),
        sdist_then_wheel=arguments.sdist_then_wheel,
        in_place=arguments.in_place,
        keep_build_dir=arguments.keep_build_dir,
        config_settings=settings_from(arguments.config_settings),
        python=arguments.python,
        prefix=prefix,
        ignore_requires_python=arguments.ignore_requires_python,
        log=arguments.log,
        cache_dir=arguments.cache_dir,
        usual_build_dir=arguments.usual_build_dir,
        store=not arguments.no_store,
        rebuild=arguments.rebuild,
        verify_store=bool(getattr(arguments, "verify_store", False)),
        sandbox=arguments.sandbox,
        sandbox_read=tuple(map(os.path.abspath, arguments.sandbox_read)),
        store_sandboxed=arguments.store_sandboxed,
        cache_size=arguments.cache_size,
        store_url=arguments.store,
        store_mode=arguments.store_mode,
        store_sign=arguments.store_sign,
        store_trust=arguments.store_trust,
        cache_paths=named_paths_from(arguments.cache_path),
        cache_cpu=arguments.cache_cpu,
        cache_system=arguments.cache_system,
        cache_declared=arguments.cache_declared,
        wheel_limits=common.wheel_limits_of(arguments),
        built=getattr(arguments, "built", None),
        on_note=common.warn,
        **limits,
    )


def many_from(arguments: argparse.Namespace) -> ManyOptions:
    """The options of a run of many builds. Raises `UsageError` for invalid `--slots`."""
    from sage_wheels.metadata import canonical_name

    return ManyOptions(
        arguments.jobs,
        arguments.keep_going,
        arguments.from_source,
        dict(map(_slots, arguments.slots)),
        arguments.report,
        arguments.timings,
        None if arguments.engine == "local" else arguments.engine,
        arguments.engine_insecure,
        canonical_name(arguments.follow or ""),
        arguments.last_lines,
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of builds; give 1 or more")
    return int(text)


def _slots(text: str) -> tuple[str, int]:
    from sage_wheels.graph.scheduler import ALL
    from sage_wheels.metadata import canonical_name

    name, _, number = text.rpartition("=")
    if not name or not (number == "all" or (number.isdecimal() and int(number))):
        raise UsageError(f"--slots {text} is no NAME=N", "give the name of a project, and a number or 'all'")
    return canonical_name(name), ALL if number == "all" else int(number)


def settings_from(lines: list[str]) -> dict[str, str | list[str]]:
    """Config settings (PEP 517) as pip and `build` make them: a key that is given again has a list of values.

    >>> settings_from(["a=1", "b=x", "b=y"])
    {'a': '1', 'b': ['x', 'y']}
    """
    result: dict[str, str | list[str]] = {}
    for line in lines:
        key, equals, value = line.partition("=")
        if not key or not equals:
            raise UsageError(f"the config setting {line!r} is no KEY=VALUE", "write -C KEY=VALUE")
        before = result.get(key)
        if before is None:
            result[key] = value
        else:
            result[key] = [*([before] if isinstance(before, str) else before), value]
    return result


def named_paths_from(lines: list[str]) -> tuple[tuple[str, str], ...]:
    """Parse NAME=PATH into pairs.

    >>> named_paths_from(["sage=/opt/sage/"])
    (('sage', '/opt/sage'),)
    """

    result = []
    for line in lines:
        name, equals, path = line.partition("=")
        if not name.isidentifier() or name in ("build", "prefix") or not equals or not path:
            raise UsageError(f"the path {line!r} is no NAME=DIR", "write --cache-path NAME=DIR")
        result.append((name, os.path.abspath(path)))
    return tuple(result)
