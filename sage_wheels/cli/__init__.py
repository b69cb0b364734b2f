"""The command line: parse, call the API, print. Nothing else prints.

Standard output is for programs, standard error for people. Exit status: 0 done, 1 refused or failed, 2 wrong usage,
3 lock not obtained in time, 130 interrupted. One module for each command, imported only when it is called.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys

from sage_wheels.errors import FileOperationFailed, SageWheelsError
from sage_wheels.prefix import trust

COMMANDS = {
    "build": "turn sources into wheels",
    "install": "install wheels or sources into a prefix, all or nothing",
    "uninstall": "remove distributions from a prefix, exactly",
    "pip": "run pip, which changes the prefix all or nothing",
    "list": "list the distributions in a prefix",
    "show": "show what is known of a distribution",
    "files": "list the files of a distribution",
    "owner": "say which distribution a path belongs to",
    "verify": "compare what is there with what was installed",
    "restore": "put back what packages of the distribution brought",
    "recover": "finish what a killed process left",
}

# What scripts in build/bin start; people call those.
BEHIND_SCRIPTS = ("move-tree", "pip-install", "pip-uninstall", "spkg-files")


def main(argv: list[str] | None = None) -> int:
    """Run a command line; the exit status. Without `argv`, that of this process, which then handles its signals."""
    if argv is not None:
        return _main(argv)
    _open_standard_streams()
    listen = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in listen:
        if signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, signal.default_int_handler)  # as Ctrl-C does
    try:
        return _main(sys.argv[1:])
    finally:
        for number in listen:
            signal.signal(number, signal.SIG_IGN)  # nothing is left to be interrupted


def _open_standard_streams() -> None:
    """Open those that the caller has closed, on nothing: the next file that is opened would get the number of one, and
    what is printed would go there."""
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free: this one
            os.set_inheritable(fd, True)
        if getattr(sys, name) is None:
            setattr(sys, name, open(fd, mode, closefd=False))  # noqa: SIM115  for as long as the process lasts


def _main(arguments: list[str]) -> int:
    if sys.platform == "win32":
        print("sage-wheels: error: Windows is not supported; use WSL", file=sys.stderr)
        return 1
    try:
        with trust.masked():
            return _run(arguments)
    except SageWheelsError as error:
        return _fail(error)
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            _drop_output()
            return 1
        return _fail(FileOperationFailed.from_os_error(error, " ".join(arguments[:1])))
    except KeyboardInterrupt:
        from sage_wheels.cli.common import interruption

        print(f"sage-wheels: {interruption()}", file=sys.stderr)
        return 130


def _drop_output() -> None:
    """Let what waits for standard output go nowhere, or the flush at exit fails again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _fail(error: SageWheelsError) -> int:
    try:
        sys.stdout.flush()  # in a log, the error stands behind what came before it
    except OSError:
        _drop_output()
    print(f"sage-wheels: error: {error}", file=sys.stderr)
    if error.details:
        print(error.details, file=sys.stderr)
    return error.exit_status


def _run(arguments: list[str]) -> int:
    if not arguments or arguments[0].startswith("-"):
        return _top_level(arguments)
    name, *rest = arguments
    if name not in COMMANDS and name not in BEHIND_SCRIPTS:
        import difflib

        close = difflib.get_close_matches(name, COMMANDS, 1)
        hint = f"did you mean {close[0]}?" if close else "see sage-wheels --help"
        print(f"sage-wheels: error: there is no command {name!r}; {hint}", file=sys.stderr)
        return 2
    command = importlib.import_module(f"sage_wheels.cli.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(
        prog=f"sage-wheels {name}",
        description=command.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    command.add_arguments(parser)
    if getattr(command, "PASSES_ON", False):
        options, others = parser.parse_known_args(rest)
        options.arguments[:0] = others
    else:
        options = parser.parse_args(rest)
    if unknown := getattr(options, "usage_problem", None):
        parser.error(unknown)
    status: int = command.run(options)
    sys.stdout.flush()
    return status


def _top_level(arguments: list[str]) -> int:
    if arguments == ["--version"]:
        from sage_wheels import __version__

        print(f"sage-wheels {__version__}")
        return 0
    lines = "\n".join(f"  {name:<11}{what}" for name, what in COMMANDS.items())
    text = f"usage: sage-wheels COMMAND [OPTION...]\n\n{lines}\n\nsage-wheels COMMAND --help tells the options."
    asked = arguments in (["--help"], ["-h"])
    print(text, file=sys.stdout if asked else sys.stderr)
    return 0 if asked else 2
