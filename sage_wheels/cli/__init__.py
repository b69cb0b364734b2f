"""The command line: parses arguments, calls functions, prints results. Only this package and `BEHIND_SCRIPTS` print.

Standard output is for programs, standard error for people. Each command is a module, which is imported only if it is
called. Exit status:

    0    the command was done
    1    it was refused, or failed
    2    wrong usage
    3    the lock was not obtained in time
    4    `verify` or `check` has found something, `repair` could not restore something, or `lock` is incomplete
    128 and the number of the signal that has ended the command
"""

from __future__ import annotations

import errno
import gc
import importlib
import os
import sys

from sage_wheels import environment, processes
from sage_wheels.cli import done, output, signals, tracing
from sage_wheels.errors import NOWHERE, FileOperationFailed, SageWheelsError, UsageError, is_somewhere
from sage_wheels.fs import trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    from types import ModuleType

    from sage_wheels.cli.command_line import Parser

COMMANDS = {
    "build": "turn sources into wheels",
    "install": "install wheels or sources into a prefix, all or nothing",
    "uninstall": "remove distributions from a prefix, exactly",
    "pip": "run pip, which changes the prefix all or nothing",
    "list": "list the distributions in a prefix",
    "show": "show what is known of a distribution",
    "files": "list the files of a distribution",
    "owner": "say which distribution a path belongs to",
    "check": "say which distributions are missing or in conflict",
    "why": "say which distributions need a distribution",
    "tree": "print which distributions need which",
    "freeze": "print what is installed as requirements",
    "lock": "print what is installed as a lock file",
    "history": "say what was changed, when and by which command",
    "undo": "undo a change, or go back to an earlier state",
    "verify": "compare the files in the prefix with what was installed",
    "repair": "restore files that are missing or changed",
    "restore": "install again what packages of a collection had installed",
    "timings": "show when each source was built",
    "cache": "look at the store of what was built before",
    "recover": "undo what a killed process left half-done",
    "config": "show the defaults of options, and where they come from",
    "completion": "print what a shell needs to complete command lines",
    "make-rules": "print where the make rules for a list of packages are",
    "help": "print the options of a command",
}

# Packages with commands that only scripts call. Each has a tuple `COMMANDS` with their names.
BEHIND_SCRIPTS = ("sage_wheels.rules", "sage_wheels.sage", "sage_wheels.graph")


def main(argv: list[str] | None = None) -> int:
    """Run the command line `argv`; returns the exit status.

    None stands for the command line of this process. Then it also handles the signals that end this process, and after
    one of them, ends all processes that were started.
    """
    if argv is not None:
        return _main(argv)
    gc.set_threshold(100_000)  # saves time: a command makes few circular references
    # Without memory, each of many finalizers would print "MemoryError", and no more. `callable` does nothing, and needs
    # no memory for that.
    sys.unraisablehook = callable
    try:
        signals.listen()
        processes.take_charge()
        output.open_standard_streams()
        try:
            status = _main(sys.argv[1:])
        except SystemExit as error:  # raised by argparse, which has printed the reason
            status = error.code if isinstance(error.code, int) else 0
        status = _told(status)
        signals.go_deaf()
    except KeyboardInterrupt:
        signals.go_deaf()
        processes.end_all()
        _say_interrupted()
        status = signals.exit_status()
    gc.freeze()  # else Python collects garbage twice at its end, a tenth of the time of a short command
    return status


def _main(arguments: list[str]) -> int:
    if sys.platform == "win32":
        print("sage-wheels: error: Windows is not supported; use WSL", file=sys.stderr)
        return 1
    output.begin()
    try:
        with trust.masked():
            return _run(arguments)
    except SageWheelsError as error:
        return _fail(error, arguments)
    except OSError as error:
        return _fail(FileOperationFailed.from_os_error(error, _named(arguments)), arguments)
    except UnicodeEncodeError as error:
        if error.encoding == "utf-8":
            raise
        return _fail(FileOperationFailed.from_encoding_error(error, _named(arguments)), arguments)
    except (MemoryError, ImportError) as error:
        if isinstance(error, ImportError) and not _lacks_memory(error):
            raise
        return _without_memory(arguments)


def _named(arguments: list[str]) -> str:
    """The name of the command in `arguments`, for messages about errors of the system."""
    return next((each for each in arguments if each in COMMANDS), "sage-wheels")


def _without_memory(arguments: list[str]) -> int:
    """Report that there is too little memory; returns the exit status, 0 if the command had done its work before."""
    if done.sentence():
        print(f"sage-wheels: {done.sentence()}, but then there was too little memory to clean up", file=sys.stderr)
        return 0
    return _fail(FileOperationFailed.from_os_error(OSError(errno.ENOMEM, ""), _named(arguments)), arguments)


def _lacks_memory(error: ImportError) -> bool:
    """Whether a module of Python could not be loaded because there is no memory for its shared library (dlopen(3))."""
    return "failed to map segment" in str(error) or os.strerror(errno.ENOMEM) in str(error)


def _told(status: int) -> int:
    """`status`; but 1 if standard output could not be written, unless the command had done more than to print."""
    error = output.lost()
    if error is None or status:
        return status
    if not output.is_closed(error):
        outcome = done.sentence() or "nothing was changed"
        print(f"sage-wheels: standard output cannot be written ({error.strerror}); {outcome}", file=sys.stderr)
    return 0 if done.sentence() else 1


def _say_interrupted() -> None:
    print(f"sage-wheels: {done.interruption()}", file=sys.stderr)


def _fail(error: SageWheelsError, arguments: list[str]) -> int:
    if _wants_json(arguments) and not output.has_document():
        from sage_wheels.cli import common

        common.print_json({"error": error.as_json()})
    from sage_wheels.cli import screen

    sys.stdout.flush()  # so that in a log, the error is the last line
    if not is_somewhere() and NOWHERE not in str(error):
        print(f"sage-wheels: {NOWHERE}, so relative paths lead nowhere", file=sys.stderr)
    print(f"sage-wheels: {screen.painted('error:', 'error')} {error}", file=sys.stderr)
    if error.details:
        print(error.details, file=sys.stderr)
    return error.exit_status


def _wants_json(arguments: list[str]) -> bool:
    """Whether --json is among our own options, also if the others are invalid."""
    end = next((at for at, each in enumerate(arguments) if each in ("--", "pip")), len(arguments))
    return "--json" in arguments[:end]


def _run(arguments: list[str]) -> int:
    from sage_wheels.cli.command_line import nearest, split

    before, rest = split(arguments)
    if not rest or rest[0].startswith("-"):
        return _top_level(before, rest)
    name, *rest = rest
    if not package_of(name):
        raise UsageError(f"there is no command {name!r}", nearest(name, COMMANDS))
    command = importlib.import_module(_module_of(name))
    parser = parser_of(name)
    options = _parsed(command, parser, [*before, *rest])
    if name in COMMANDS and not options.no_config and _set_defaults(name, parser, options):
        options = _parsed(command, parser, [*before, *rest])
    if options.color != "auto":
        from sage_wheels.cli import screen

        screen.choose(options.color)
    if name in COMMANDS and name != "build":  # `build` needs no prefix
        _find_prefix(name, options)
    tracing.listen(getattr(options, "verbose", 0))
    status: int = command.run(options)
    sys.stdout.flush()
    return status


def _parsed(command: ModuleType, parser: Parser, arguments: list[str]) -> argparse.Namespace:
    if getattr(command, "IS_MIXED", False):  # options may stand between the arguments
        return parser.parse_intermixed_args(arguments)
    if not getattr(command, "PASSES_ON", False):
        return parser.parse_all(arguments)
    options, others = parser.parse_known_args(arguments)
    options.arguments[:0] = others
    return options


def _set_defaults(name: str, parser: Parser, options: argparse.Namespace) -> bool:
    """Set defaults of options from files and variables; returns whether there are any."""
    from sage_wheels.cli import common, defaults

    items = [each for key in ("sources", "items", "editables", "arguments") for each in getattr(options, key, [])]
    trees = [_path_in(each) for each in items]
    try:
        here = os.getcwd()
    except FileNotFoundError:
        return False
    found = defaults.find(here, [each for each in trees if os.path.isdir(each)])
    for note in found.notes:
        common.warn(note)
    return bool(defaults.apply(parser, name, found))


def _path_in(item: str) -> str:
    """The path in `item`, if it is one, or `[NAME @] file:` with one; anything else is no path that exists."""
    from sage_wheels.errors import SourceError
    from sage_wheels.requirements import references

    reference = references.reference_in(item)
    if not reference or not references.is_file_url(reference.url):
        return references.with_extras(item)[0][0]
    try:
        return references.location_of(reference.url).path
    except (SourceError, OSError):  # the command itself says so
        return ""


def parser_of(name: str) -> Parser:
    """The parser of the command `name`."""
    from sage_wheels.cli.command_line import Once, Parser

    command = importlib.import_module(_module_of(name))
    parser = Parser(name, command.__doc__, getattr(command, "EXAMPLES", ""))
    command.add_arguments(parser)
    if name in COMMANDS and not getattr(command, "PASSES_ON", False):  # pip has its own -v
        tracing.add_arguments(parser)
    parser.refuses_empty_paths = name in COMMANDS  # scripts pass variables on
    parser.add_argument(
        "--no-config", action="store_true", help="read no configuration file and no SAGE_WHEELS_ variable"
    )
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        action=Once,
        help="whether to use colours (default: auto, on a terminal)",
    )
    return parser


def package_of(name: str) -> str:
    """The package that has the command `name`; "" if none has."""
    if name in COMMANDS:
        return __name__
    return next((each for each in BEHIND_SCRIPTS if name in importlib.import_module(each).COMMANDS), "")


def _module_of(name: str) -> str:
    return f"{package_of(name)}.{name.replace('-', '_')}"


def _find_prefix(name: str, options: argparse.Namespace) -> None:
    """If no prefix is named in any way, use the `.venv` of the current project, and print a note."""
    if getattr(options, "destdir", None) or getattr(options, "prefix", "") is not None or environment.prefix():
        return
    from sage_wheels.cli import common
    from sage_wheels.prefix.discovery import nearby

    changes = name == "pip" or hasattr(options, "break_system_packages")
    try:
        here = os.getcwd()
    except FileNotFoundError:
        return
    home = os.path.expanduser("~")
    options.prefix = nearby(here, home, changes=changes)
    if changes and not options.prefix and (other := nearby(here, home, changes=False)):
        what = f"no prefix is named, and {other} is not beside the nearest pyproject.toml, so it is not changed"
        raise UsageError(what, f"give --prefix {other}")
    if options.prefix and not getattr(options, "quiet", False):
        common.warn(f"the prefix is {options.prefix}, because no other is named")


def _top_level(before: list[str], arguments: list[str]) -> int:
    if "--version" in arguments:
        from sage_wheels.cli import version

        return version.run(before, arguments)
    if arguments in (["--help"], ["-h"]):
        print(overview())
        return 0
    if arguments:
        raise UsageError(f"sage-wheels has no option {arguments[0]} before the command", "see 'sage-wheels --help'")
    raise UsageError("no command is given", "see 'sage-wheels --help'")


def overview() -> str:
    """What `sage-wheels --help` prints."""
    import textwrap

    from sage_wheels.cli.command_line import columns

    width = min(columns(), 102) - 2
    rows = [
        textwrap.fill(what, max(width, 30), initial_indent=f"  {name:<11}", subsequent_indent=" " * 13)
        for name, what in COMMANDS.items()
    ]
    usage = "usage: sage-wheels [--prefix P] COMMAND [OPTION...]"
    more = (
        "'sage-wheels help COMMAND' prints the options of a command, with examples, "
        "and 'sage-wheels --version' the version."
    )
    return "\n".join([usage, "", *rows, "", textwrap.fill(more, max(width, 30))])
