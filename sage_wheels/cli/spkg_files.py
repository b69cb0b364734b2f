"""Remove the distributions that the record of a package of Sage lists file by file; `sage-spkg-uninstall` calls this.

In the course of sage-spkg, which installs another version at once, they are only noted: that one replaces them.
"""

from __future__ import annotations

import argparse
import os

from sage_wheels.cli import common


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.prog = "sage-wheels spkg-files"
    common.add_writing(parser)
    parser.add_argument("package", metavar="PKG")
    parser.add_argument("stamp", metavar="STAMP")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.errors import FileOperationFailed, PrefixError
    from sage_wheels.sage import stamps
    from sage_wheels.sage.distribution import SUPERSEDED
    from sage_wheels.transaction.uninstall import uninstall

    options.dry_run = False
    try:
        prefix = common.prefix_of(options)
    except PrefixError:
        return 0  # a tree without a Python: the files are what the genuine script takes them for
    try:
        listed = stamps.listed_in(prefix, options.stamp)
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"reading {options.stamp}") from error
    if listed.names and os.environ.get("SAGE_DESTDIR"):
        note = prefix.path(f"{SUPERSEDED}/{options.package}")
        os.makedirs(os.path.dirname(note), exist_ok=True)
        with open(note, "a", encoding="utf-8") as f:
            f.writelines(f"{name}\n" for name in listed.names)
    elif listed.names:
        common.print_report(uninstall(prefix, listed.names, common.settings_of(options)), prefix, options)
    stamps.rewrite(options.stamp, listed.rest)  # last: what fails before it is found again by the next command
    return 0
