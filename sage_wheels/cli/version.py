"""What `--version` prints, and with --verbose all that a bug report needs."""

from __future__ import annotations

import os
import sys

from sage_wheels.errors import SageWheelsError, UsageError


def run(before: list[str], arguments: list[str]) -> int:
    """Print the version; `before` are the common options before --version. Raises `UsageError` for other options."""
    import argparse

    from sage_wheels.cli import common
    from sage_wheels.version import __version__

    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument("--version", action="store_true")
    parser.add_argument("-v", "--verbose", action="store_true")
    options, unknown = parser.parse_known_args([*before, *arguments])
    if unknown:
        raise UsageError(f"{unknown[0]} cannot be combined with --version", "see 'sage-wheels --help'")
    facts = {"sage-wheels": __version__}
    if options.verbose:
        facts |= _facts(options.prefix)
    if options.json:
        common.print_json(facts)
    elif options.verbose:
        for key, value in facts.items():
            print(f"{key}: {value}")
    else:
        print(f"sage-wheels {__version__}")
    return 0


def _facts(prefix: str | None) -> dict[str, str]:
    import platform
    from importlib import metadata

    from sage_wheels.fs import caches
    from sage_wheels.prefix import find_prefix

    facts = {
        "commit": _commit(),
        "source": _digest(),
        "program": os.path.dirname(os.path.dirname(os.path.abspath(__file__))),
    }
    facts["system"] = f"{platform.platform()} {_distribution()}".rstrip()
    facts["python"] = f"{platform.python_implementation()} {platform.python_version()} {sys.executable}"
    for name in ("build", "filelock", "installer", "packaging", "resolvelib", "zlib-ng"):
        try:
            facts[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            facts[name] = "not there"
    try:
        found = find_prefix(prefix)
        facts["prefix"] = f"{found.root} (Python {found.full_version})"
    except SageWheelsError as error:
        facts["prefix"] = f"none: {error.what}"
    try:
        facts["cache"] = str(caches.of_user().directory or "none")
    except SageWheelsError as error:
        facts["cache"] = f"none: {error.what}"
    return facts


def _digest() -> str:
    """A digest of the code of this program, by which copies of unreleased versions can be told apart."""
    import hashlib

    top = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if not os.path.isdir(top):
        return "in an archive"
    digest = hashlib.sha256()
    for directory, directories, files in os.walk(top):
        directories.sort()
        for name in sorted(each for each in files if each.endswith(".py")):
            with open(os.path.join(directory, name), "rb") as f:
                digest.update(f"{os.path.relpath(f.name, top)}\0".encode() + f.read())
    return digest.hexdigest()[:12]


def _distribution() -> str:
    import platform

    try:
        return platform.freedesktop_os_release().get("PRETTY_NAME", "")
    except OSError:
        return ""


def _commit() -> str:
    """The commit of the checkout that this is run from, with a + if something was changed; else a text that begins with
    "unknown"."""
    import shutil
    import subprocess

    top = os.path.dirname(os.path.dirname(os.path.realpath(os.path.dirname(__file__))))
    if not os.path.exists(os.path.join(top, ".git")) or not shutil.which("git"):
        return "unknown (not a checkout)"

    def git(*arguments: str) -> str:
        command = ["git", "-C", top, *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False)
        return os.fsdecode(done.stdout.strip())

    return git("describe", "--always", "--dirty=+", "--abbrev=12") or "unknown"
