"""The options of every command that builds; a command that then builds nothing pays nothing for them."""

from __future__ import annotations

import argparse

from sage_wheels.cli import common
from sage_wheels.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.building import BuildOptions
    from sage_wheels.prefix import Prefix

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


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
        help="how much an sdist may unpack to; K, M and G may follow the number (default: 2G)",
    )
    group.add_argument(
        "--max-sdist-members",
        metavar="N",
        type=common.size,
        help="how many files and directories an sdist may hold (default: 200000)",
    )
    common.add_wheel_limits(parser)


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
        keep_build_dir=arguments.keep_build_dir,
        config_settings=settings_from(arguments.config_settings),
        python=arguments.python,
        prefix=prefix,
        log=arguments.log,
        cache_dir=arguments.cache_dir,
        wheel_limits=common.wheel_limits_of(arguments),
        built=getattr(arguments, "built", None),
        on_note=common.warn,
        **limits,
    )


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
