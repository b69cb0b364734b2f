"""What build/make/python-packages.mk asks: the rules for a list of packages, and what became of them."""

from __future__ import annotations

import argparse
import os

from sage_wheels.errors import SageWheelsError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.rules import lists


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=("rules", "fingerprint", "left", "summary", "run"))
    parser.add_argument("command", nargs="*", metavar="WORD", help="what 'run' runs")
    parser.add_argument("--list", metavar="FILE", default="")
    parser.add_argument("--stamps", metavar="DIR", default="")
    parser.add_argument("--logs", metavar="DIR", default="")
    parser.add_argument("--name", metavar="PACKAGE")


def run(options: argparse.Namespace) -> int:
    if options.what == "run":
        return _run(options.command)
    from sage_wheels.rules import lists

    try:
        packages = lists.read(options.list)
    except SageWheelsError as error:
        if options.what != "rules":
            raise
        print(f"$(error {_for_make(str(error))})@@")
        return 0
    if options.what == "rules":
        names = {each.name for each in packages}
        for package in packages:
            new = lists.fingerprint(package, os.getcwd(), options.stamps)
            is_old = new == _recorded(options.stamps, package.name)
            words = " ".join(_for_make(f"'{word}'") for word in package.options)
            arguments = (package.name, _for_make(package.source), words, " ".join(package.after))
            force = "" if is_old else "sage-wheels-anew"
            # make would take a tree with the name of a package for its target; the fingerprint shows a change
            made = "" if os.path.normpath(package.source) in names else _for_make(package.source)
            print(f"$(eval $(call sage-wheels-rules,{','.join(arguments)},{' '.join(package.order)},{force} {made}))@@")
        print("$(eval sage-wheels-read := yes)@@")
    elif options.what == "fingerprint":
        print(
            next(lists.fingerprint(each, os.getcwd(), options.stamps) for each in packages if each.name == options.name)
        )
    elif options.what == "left":
        for name in _left(options.stamps, packages):
            print(name)
    else:
        return _summary(options, packages)
    return 0


def _run(command: list[str]) -> int:
    """Run a recipe, or another make. If a signal ends this process, everything that was started ends with it: a shell
    would leave it behind, and make tells only its own children to end."""
    import subprocess

    from sage_wheels import processes
    from sage_wheels.cli import signals

    processes.prepare()
    try:
        status = subprocess.Popen(command, close_fds=False).wait()  # make's jobserver has descriptors
    except KeyboardInterrupt:  # the commands that end with it say what they have done
        signals.go_deaf()
        processes.end_all()
        return signals.exit_status()
    if status < 0:  # by a signal: what it had started may still run
        processes.end_all()
    return status if status >= 0 else 128 - status


def _for_make(text: str) -> str:
    """`text`, escaped for an argument of the function calls that `run` prints for make."""
    return text.replace("$", "$$$$").replace(",", "$(sage-wheels-comma)").replace("#", "\\#")


def _recorded(stamps: str, name: str) -> str:
    try:
        with open(os.path.join(stamps, f".{name}.said"), encoding="utf-8") as f:
            return f.read().strip()
    except (OSError, ValueError):
        return ""


def _left(stamps: str, packages: list[lists.Package]) -> list[str]:
    """The packages that are installed and no longer in the list."""
    try:
        there = sorted(name for name in os.listdir(stamps) if name[0] != ".")
    except OSError:
        return []
    names = {each.name for each in packages}
    return [name for name in there if name not in names]


def _summary(options: argparse.Namespace, packages: list[lists.Package]) -> int:
    stamps, logs = options.stamps, options.logs
    failed = [each.name for each in packages if os.path.exists(os.path.join(logs, f"{each.name}.failed"))]
    there = [each.name for each in packages if os.path.exists(os.path.join(stamps, each.name))]
    waiting = [each.name for each in packages if each.name not in {*failed, *there}]
    print(f"python-packages: {len(packages)} in {options.list}: {len(there)} installed, {len(failed)} failed")
    for name in failed:
        print(f"  {name} failed: its log is {os.path.join(logs, name)}.log")
    if waiting:
        print(f"  not installed: {' '.join(waiting)}")
    if left := _left(stamps, packages):
        print(f"  no longer in the list: {' '.join(left)}; 'make python-packages-prune' uninstalls them")
    return 0
