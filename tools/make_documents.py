"""Make what is checked in and made from the parsers: completion and manual pages; and the copies of the make rules.

    python -I tools/make_documents.py           make it
    python -I tools/make_documents.py --check   fail if what is there is another

shtab makes the completion, argparse-manpage the manual pages.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

os.environ["COLUMNS"] = "80"
os.environ["SOURCE_DATE_EPOCH"] = "0"  # or the day would be in the manual pages
CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT))
for _name in [each for each in sys.modules if each.partition(".")[0] == "sage_wheels"]:
    del sys.modules[_name]

import shtab  # noqa: E402
from argparse_manpage.manpage import Manpage  # noqa: E402

from sage_wheels.cli import COMMANDS, parser_of  # noqa: E402

SHELLS = {
    "bash": "share/bash-completion/completions/sage-wheels",
    "zsh": "share/zsh/site-functions/_sage-wheels",
    "fish": "share/fish/vendor_completions.d/sage-wheels.fish",
}
# The kinds of files that options and arguments take, by the name of the value.
_FILES = ("FILE", "WHEEL", "ITEM", "SOURCE", "PATH", "EXE")
_DIRECTORIES = ("DIR", "P")


def whole_parser() -> argparse.ArgumentParser:
    """A parser that has all commands as subparsers, for shtab, which asks for one."""
    whole = argparse.ArgumentParser(prog="sage-wheels", description="Install wheels into a prefix, all or nothing.")
    whole.add_argument("--version", action="store_true", help="print the version")
    commands = whole.add_subparsers(metavar="COMMAND", dest="command")
    for name, what in COMMANDS.items():
        one = parser_of(name)
        sub = commands.add_parser(name, help=what, description=what, add_help=False)
        for action in one._actions:  # noqa: SLF001  what argparse has no other name for
            if action.help == argparse.SUPPRESS or action.nargs == argparse.REMAINDER:
                continue
            sub._add_action(action)  # noqa: SLF001
            if action.metavar in _FILES:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
            elif action.metavar in _DIRECTORIES:
                action.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
    return whole


def manual(parser: argparse.ArgumentParser, what: str) -> str:
    """The manual page of a command that does `what`."""
    data = {"project_name": "sage-wheels", "manual_title": "sage-wheels", "description": what}
    text = str(Manpage(parser, data))
    text = re.sub(r"^\.TH (.*?) \"1\"", r'.TH "\1" "1"', text)
    text = text.replace(".SH COMMENTS\nexamples:", ".SH EXAMPLES")
    text = re.sub(r"^(?=\.[a-z]|')", r"\\&", text, flags=re.MULTILINE)  # a dot or quotation mark begins no text
    return "\n".join(line.rstrip() for line in text.splitlines()) + "\n"


def make(checkout: Path) -> None:
    """Write everything into `checkout`."""
    data = checkout / "data"
    shutil.rmtree(data, ignore_errors=True)
    whole = whole_parser()
    for shell, place in SHELLS.items():
        text = shtab.complete(whole, shell).rstrip("\n") + "\n"
        for file in (checkout / "sage_wheels/cli/completions" / shell, data / place):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    pages = data / "share/man/man1"
    pages.mkdir(parents=True)
    for name in COMMANDS:
        (pages / f"sage-wheels-{name}.1").write_text(manual(parser_of(name), COMMANDS[name]))
    (pages / "sage-wheels.1").write_text(manual(whole, "install wheels into a prefix, all or nothing"))
    for file in sorted((CHECKOUT / "build/make").iterdir()):
        copy = data / "share/sage-wheels/make" / file.name
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(file, copy)


def contents(checkout: Path) -> dict[str, bytes]:
    """What `make` writes, by path."""
    files = [
        each
        for top in ("data", "sage_wheels/cli/completions")
        for each in (checkout / top).rglob("*")
        if each.is_file()
    ]
    return {each.relative_to(checkout).as_posix(): each.read_bytes() for each in files}


def main() -> None:
    if sys.argv[1:] != ["--check"]:
        make(CHECKOUT)
        return
    with tempfile.TemporaryDirectory() as work:
        make(Path(work))
        wanted, there = contents(Path(work)), contents(CHECKOUT)
    stale = sorted(path for path in wanted.keys() | there.keys() if wanted.get(path) != there.get(path))
    if stale:
        sys.exit(f"these are stale: {', '.join(stale)}; make them anew: nox -s documents")


if __name__ == "__main__":
    main()
