"""Build a wheel of each SOURCE, and print the path of each wheel on standard output.

SOURCE is an sdist (.tar.gz, .zip), a source tree, or a requirement ("six>=1.16"), whose sdist pip downloads. A source
tree is copied before anything runs in it, and stays as it is.

Isolation means what it means to pip: the backend sees the packages that pyproject.toml declares in
build-system.requires, those that the backend asks for in addition, and nothing else that is installed. Unlike pip, this
takes them from the directories of wheels that --find-links names, and from nowhere else: without --index nothing is
downloaded. The build environment is made of links to wheels that were unpacked once (the cache beside the first of
those directories, which may be deleted at any time), so it costs milliseconds.

With --no-isolation the backend sees what is installed in the prefix (--prefix, $SAGE_VENV, $VIRTUAL_ENV), as it is.
"""

from __future__ import annotations

import argparse
import sys
import threading
import time

from sage_wheels.building import BuildOptions, BuiltWheel, build_wheel, parse_source
from sage_wheels.cli import common
from sage_wheels.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix

_REFRESH = 0.25  # seconds between two pictures of the live line


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument("--wheel-dir", metavar="DIR", default=".", help="where the wheels go (default: here)")
    add_build_arguments(parser)
    parser.add_argument("--editable", action="store_true", help="build the editable wheel of a source tree (PEP 660)")
    parser.add_argument("sources", nargs="+", metavar="SOURCE")


def add_build_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of every command that builds."""
    group = parser.add_argument_group("building")
    group.add_argument(
        "--find-links",
        metavar="DIR",
        action="append",
        default=[],
        help="directory of wheels that build requirements are taken from; may be given several times",
    )
    group.add_argument("--index", action="store_true", help="let pip download the build requirements that are in none")
    group.add_argument("--no-isolation", action="store_true", help="build with what is installed in the prefix")
    group.add_argument(
        "--skip-dependency-check", action="store_true", help="with --no-isolation: do not look whether that is enough"
    )
    group.add_argument(
        "--fallback-no-isolation", action="store_true", help="if the isolated build fails, try it without isolation"
    )
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
        "--sdist-then-wheel", action="store_true", help="make an sdist first, and the wheel from what is in it"
    )
    group.add_argument(
        "--python", metavar="EXE", help="the interpreter that builds (default: the one that the prefix is made from)"
    )
    group.add_argument("--keep-build-dir", action="store_true", help="leave the build directory, environment and log")
    group.add_argument("--log", metavar="FILE", help="append the whole output of the build to FILE")
    group.add_argument("--cache-dir", metavar="DIR", help="where unpacked wheels and build directories are kept")
    group.add_argument(
        "--max-sdist-size",
        metavar="BYTES",
        type=common.size,
        default=BuildOptions().max_sdist_size,
        help="how much an sdist may unpack to; K, M and G may follow the number (default: 2G)",
    )
    group.add_argument(
        "--max-sdist-members",
        metavar="N",
        type=common.size,
        default=BuildOptions().max_sdist_members,
        help="how many files and directories an sdist may hold (default: 200000)",
    )
    common.add_wheel_limits(parser)


def options_from(arguments: argparse.Namespace, prefix: Prefix | None) -> BuildOptions:
    """The options of a build for `prefix`. Raises `UsageError` for a setting that is no KEY=VALUE."""
    return BuildOptions(
        find_links=tuple(arguments.find_links),
        use_index=arguments.index,
        isolation=not arguments.no_isolation,
        fallback_no_isolation=arguments.fallback_no_isolation,
        skip_dependency_check=arguments.skip_dependency_check,
        editable=bool(getattr(arguments, "editable", False)),
        sdist_then_wheel=arguments.sdist_then_wheel,
        keep_build_dir=arguments.keep_build_dir,
        config_settings=settings_from(arguments.config_settings),
        python=arguments.python,
        prefix=prefix,
        log=arguments.log,
        cache_dir=arguments.cache_dir,
        max_sdist_size=arguments.max_sdist_size,
        max_sdist_members=arguments.max_sdist_members,
        wheel_limits=common.wheel_limits_of(arguments),
        on_note=common.warn,
    )


def run(arguments: argparse.Namespace) -> int:
    options = options_from(arguments, _prefix_if_named(arguments))
    built = [_build(text, arguments.wheel_dir, options, arguments.json) for text in arguments.sources]
    if arguments.json:
        common.print_json([wheel._asdict() for wheel in built])
    return 0


def _build(text: str, wheel_dir: str, options: BuildOptions, as_json: bool) -> BuiltWheel:
    source = parse_source(text)
    with LiveLine(text) as line:
        built = build_wheel(source, wheel_dir=wheel_dir, options=options._replace(on_phase=line.phase))
    if not as_json:
        print(built.path, flush=True)
    return built


def _prefix_if_named(arguments: argparse.Namespace) -> Prefix | None:
    """The prefix that is named in any way; a wheel can be built for none in particular."""
    import os

    if arguments.prefix or os.environ.get("SAGE_VENV") or os.environ.get("VIRTUAL_ENV"):
        return common.prefix_of(arguments)
    return None


def settings_from(lines: list[str]) -> dict[str, str | list[str]]:
    """Config settings as pip and `build` make them: a key that comes again has a list.

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


class LiveLine:
    """One line on a terminal that says what is being built, in which phase, and for how long; else nothing."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._phase = ""
        self._start = time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True) if sys.stderr.isatty() else None

    def __enter__(self) -> LiveLine:
        if self._thread:
            self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        if self._thread:
            self._thread.join()
            common.clear_line()

    def phase(self, name: str) -> None:
        """Show another phase from now on."""
        self._phase = name

    def _run(self) -> None:
        while not self._done.wait(_REFRESH):
            seconds = time.monotonic() - self._start
            print(f"\r\x1b[K{self._what}: {self._phase} {seconds:.0f} s", end="", file=sys.stderr, flush=True)
