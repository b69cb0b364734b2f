"""Install wheels into a prefix, all or nothing; anything else that is named is built into a wheel first.

ITEM is a wheel, an sdist (.tar.gz, .zip), a source tree, or a requirement ("six>=1.16"), which pip downloads. What is
named is installed, nothing more: no dependencies are followed. All items of one call are one transaction: a failure or
a kill leaves either all of them installed or none, and the versions that were there before are replaced without being
absent in between.

Who builds need not be who installs. Whatever 'sage-wheels build' made of a source tree, --built installs as if it had
been built here; so no code of a project runs as root:

    sage-wheels build --editable --wheel-dir DIR ./tree
    sudo sage-wheels install --editable --built DIR/WHEEL ./tree
"""

from __future__ import annotations

import argparse

from sage_wheels.cli import build_options, common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_writing(parser)
    parser.add_argument("--no-compile", action="store_true", help="install no byte-code")
    parser.add_argument(
        "--on-conflict",
        choices=["error", "overwrite"],
        default="error",
        help="what to do about files of other distributions, or of none, that are in the way (default: error)",
    )
    parser.add_argument("--reinstall", action="store_true", help="install even what is installed already")
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")
    parser.add_argument("--ignore-requires-python", action="store_true", help="do not look at Requires-Python")
    parser.add_argument(
        "-e",
        "--editable",
        action="store_true",
        help="install source trees so that they are used where they are (PEP 660)",
    )
    parser.add_argument("--built", metavar="WHEEL", help="the wheel of the one source tree ITEM: build nothing")
    build_options.add_build_arguments(parser)
    parser.add_argument("items", nargs="+", metavar="ITEM")


def run(options: argparse.Namespace) -> int:
    import sage_wheels
    from sage_wheels.transaction.install import Options

    prefix = common.prefix_of(options)
    settings = common.settings_of(options)
    how = Options(
        compile_bytecode=not options.no_compile,
        overwrite=options.on_conflict == "overwrite",
        reinstall=options.reinstall,
        ignore_requires_python=options.ignore_requires_python,
    )
    show = common.progress(f"sage-wheels: staging for {prefix.root}:")
    try:
        building = build_options.options_from(options, prefix)
        report = sage_wheels.install(
            options.items,
            prefix,
            how,
            settings,
            build_options=building,
            limits=building.wheel_limits,
            on_progress=show,
        )
    finally:
        common.clear_line()
    common.print_report(report, prefix, options)
    if not options.quiet:
        for each in report.unchanged:
            common.warn(f"{each} is installed in {prefix.root} already, and nothing was changed")
    return 0
