"""Print the path of python-packages.mk, make rules for a list of Python packages; the head of that file explains them.

An example of a list, packages.example, is beside it. In a Makefile:

    include $(shell sage-wheels make-rules)

The programs sage-flock and sage-move-tree come with the tool, too: in the directory bin of a bundle or of the
environment that pip installs into, or in build/bin of a checkout. If the tool is the single file sage-wheels.pyz, all
of these are unpacked into the user's cache.
"""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig

from sage_wheels.errors import FileOperationFailed, NotThere, SageWheelsError

EXAMPLES = """\
    sage-wheels make-rules
"""

_FILE = "python-packages.mk"
_DIRECTORY = "share/sage-wheels/make"
# The programs beside the rules where no pip has made them: the name of each, and what it calls.
_PROGRAMS = {
    "sage-flock": "sage_wheels.sage.programs:flock",
    "sage-move-tree": "sage_wheels.sage.programs:move_tree",
    "sage-wheels": "sage_wheels.cli:main",
}
_PROGRAM = """\
#!/bin/sh
exec python3 -I -S -c '
import os, sys
sys.path.insert(0, os.path.realpath(sys.argv.pop(1)))
sys.argv[0] = "{name}"
from {module} import {function}
sys.exit({function}())' {where} "$@"
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It has no options of its own."""


def run(options: argparse.Namespace) -> int:
    if archive := getattr(__spec__.loader, "archive", ""):
        print(f"{_unpacked(archive)}/{_DIRECTORY}/{_FILE}")
        return 0
    checkout = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
    directories = [
        f"{checkout}/build/make",
        f"{checkout}/{_DIRECTORY}",
        os.path.join(sysconfig.get_path("data"), _DIRECTORY),
        os.path.join(sys.prefix, _DIRECTORY),
    ]
    for directory in directories:
        if os.path.isfile(os.path.join(directory, _FILE)):
            print(os.path.join(directory, _FILE))
            return 0
    raise NotThere(
        f"{_FILE} is in none of {', '.join(directories)}", "install sage-wheels with pip, or take a checkout"
    )


def programs(where: str) -> dict[str, str]:
    """The texts of the programs of a bundle by their names; `where` is the bundle, as a word of a shell script."""
    found = {}
    for name, call in _PROGRAMS.items():
        module, _, function = call.partition(":")
        found[name] = _PROGRAM.format(name=name, module=module, function=function, where=where)
    return found


def _unpacked(archive: str) -> str:
    """The directory of the user's cache that has what the zip file `archive` cannot give to make and to a shell.

    Raises `SageWheelsError` if there is no cache that only the user can write to.
    """
    import hashlib
    import re
    import shlex
    import zipfile

    from sage_wheels.fs import caches

    archive = os.path.realpath(archive)
    with zipfile.ZipFile(archive) as opened:
        content = {name: opened.read(name) for name in opened.namelist() if re.match(rf"{_DIRECTORY}/[^/]+$", name)}
    content |= {f"bin/{name}": text.encode() for name, text in programs(shlex.quote(archive)).items()}
    cache = caches.of_user()
    if cache.directory is None:
        raise SageWheelsError("there is no cache to unpack the make rules into", "set SAGE_WHEELS_CACHE to a directory")
    key = hashlib.sha256(repr(sorted(content.items())).encode()).hexdigest()[:16]
    directory = f"{cache.directory}/make/{key}"
    try:
        for name, data in content.items():
            path = f"{directory}/{name}"
            if not os.path.exists(path):
                caches.make_directory(os.path.dirname(path))
                caches.write(path, data)
                os.chmod(path, 0o700 if data.startswith(b"#!") else 0o600)
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"writing the make rules into {directory}") from error
    return directory
