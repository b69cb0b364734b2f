"""What several commands share: options, messages, and the printing of reports."""

from __future__ import annotations

import argparse
import contextlib
import os
import re
import sys
import time

from sage_wheels import environment
from sage_wheels.cli import done, output, screen
from sage_wheels.cli.command_line import Once, Parser
from sage_wheels.errors import NotThere, UsageError
from sage_wheels.prefix import Prefix, find_prefix

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sage_wheels.archive.strict_zip import WheelLimits
    from sage_wheels.installed import Distribution
    from sage_wheels.transaction.commit import CommitOptions
    from sage_wheels.transaction.history import HistoryBounds
    from sage_wheels.transaction.report import Change, Report


_warned: set[str] = set()
# If there are more files than this, only their directory is named.
_NAMED = 10


def add_prefix(parser: argparse.ArgumentParser) -> None:
    default = ", ".join(f"${name}" for name in environment.OF_PREFIX)
    parser.add_argument(
        "--prefix",
        metavar="P",
        action=Once,
        help=f"virtual environment or Python installation (default: {default}, .venv here or above)",
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


def add_sandbox(parser: argparse._ActionsContainer) -> None:
    """The options of every command that builds in a sandbox."""
    parser.add_argument(
        "--sandbox",
        action="store_true",
        help="run the backend without network, and without your home and other directories (needs bubblewrap)",
    )
    parser.add_argument(
        "--sandbox-read",
        metavar="DIR",
        action="append",
        default=[],
        help="with --sandbox: let it read DIR; may be given several times",
    )


def add_store(parser: argparse._ActionsContainer) -> None:
    """The options of every command that uses the store."""
    parser.add_argument(
        "--cache-dir", metavar="DIR", help="where the store is (default: $SAGE_WHEELS_CACHE, else in the user's cache)"
    )
    parser.add_argument(
        "--cache-size",
        metavar="BYTES",
        type=size,
        help="how large the store may be; K, M, G and T may follow (default: 10G)",
    )
    parser.add_argument("--no-store", action="store_true", help="use nothing from the store, and keep nothing")
    parser.add_argument(
        "--store",
        metavar="URL",
        help="a second store, which several machines use; see docs/store.md (default: $SAGE_WHEELS_STORE)",
    )
    parser.add_argument(
        "--store-mode",
        choices=("read", "write", "both"),
        help="whether to read from --store, write to it, or both (default: $SAGE_WHEELS_STORE_MODE, else read)",
    )
    parser.add_argument(
        "--store-sign",
        metavar="FILE",
        help="the private key that signs what is written to --store (default: $SAGE_WHEELS_STORE_SIGN)",
    )
    parser.add_argument(
        "--store-trust",
        metavar="FILE",
        help="the public keys whose results in --store are trusted; 'any' trusts all results (default: "
        "$SAGE_WHEELS_STORE_TRUST)",
    )


def add_committing(parser: argparse.ArgumentParser) -> None:
    """The options for the commit of a transaction, and for the history."""
    parser.add_argument(
        "--lock-timeout",
        type=seconds,
        metavar="S",
        action=Once,
        help="give up if another process still holds the lock of the prefix after S seconds",
    )
    parser.add_argument("--durable", action="store_true", help="be safe against power loss, too (slower)")
    group = parser.add_argument_group(
        "history", "The old files that are kept, so that 'sage-wheels undo' can undo the change."
    )
    group.add_argument(
        "--history",
        metavar="N",
        type=int,
        help="keep the old files of the last N transactions; 0 keeps nothing (default: $SAGE_WHEELS_HISTORY or 20)",
    )
    group.add_argument(
        "--history-days",
        metavar="N",
        type=float,
        help="keep old files for N days (default: $SAGE_WHEELS_HISTORY_DAYS or 30)",
    )
    group.add_argument(
        "--history-size",
        metavar="N",
        type=size,
        help="keep N bytes of old files at most; K, M, G and T may follow (default: $SAGE_WHEELS_HISTORY_SIZE or 1G)",
    )


def seconds(text: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= float(text) < float("inf"):
            return float(text)
    raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds")


_SIZE = re.compile(r"(\d{1,15})(?:\.(\d{1,15}))?\s?(?:([KMGT])(I?B?)|B)?", re.ASCII)


def size(text: str) -> int:
    """A number with an optional unit: `G` and `GiB` are 1024 ** 3, `GB` is 1000 ** 3.

    >>> size("2G"), size("1.5 KiB"), size("10gb")
    (2147483648, 1536, 10000000000)
    """
    found = _SIZE.fullmatch(text.upper())
    if not found or (found[2] and not found[3]):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of bytes such as 500M, 1.5G or 10GiB")
    fraction = found[2] or ""
    power = " KMGT".index(found[3] or " ")
    unit: int = (1000 if found[4] == "B" else 1024) ** power
    return int(int(found[1] + fraction) * unit // 10 ** len(fraction))


def add_wheel_limits(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """The options of every command that opens wheels: to raise the limits, which no wheel that is known exceeds.

    Returns their group, for further limits.
    """
    from sage_wheels.archive.strict_zip import WheelLimits  # not at the top: `list` and `show` open no wheels

    group = parser.add_argument_group("limits")
    usual = WheelLimits()
    for name, what, default in (
        ("size", "how much a wheel may unpack to, in bytes; K, M, G and T may follow", f"{usual.size >> 30}G"),
        ("members", "how many files and directories a wheel may hold", str(usual.members)),
        ("ratio", "to how many times its size a member may inflate", str(usual.ratio)),
    ):
        group.add_argument(
            f"--max-wheel-{name}", metavar="N", type=size, default=size(default), help=f"{what} (default: {default})"
        )
    return group


def wheel_limits_of(options: argparse.Namespace) -> WheelLimits:
    from sage_wheels.archive.strict_zip import WheelLimits

    return WheelLimits(options.max_wheel_size, options.max_wheel_members, options.max_wheel_ratio)


def prefix_of(options: argparse.Namespace) -> Prefix:
    """The prefix of a command. If the command changes it, it must not be externally managed (PEP 668), unless the user
    has allowed that."""
    allowed = getattr(options, "break_system_packages", True)
    return find_prefix(options.prefix, break_system_packages=allowed)


def commit_options_of(options: argparse.Namespace) -> CommitOptions:
    from sage_wheels.transaction.commit import CommitOptions

    dry_run = getattr(options, "dry_run", False)
    bounds = _bounds_of(options)
    return CommitOptions(options.lock_timeout, options.durable, dry_run, warn, done.note_change, bounds, time.time())


def _bounds_of(options: argparse.Namespace) -> HistoryBounds:
    from sage_wheels.transaction.history import HistoryBounds

    wanted = (("transactions", "history", int), ("days", "history_days", float), ("size", "history_size", size))
    values = {field: _value_or_variable(options, option, read) for field, option, read in wanted}
    return HistoryBounds(**{field: value for field, value in values.items() if value is not None})


def _value_or_variable(options: argparse.Namespace, option: str, read: Callable[[str], float]) -> Any:
    """The value of an option, else that of its variable; None if there is neither. Raises `UsageError`.

    Commands of Sage need this, because defaults from variables are not set for them (`defaults`).
    """
    value = getattr(options, option, None)
    name = f"{environment.OPTION}{option.upper()}"
    text = environment.of_options().get(name)
    if value is not None or not text or getattr(options, "no_config", False):
        return value
    try:
        return read(text)
    except (ValueError, argparse.ArgumentTypeError) as error:
        raise UsageError(f"{name} is {text!r}, which is no number", "set it to a number, or unset it") from error


def usual_writing() -> argparse.Namespace:
    """The values of the options of `add_writing` for a command line without options."""
    parser = Parser("", None)
    add_writing(parser)
    parser.set_defaults(dry_run=False)
    return parser.parse_args([])


def warn(sentence: str, kind: str = "") -> None:
    """Print one line on standard error, without buffering; `kind` chooses its colour (`screen.painted`)."""
    print(f"sage-wheels: {screen.painted(sentence, kind) if kind else sentence}", file=sys.stderr, flush=True)


def warn_once(sentence: str) -> None:
    """Print one line as `warn` does, unless this process has printed the same one with this function before."""
    if sentence not in _warned:
        _warned.add(sentence)
        warn(sentence, "warning")


def counted(count: int, what: str) -> str:
    """A number of things.

    >>> counted(1, "difference"), counted(0, "difference")
    ('1 difference', '0 differences')
    """
    return f"{count} {what}{'' if count == 1 else 's'}"


def command(prefix: Prefix, words: str) -> str:
    """The command line `sage-wheels WORDS` for `prefix`, for messages: it can be copied as it is."""
    from sage_wheels.prefix import advice

    return advice.command(prefix.root, words)


def hint(prefix: Prefix, name: str) -> str:
    """ " (did you mean OTHER?)" if a distribution with a similar name, OTHER, is installed; else ""."""
    from sage_wheels.installed import find_all
    from sage_wheels.installed.neighbours import close_to

    close = close_to(prefix, name, find_all(prefix))
    return f" (did you mean {close}?)" if close else ""


def note_pending(prefix: Prefix) -> None:
    """Warn if a transaction is pending, so that what the command prints may be a state in the middle of it."""
    from sage_wheels.transaction.pending import pending

    if pending(prefix):
        state = f"another command is changing {prefix.root}, or was interrupted"
        warn(f"{state}; if it was interrupted, run '{command(prefix, 'recover')}'")


def one_distribution(prefix: Prefix, name: str) -> Distribution:
    from sage_wheels.installed import find, find_all
    from sage_wheels.installed.distributions import described

    found = find(prefix, name)
    if not found:
        from sage_wheels.installed.neighbours import close_to

        close = close_to(prefix, name, find_all(prefix))
        advice = f"did you mean {close}?" if close else f"'{command(prefix, 'list')}' shows what is installed"
        raise NotThere(f"{name} is not installed in {prefix.root}", advice)
    return described(prefix, found[0])


def print_json(content: Any) -> None:
    import json

    output.note_document()
    json.dump(content, sys.stdout, indent=2, default=str)
    print()


def print_report(report: Report, prefix: Prefix, options: argparse.Namespace) -> None:
    """Print the report of a transaction: as JSON with --json, and as sentences, with --quiet only the warnings."""
    warn_of(report, prefix, is_done=not options.dry_run)
    if options.json:
        changes = [change._asdict() for change in report.changes]
        texts = {"unchanged": list(map(str, report.unchanged)), "steps": list(map(str, report.steps))}
        print_json({**report._asdict(), "changes": changes, **texts})
    if options.quiet:
        return
    for sentence in report.unmet:
        warn(f"note: {sentence}")
    would = "would be " if options.dry_run else ""
    for change in report.changes:
        warn(_sentence(change, prefix.root, would), "change")
    if options.dry_run:
        for path in report.runs_at_start:
            warn(f"note: every start of Python will run what is in {path}")
    if options.dry_run and not options.json:
        for step in report.steps:
            if not step.path.startswith(f"{prefix.state}/"):  # the sentences above say what is kept there
                warn(f"  {step}")


def warn_of(report: Report, prefix: Prefix, *, is_done: bool = True) -> None:
    """Print warnings about what the user may not expect: files that were kept, overwritten or ignored. If `is_done` is
    false, say what would happen."""
    overwrote, kept = ("overwrote", "kept") if is_done else ("would overwrite", "would keep")
    for name, count in report.not_compiled:
        warn(
            f"{name} has no byte-code: the Python of {prefix.root} does not run, so {count} sources were not compiled",
            "warning",
        )
    for row in report.ignored:
        warn(f"ignored a row of RECORD, because its path cannot belong to a distribution: {row}", "warning")
    for path, owners in report.overwritten:
        warn(f"{overwrote} {path}, which belonged to {' and '.join(owners) or 'no distribution'}", "warning")
    if len(report.set_aside) > _NAMED:  # what a killed pip had left there, for example
        directory = os.path.commonpath(report.set_aside)
        warn(f"{kept} {len(report.set_aside)} files that somebody edited or added, in {directory}", "warning")
        return
    for path in report.set_aside:
        warn(f"{kept} a file that somebody edited or added as {path}", "warning")


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
