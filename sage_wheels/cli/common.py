"""What several commands share: options, and how a report reads."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import sys
import time

from sage_wheels.errors import NotThere
from sage_wheels.prefix import Prefix, find_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sage_wheels.installed import Distribution
    from sage_wheels.transaction.commit import Settings
    from sage_wheels.transaction.report import Change, Report
    from sage_wheels.wheel.archive import Limits


_is_changed = False
# How many files are named one by one.
_NAMED = 10


def add_prefix(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--prefix", metavar="P", help="virtual environment or Python installation (default: $SAGE_VENV, $VIRTUAL_ENV)"
    )


def add_json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON on standard output")


def add_writing(parser: argparse.ArgumentParser) -> None:
    """The options of every command that changes a prefix."""
    add_prefix(parser)
    add_json(parser)
    add_committing(parser)
    parser.add_argument(
        "--break-system-packages",
        action="store_true",
        help="change a Python installation that the operating system manages (PEP 668)",
    )
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but warnings and errors")


def add_committing(parser: argparse.ArgumentParser) -> None:
    """How a transaction is committed."""
    parser.add_argument(
        "--lock-timeout", type=seconds, metavar="S", help="give up after S seconds without the prefix lock"
    )
    parser.add_argument("--durable", action="store_true", help="be safe against power loss, too (slower)")


def seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")


_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


def size(text: str) -> int:
    """A number with an optional unit.

    >>> size("2G")
    2147483648
    """
    found = re.fullmatch(r"(\d+)([KMG]?)", text.upper(), re.ASCII)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes such as 500M")
    return int(found[1]) * _UNITS[found[2]]


def add_wheel_limits(parser: argparse.ArgumentParser) -> None:
    """The options of every command that opens wheels: what no real wheel needs, but perhaps one of tomorrow's."""
    from sage_wheels.wheel.archive import Limits  # not at the top: `list` and `show` open no wheels

    group = parser.add_argument_group("limits")
    usual = Limits()
    for name, what, default in (
        ("size", "how much a wheel may unpack to, in bytes; K, M and G may follow the number", f"{usual.size >> 30}G"),
        ("members", "how many files and directories a wheel may hold", str(usual.members)),
        ("ratio", "to how many times its size a member may inflate", str(usual.ratio)),
    ):
        group.add_argument(
            f"--max-wheel-{name}", metavar="N", type=size, default=size(default), help=f"{what} (default: {default})"
        )


def wheel_limits_of(options: argparse.Namespace) -> Limits:
    from sage_wheels.wheel.archive import Limits

    return Limits(options.max_wheel_size, options.max_wheel_members, options.max_wheel_ratio)


def prefix_of(options: argparse.Namespace) -> Prefix:
    """The prefix that a command is for; one that the system manages only if it is not to be changed."""
    allowed = getattr(options, "break_system_packages", True)
    return find_prefix(options.prefix, break_system_packages=allowed)


def settings_of(options: argparse.Namespace) -> Settings:
    from sage_wheels.transaction.commit import Settings

    return Settings(options.lock_timeout, options.durable, getattr(options, "dry_run", False), warn, note_change)


def note_change() -> None:
    """From now on an interruption comes too late to change nothing."""
    global _is_changed
    _is_changed = True


def interruption() -> str:
    """What is to be said when the process is interrupted."""
    if _is_changed:
        return "interrupted; the change had been made already, and the next command clears up behind it"
    return "interrupted; nothing was changed"


def warn(sentence: str) -> None:
    """One line for people, at once, even if standard error is a file."""
    print(f"sage-wheels: {sentence}", file=sys.stderr, flush=True)


def note_pending(prefix: Prefix) -> None:
    """Say that what is read may be half of something."""
    from sage_wheels.transaction.stage import pending

    if pending(prefix):
        warn(f"an installation into {prefix.root} was interrupted or is under way; 'sage-wheels recover' finishes it")


def one_distribution(prefix: Prefix, name: str) -> Distribution:
    from sage_wheels.installed import find

    found = find(prefix, name)
    if not found:
        raise NotThere(f"{name} is not installed in {prefix.root}", "'sage-wheels list' tells what is")
    return found[0]


def print_json(content: Any) -> None:
    json.dump(content, sys.stdout, indent=2, default=str)
    print()


def print_report(report: Report, prefix: Prefix, options: argparse.Namespace) -> None:
    """Tell what a transaction did: JSON for programs, sentences for people; what was kept or left, always."""
    warn_of(report, prefix)
    if options.json:
        print_json({**report._asdict(), "changes": [change._asdict() for change in report.changes]})
    if options.quiet:
        return
    for sentence in report.unmet:
        warn(f"note: {sentence}")
    would = "would be " if options.dry_run else ""
    for change in report.changes:
        warn(_sentence(change, prefix.root, would))
    if options.dry_run:
        for path in report.runs_at_start:
            warn(f"note: every start of Python will run what is in {path}")
    if options.dry_run and not options.json:
        for step in report.steps:
            warn(f"  {step}")


def warn_of(report: Report, prefix: Prefix) -> None:
    """Tell what went otherwise than the user may think: what was kept or left."""
    for name, count in report.not_compiled:
        warn(f"{name} has no byte-code: the Python of {prefix.root} does not run, so {count} sources were not compiled")
    for row in report.ignored:
        warn(f"ignored a row of RECORD that names no file of the package: {row}")
    if len(report.set_aside) > _NAMED:  # what a killed pip had left there, for example
        place = os.path.commonpath(report.set_aside)
        warn(f"kept {len(report.set_aside)} files that somebody edited or added, in {place}")
        return
    for path in report.set_aside:
        warn(f"kept a file that somebody edited or added as {path}")


def _sentence(change: Change, root: str, would: str) -> str:
    name, old, new = change
    if not new:
        # an .egg-link has no version
        return f"{f'{name} {old}'.rstrip()} {would}uninstalled from {root}"
    if not old:
        return f"{name} {new} {would}installed into {root}"
    if old == new:
        return f"{name} {new} {would}reinstalled into {root}"
    return f"{name} {would}changed from {old} to {new} in {root}"


def progress(what: str) -> Callable[[int, int], None] | None:
    """A live line on a terminal; nothing where standard error is a file."""
    if not sys.stderr.isatty():
        return None
    shown = 0.0

    def show(done: int, total: int) -> None:
        nonlocal shown
        now = time.monotonic()
        if total > 1 and now - shown > 0.1:
            shown = now
            print(f"\r{what} {100 * done // total:3} %\r", end="", file=sys.stderr, flush=True)

    return show


def clear_line() -> None:
    if sys.stderr.isatty():
        print("\r\x1b[K", end="", file=sys.stderr, flush=True)
