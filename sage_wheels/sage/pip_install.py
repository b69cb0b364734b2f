"""Install wheels into the Sage virtual environment: `sage-pip-install`, with the options that pip has.

ITEM is a wheel, a source tree, `NAME @ file:///PATH`, or a name, whose wheel is taken from $SAGE_SPKG_WHEELS and the
directories that --find-links names; it is skipped if its marker does not hold. Everything that is named is one
transaction. A wheel whose Requires-Python excludes this Python is installed, and named, if no other one fits; so does
the genuine script at its second try. Options of pip are accepted if they ask for what this command does anyway (no
index, no dependencies, no cache, a wheel of the same version replaces what is there). All others are refused, in a
requirements file as well.
"""

from __future__ import annotations

import argparse
import contextlib
import os

from sage_wheels import environment
from sage_wheels.cli import common
from sage_wheels.sage import variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.building import BuildOptions
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.install import InstallOptions
    from sage_wheels.transaction.report import Report

# Options that make pip do what this command does anyway. They are accepted, and have no effect.
_SAID_FOR_PIP = (
    *("--no-index", "--disable-pip-version-check", "--isolated", "--no-cache-dir", "--no-input", "--no-color"),
    *("--no-deps", "--no-dependencies", "--ignore-installed", "-I", "--force-reinstall", "--upgrade", "-U", "--pre"),
    *("--no-build-isolation", "--no-warn-script-location", "--no-warn-conflicts", "--prefer-binary", "--verbose", "-v"),
    *("-vv", "-vvv", "--require-virtualenv", "--no-user", "--no-clean"),
)
# The options that a requirements file may have. The second and the third have no effect: no index is used anyway, and a
# wheelhouse has only wheels.
_FOLLOWED = ("--requirement", "--no-index", "--prefer-binary", "--find-links")
_SAID_WITH_VALUE = ("--upgrade-strategy", "--no-binary", "--only-binary", "--progress-bar", "--root-user-action")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.prog = "sage-pip-install"
    common.add_writing(parser)
    parser.add_argument("-r", "--requirement", action="append", default=[], metavar="FILE", help="more ITEMs")
    parser.add_argument(
        "-e", "--editable", action="append", default=[], metavar="DIR", help="use a source tree in place"
    )
    parser.add_argument("-f", "--find-links", action="append", default=[], metavar="DIR", help="directory of wheels")
    parser.add_argument(
        "-C", "--config-settings", action="append", default=[], metavar="K=V", help="setting for the backend of -e"
    )
    parser.add_argument("--no-compile", action="store_true", help="install no byte-code")
    parser.add_argument("--ignore-requires-python", action="store_true", help="prefer a newer wheel to one that fits")
    parser.add_argument("--cache-dir", metavar="DIR", help="where unpacked wheels and build directories are kept")
    common.add_sandbox(parser)
    common.add_wheel_limits(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument("--root", help=argparse.SUPPRESS)
    parser.add_argument("--user", "--target", dest="elsewhere", action="store_true", help=argparse.SUPPRESS)
    # for the sdh_* functions
    parser.add_argument(
        "--built", metavar="WHEEL", help="build nothing: 'sage-wheels build --editable' has made WHEEL of the only -e"
    )
    parser.add_argument(
        "--developed", action="store_true", help="install nothing: 'setup.py develop' has installed the only -e"
    )
    parser.add_argument(
        "--record",
        dest="manifest",
        metavar="FILE",
        help="append a line NAME @ URL to the manifest FILE for each -e and each wheel",
    )
    parser.add_argument(
        "--record-only",
        dest="manifest_only",
        action="store_true",
        help="with --record: only add to the manifest, and install nothing",
    )
    parser.add_argument(
        "--superseded",
        metavar="FILE",
        help="uninstall what the old manifest FILE names, too, unless it is installed again; then delete FILE",
    )
    for option in _SAID_FOR_PIP:
        parser.add_argument(option, dest="_", action="store_true", help=argparse.SUPPRESS)
    for option in _SAID_WITH_VALUE:
        parser.add_argument(option, dest="_", help=argparse.SUPPRESS)
    parser.add_argument("items", nargs="*", metavar="ITEM")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.building import BuildOptions
    from sage_wheels.cli.build_options import settings_from
    from sage_wheels.errors import UsageError
    from sage_wheels.metadata import canonical_name
    from sage_wheels.prefix import interpreter
    from sage_wheels.requirements.arguments import applying
    from sage_wheels.requirements.names import all_named
    from sage_wheels.transaction.install import InstallOptions

    if options.built is not None and not _is_one_tree(options):
        raise UsageError("--built needs exactly one source tree", "give one -e and nothing else")
    if options.developed and (options.built is not None or options.dry_run or not _is_one_tree(options)):
        raise UsageError("--developed needs exactly one source tree", "give one -e and nothing else")
    if options.root or options.elsewhere:
        raise UsageError("--root, --user and --target are not supported", "leave out --root, --user and --target")
    items = [*options.items, *dict.fromkeys(each for file in options.requirement for each in _items_in(file))]
    superseded = all_named((), [options.superseded], must_exist=False) if options.superseded else []
    old = list(dict.fromkeys(map(canonical_name, superseded)))
    if not items and not options.editable:
        raise UsageError(
            f"{' '.join(options.requirement) or 'the command line'} names nothing to install", "name an ITEM"
        )
    if options.manifest_only:
        if not options.manifest or options.editable:
            raise UsageError("--record-only is for wheels only", "give --record, and no -e")
        _add_wheels(items, options.manifest)
        return 0
    prefix = common.prefix_of(options)
    if options.developed:
        _take_over(prefix, options.editable[0], old, options)
        return 0
    texts = [applying(item, lambda: interpreter.markers_of(prefix), common.warn) for item in items]
    items = [text for text in texts if text is not None]
    directories = tuple(filter(None, [*options.find_links, environment.get(variables.SPKG_WHEELS)]))
    building = BuildOptions(
        find_links=directories,
        config_settings=settings_from(options.config_settings),
        cache_dir=options.cache_dir,
        wheel_limits=common.wheel_limits_of(options),
        ignore_requires_python=True,
        sandbox=options.sandbox,
        sandbox_read=tuple(map(os.path.abspath, options.sandbox_read)),
        on_note=common.warn,
    )
    how = InstallOptions(
        compile_bytecode=not options.no_compile,
        ignore_requires_python=True,  # as the genuine script does in the end
        also_remove=frozenset(old),
        adopt=True,  # older tools left files behind that no RECORD lists
    )
    if items or not options.editable:  # also if all markers were false: what was superseded is removed
        _say(_install(prefix, items, how, building, options), prefix, options)
    for tree in options.editable:
        # without isolation: the backend of an editable tree also runs later, in the prefix
        there = building._replace(isolation=False, skip_dependency_check=True, editable=True, built=options.built)
        report = _install(prefix, [os.path.join(tree, "")], how, there, options)
        _say(report, prefix, options)
        if prefix.sees_system and not options.dry_run:
            _say_what_is_hidden(report, prefix)
        if options.manifest:
            _add_tree(report, options.manifest, os.path.abspath(tree))
    if not options.dry_run:
        _forget_superseded(options)
    return 0


def _items_in(file: str) -> list[str]:
    from sage_wheels.requirements.files import read

    return [line.text for line in read(file, _FOLLOWED) if line.text]


def _is_one_tree(options: argparse.Namespace) -> bool:
    return len(options.editable) == 1 and not options.items and not options.requirement


def _take_over(prefix: Prefix, tree: str, old: list[str], options: argparse.Namespace) -> None:
    """Add the source tree that `setup.py develop` has linked to the manifest, and remove what it supersedes."""
    from sage_wheels.errors import SourceError
    from sage_wheels.installed import find_all
    from sage_wheels.manifests.entries import add_entry
    from sage_wheels.manifests.state import is_linked
    from sage_wheels.transaction.uninstall import uninstall

    tree = os.path.abspath(tree)
    found = [each for each in find_all(prefix) if is_linked(prefix, each, tree)]
    if not found:
        raise SourceError(f"no .egg-link in {prefix.root} leads to {tree}", "let 'setup.py develop' make it")
    if gone := sorted(set(old) - {each.canonical_name for each in found}):
        _say(uninstall(prefix, gone, common.commit_options_of(options)), prefix, options)
    for each in found if options.manifest else ():
        add_entry(options.manifest, each.name, tree)
    _forget_superseded(options)


def _forget_superseded(options: argparse.Namespace) -> None:
    if options.superseded:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(options.superseded)


def _install(
    prefix: Prefix, items: list[str], how: InstallOptions, building: BuildOptions, options: argparse.Namespace
) -> Report:
    from sage_wheels.building import parse_source
    from sage_wheels.installing import install
    from sage_wheels.sage.wheelhouse import stored

    found = [
        stored(parse_source(item), item, prefix, building, ignore_requires_python=options.ignore_requires_python)
        for item in items
    ]
    commit_options, limits = common.commit_options_of(options), building.wheel_limits
    report = install(found, prefix, how, commit_options, build_options=building, limits=limits)
    if options.manifest and not options.dry_run:
        _add_wheels(found, options.manifest)
    return report


def _add_wheels(items: list[str], file: str) -> None:
    from sage_wheels.building import parse_source
    from sage_wheels.manifests.entries import add_entry
    from sage_wheels.requirements.sources import WheelFile, project_of_file

    for source in map(parse_source, items):
        if isinstance(source, WheelFile):
            add_entry(file, project_of_file(source.path), source.path)


def _say(report: Report, prefix: Prefix, options: argparse.Namespace) -> None:
    common.print_report(report, prefix, options)
    if not options.quiet:
        for each in report.unchanged:
            common.warn(f"{each} is installed in {prefix.root} already, and nothing was changed")


def _say_what_is_hidden(report: Report, prefix: Prefix) -> None:
    """Name modules of editable distributions that are hidden by packages of the system (sagemath/sage#37263)."""
    from sage_wheels.installed import find
    from sage_wheels.installed.files import owned
    from sage_wheels.installed.hidden import hidden_modules

    for each in (each for name in _installed(report) for each in find(prefix, name)):
        hidden = hidden_modules(prefix, owned(prefix, each).rows)
        if hidden:
            named = ", ".join(f"{module} by {path}" for module, path in hidden.items())
            common.warn(
                f"{each.name} is editable, and Python does not find all of it: the system hides {named}", "warning"
            )


def _add_tree(report: Report, file: str, tree: str) -> None:
    from sage_wheels.manifests.entries import add_entry

    for name in _installed(report):
        add_entry(file, name, tree)


def _installed(report: Report) -> list[str]:
    names = [change.name for change in report.changes if change.new_version]
    return [*names, *(each.name for each in report.unchanged)]
