"""Make a page that shows the builds in FILE over time: when each was built, where, and what it waited for.

FILE is the .json file that 'build --timings' writes beside its page, or the file that $SAGE_WHEELS_TIMINGS named while
any number of processes ran builds. Several files make one page. It is one HTML file, without scripts.

    export SAGE_WHEELS_TIMINGS=$PWD/timings.jsonl
    make -j8
    sage-wheels timings timings.jsonl
"""

from __future__ import annotations

import argparse

from sage_wheels.errors import FileOperationFailed, SourceError

EXAMPLES = """\
    sage-wheels timings -o page.html timings.jsonl
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-o", "--output", metavar="PAGE", default="timings.html", help="default: timings.html")
    parser.add_argument("files", nargs="+", metavar="FILE")


def run(options: argparse.Namespace) -> int:
    from sage_wheels.cli import many
    from sage_wheels.graph import timings

    entries = [entry for file in options.files for entry in timings.read(file, _text(file))]
    if not entries:
        contain = "contain" if options.files[1:] else "contains"
        raise SourceError(f"{' and '.join(options.files)} {contain} no build", "build something first")
    many.write(options.output, timings.page(entries))
    print(options.output)
    return 0


def _text(file: str) -> str:
    try:
        with open(file, encoding="utf-8", errors="replace") as f:
            return f.read()
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, "reading the timings", denied="check its permissions") from error
