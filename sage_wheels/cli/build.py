"""Build a wheel of each SOURCE, and print the path of each wheel on standard output.

SOURCE is an sdist (.tar.gz, .zip), a source tree, or a requirement ("six>=1.16"), whose sdist pip downloads. A source
tree is copied before anything runs in it, and stays as it is.

Isolation means what it means to pip: the backend sees the packages that pyproject.toml declares in
build-system.requires, those that the backend asks for in addition, and nothing else that is installed. Unlike pip, this
takes them from the directories of wheels that --find-links names, and from nowhere else: without --index nothing is
downloaded. The build environment is made of links to wheels that were unpacked once (the cache beside the first of
those directories, which may be deleted at any time), so it costs milliseconds.

With --no-isolation the backend sees what is installed in the prefix (--prefix, $SAGE_VENV, $VIRTUAL_ENV), as it is.

An editable wheel (--editable) is good on this machine, for as long as the source tree stays where it is; it belongs in
no wheelhouse. Install it at once, with 'sage-wheels install --editable --built WHEEL SOURCE'. That builds nothing, and
somebody else may do it: build as a user, install as root.
"""

from __future__ import annotations

import argparse
import contextlib
import os

from sage_wheels.cli import build_options, common
from sage_wheels.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.building import BuildOptions, BuiltWheel
    from sage_wheels.prefix import Prefix


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument("-w", "--wheel-dir", metavar="DIR", default=".", help="where the wheels go (default: here)")
    build_options.add_build_arguments(parser)
    parser.add_argument(
        "-e", "--editable", action="store_true", help="build the editable wheels of source trees (PEP 660)"
    )
    parser.add_argument("--show-log", action="store_true", help="show on standard output what comes into the --log")
    parser.add_argument("sources", nargs="+", metavar="SOURCE")


def run(arguments: argparse.Namespace) -> int:
    from sage_wheels.cli.live import ShownLog

    if arguments.editable:
        _refuse_wheelhouse(arguments.wheel_dir, arguments.find_links)
    if arguments.show_log and (arguments.json or not arguments.log):
        raise UsageError("--show-log shows what comes into a --log, and goes with no --json", "give --log FILE")
    options = build_options.options_from(arguments, _prefix_if_named(arguments))
    with ShownLog(arguments.log) if arguments.show_log else contextlib.nullcontext():
        built = [_build(text, arguments.wheel_dir, options, arguments.json) for text in arguments.sources]
    if arguments.json:
        common.print_json([wheel._asdict() for wheel in built])
    return 0


def _build(text: str, wheel_dir: str, options: BuildOptions, as_json: bool) -> BuiltWheel:
    from sage_wheels.building import build_wheel, parse_source
    from sage_wheels.cli.live import LiveLine

    source = parse_source(text)
    with LiveLine(text) as line:
        built = build_wheel(source, wheel_dir=wheel_dir, options=options._replace(on_phase=line.phase))
    if not as_json:
        print(built.path, flush=True)
    return built


def _refuse_wheelhouse(wheel_dir: str, find_links: list[str]) -> None:
    """See to it that no build and no installation by name takes an editable wheel for the wheel of that version."""
    wheelhouses = filter(None, [*find_links, os.environ.get("SAGE_SPKG_WHEELS", "")])
    if os.path.realpath(wheel_dir) in map(os.path.realpath, wheelhouses):
        raise UsageError(f"{wheel_dir} is a wheelhouse, where editable wheels must not be", "name another --wheel-dir")


def _prefix_if_named(arguments: argparse.Namespace) -> Prefix | None:
    """The prefix that is named in any way; a wheel can be built for none in particular."""
    if arguments.prefix or os.environ.get("SAGE_VENV") or os.environ.get("VIRTUAL_ENV"):
        return common.prefix_of(arguments)
    return None
