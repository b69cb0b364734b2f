"""Install wheels into a prefix, all or nothing; anything else that is named is built into a wheel first.

ITEM is a wheel, an sdist (.tar.gz, .zip, ...), a source tree, a URL, or a requirement ("six>=1.16"), which pip
downloads. What pip accepts is accepted here: './tree[extra]', 'NAME @ URL#subdirectory=DIR', 'git+URL@REVISION', and a
marker after a semicolon. Only the named items are installed: dependencies are not. A message names each requirement
that is missing, also those of requested extras. All items of one call are one transaction: after a failure or a kill,
either all of them are installed or none, and an earlier version is never absent in between.

One user can build and another one install. --built installs the wheel that 'sage-wheels build' has made of a source
tree as if it had been built here; so no code of a project runs as root:

    sage-wheels build --editable --wheel-dir DIR ./tree
    sudo sage-wheels install --editable --built DIR/WHEEL ./tree
"""

from __future__ import annotations

import argparse

from sage_wheels.cli import build_options, common, done, screen, source_arguments
from sage_wheels.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from sage_wheels.building import BuildOptions, BuiltWheel, Source

EXAMPLES = """\
    sage-wheels install --prefix venv wheels/six-1.17.0-py2.py3-none-any.whl
    sage-wheels install --index 'NAME @ git+https://example.org/repository@v1.0'
    sage-wheels install --dry-run wheels/*.whl
    sage-wheels install --destdir debian/tmp --prefix /usr --python /usr/bin/python3 *.whl
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_writing(parser)
    parser.add_argument("--no-compile", action="store_true", help="install no byte-code")
    parser.add_argument(
        "--on-conflict",
        choices=["error", "overwrite"],
        default="error",
        help="what to do if a file of another distribution, or of none, is in the way (default: error)",
    )
    parser.add_argument("--reinstall", action="store_true", help="install even what is installed already")
    parser.add_argument(
        "--link-mode",
        choices=["auto", "hardlink"],
        help="hardlink: files become hard links to the store; who edits such a file edits it in every prefix, and the "
        "tool notices that only by its size and time (default: auto: files are copies, which share blocks with the "
        "store if the file system can)",
    )
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument(
        "-e",
        "--editable",
        metavar="TREE",
        nargs="?",
        default=False,
        action=_Editable,
        help="install the source tree TREE so that it is used where it is (PEP 660); may be given several times; "
        "without a TREE: every ITEM",
    )
    parser.set_defaults(editables=[])
    parser.add_argument(
        "--built", metavar="WHEEL", help="build nothing: WHEEL was built from the source tree, which is the only ITEM"
    )
    _add_destdir(parser)
    build_options.add_build_arguments(parser)
    build_options.add_many_arguments(parser)
    source_arguments.add_arguments(parser, "ITEM")


class _Editable(argparse.Action):
    """Keeps the source trees that follow the option. If none follows, all items are editable."""

    def __call__(self, parser: object, namespace: argparse.Namespace, value: object, option: str | None = None) -> None:
        if value is None:
            namespace.editable = True
        else:
            namespace.editables = [*namespace.editables, value]


def _add_destdir(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("packages of an operating system")
    group.add_argument(
        "--destdir",
        metavar="DIR",
        help="write the files of wheels below DIR, at the paths that they would have in --prefix (default: the prefix "
        "of --python), and change nothing else",
    )
    group.add_argument("--scheme", help="the installation scheme of sysconfig to use (Debian: deb_system)")
    group.add_argument(
        "--optimize",
        metavar="N",
        type=int,
        choices=(0, 1, 2),
        action="append",
        help="compile byte-code of optimization level N; may be given several times (default: 0)",
    )
    group.add_argument(
        "--invalidation-mode",
        choices=("timestamp", "checked-hash", "unchecked-hash"),
        help="how Python finds out that byte-code is old (default: timestamp; if SOURCE_DATE_EPOCH is set, "
        "checked-hash)",
    )
    group.add_argument("--installer", metavar="NAME", help="the content of the file INSTALLER (default: sage-wheels)")


def run(options: argparse.Namespace) -> int:
    if options.editables and (options.editable or not (options.items or options.requirement)):  # for all items
        options.items, options.editables, options.editable = [*options.items, *options.editables], [], True
    if options.destdir:
        return _stage(options)
    named = source_arguments.named(
        *(options, options.items, "ITEM"), lambda: _markers(options), lambda names: _best(names, options)
    )
    if only := next(
        (each for each in ("scheme", "optimize", "invalidation_mode", "installer") if _given(options, each)), ""
    ):
        raise UsageError(f"--{only.replace('_', '-')} is only for --destdir", "add --destdir DIR, or leave it out")
    from sage_wheels.installing import install
    from sage_wheels.transaction.install import InstallOptions

    prefix = common.prefix_of(options)
    commit_options = common.commit_options_of(options)
    how = InstallOptions(
        compile_bytecode=not options.no_compile,
        overwrite=options.on_conflict == "overwrite",
        reinstall=options.reinstall,
        ignore_requires_python=options.ignore_requires_python,
        link_mode=options.link_mode or "",
        cache_dir=options.cache_dir,
        cache_size=options.cache_size,
        store=not options.no_store,
    )
    show = None
    if screen.is_live():
        from sage_wheels.cli import progress

        show = progress.staging(f"sage-wheels: staging for {prefix.root}:")
    try:
        building = build_options.options_from(options, prefix)._replace(build_all=_builder(options))
        report = install(
            named.items,
            prefix,
            how,
            commit_options,
            build_options=named.told(building, lambda: _markers(options)),
            limits=building.wheel_limits,
            on_progress=show,
        )
    finally:
        screen.clear()
    common.print_report(report, prefix, options)
    if not options.quiet:
        for each in report.unchanged:
            common.warn(f"{each} is installed in {prefix.root} already, and nothing was changed")
    return 0


def _builder(options: argparse.Namespace) -> Callable[[Sequence[Source], str, BuildOptions], list[BuiltWheel]]:
    """The function that builds several sources. Raises `UsageError` for invalid options of many builds."""
    choice = build_options.many_from(options)

    def build_all(sources: Sequence[Source], wheel_dir: str, building: BuildOptions) -> list[BuiltWheel]:
        from sage_wheels.cli import many

        return many.build_to_install(sources, wheel_dir, building, choice)

    return build_all


def _markers(options: argparse.Namespace) -> Mapping[str, str]:
    from sage_wheels.prefix import interpreter

    return interpreter.markers_of(common.prefix_of(options))


def _best(names: list[str], options: argparse.Namespace) -> str | None:
    """That of the wheels `names` that fits the prefix best; None if none fits."""
    from sage_wheels.wheel import tags

    return tags.best(names, common.prefix_of(options))


def _given(options: argparse.Namespace, name: str) -> bool:
    return bool(getattr(options, name))


def _stage(options: argparse.Namespace) -> int:
    """Write wheels below --destdir."""
    import contextlib
    import sys

    from sage_wheels.prefix import interpreter
    from sage_wheels.prefix.target import target
    from sage_wheels.requirements.arguments import selected
    from sage_wheels.requirements.sources import WheelFile
    from sage_wheels.wheel import tags
    from sage_wheels.wheel.destdir import StagingOptions, stage
    from sage_wheels.wheel.wheel import Wheel

    for name in ("editable", "built", "dry_run", "reinstall", "durable", "lock_timeout", "link_mode"):
        if _given(options, name):
            raise UsageError(f"--{name.replace('_', '-')} cannot be combined with --destdir", "leave it out")
    prefix = target(options.prefix, options.python or sys.executable, options.scheme)

    def markers() -> Mapping[str, str]:
        return interpreter.markers_of(prefix)

    named = source_arguments.named(options, options.items, "ITEM", markers, lambda names: tags.best(names, prefix))
    sources = selected([*named.items, *named.editables], markers, common.warn)
    wheels = [source for source in sources if isinstance(source, WheelFile)]
    if len(wheels) != len(sources):
        raise UsageError("--destdir takes wheels", "build them first, with 'sage-wheels build'")
    if named.constraints:
        from sage_wheels.requirements import constraints

        admitted = constraints.texts(named.constraints, markers)
        constraints.check_wheels((each.path for each in wheels), admitted)
    how = StagingOptions(
        () if options.no_compile else tuple(dict.fromkeys(options.optimize or [0])),
        options.invalidation_mode or "",
        options.installer or "sage-wheels",
        options.ignore_requires_python,
    )
    with contextlib.ExitStack() as stack:
        limits = common.wheel_limits_of(options)
        opened = [stack.enter_context(Wheel(each.path, limits)) for each in wheels]
        images = stage(opened, prefix, options.destdir, how)
    done.note("the files were written")
    if options.json:
        common.print_json([{"name": each.name, "version": each.version, "files": len(each.files)} for each in images])
    if not options.quiet:
        for image in images:
            common.warn(f"{image.name} {image.version} written below {options.destdir}, for {prefix.root}")
    return 0
