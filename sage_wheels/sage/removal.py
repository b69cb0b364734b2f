"""Uninstall a package of Sage: the part that Sage's own script cannot do well, or does with more processes.

- The stamp of a package that was copied from DESTDIR as a whole lists the files of its distributions one by one. They
  are uninstalled as distributions, and taken out of the list.
- Distributions that a failed upgrade has left are uninstalled.
- A package that has only installed wheels, as nearly all Python packages, is uninstalled completely: its distributions
  in one transaction, then its wheel, scripts and stamp, as the genuine script would do after running `spkg-piprm`.

Everything else is left to the genuine script.
"""

from __future__ import annotations

import contextlib
import json
import os

from sage_wheels import environment
from sage_wheels.errors import FileOperationFailed, PrefixError
from sage_wheels.fs import presence
from sage_wheels.fs.deletion import delete_tree
from sage_wheels.manifests.entries import SUPERSEDED
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import find_prefix
from sage_wheels.requirements.names import all_named
from sage_wheels.sage import stamps, variables
from sage_wheels.sage.manifests import SPKG_SCRIPTS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeAlias

    from sage_wheels.prefix import Prefix

    # Uninstalls the distributions of these names from a prefix, and reports it. The third argument is the manifest that
    # names them, or "" if there is none.
    Remove: TypeAlias = Callable[[Prefix, list[str], str], None]

INSTALLED = "var/lib/sage/installed"
# The only command in the `spkg-piprm` of a package that has only installed wheels, after the lines that Sage puts into
# each script.
_REMOVES_WHEELS = 'sdh_pip_uninstall -r "$SAGE_SPKG_SCRIPTS/$PKG_BASE/spkg-requirements.txt"'


class RemovalRequest(NamedTuple):
    """The name of the package to be uninstalled, and the tree with its stamp. `plain`: no options were given."""

    package: str
    tree: str
    plain: bool


def parse(arguments: list[str], default_tree: str) -> RemovalRequest | None:
    """Parse the arguments of sage-spkg-uninstall; None if nothing is to be removed (--help, --keep-files, no PKG)."""
    words: list[str] = []
    plain = True
    rest = iter(arguments)
    for each in rest:
        if each in ("-k", "--keep-files", "-h", "--help"):
            return None
        if each == "--log-directory":
            next(rest, "")
        if each.startswith("-"):
            plain = False
        else:
            words.append(each)
    tree = words[1] if len(words) > 1 else default_tree
    return RemovalRequest(words[0], tree, plain) if words and tree else None


def uninstall(asked: RemovalRequest, remove: Remove) -> bool:
    """Do our part; returns whether the genuine script has to run, too.

    Raises `FileOperationFailed`, and what `remove` raises.
    """
    try:
        _from_destdir(asked, remove)
        if not environment.get(variables.DESTDIR):
            _superseded(asked, remove)
        return not _only_wheels(asked, remove)
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"uninstalling the package {asked.package}") from error


def _stamps_of(asked: RemovalRequest) -> list[str]:
    return _beginning_with(f"{asked.tree}/{INSTALLED}", f"{asked.package}-")


def _venvs_of(tree: str) -> list[str]:
    """The virtual environments that Sage keeps below `tree`, if that is $SAGE_LOCAL."""
    return _beginning_with(f"{tree}/var/lib/sage", "venv")


def _beginning_with(directory: str, start: str) -> list[str]:
    """The paths in `directory` whose names begin with `start`; none if it is not there. Raises `OSError`."""
    try:
        return sorted(f"{directory}/{name}" for name in os.listdir(directory) if name.startswith(start))
    except (FileNotFoundError, NotADirectoryError):
        return []


def _from_destdir(asked: RemovalRequest, remove: Remove) -> None:
    for stamp in filter(presence.is_file, _stamps_of(asked)):
        with open(stamp, encoding="utf-8", errors="replace") as f:
            text = f.read()
        if ".dist-info" not in text and ".egg-info" not in text:
            continue
        try:
            prefix = find_prefix(asked.tree)
        except PrefixError:
            return  # a tree without a Python has no distributions; the genuine script deletes the files
        listed = stamps.listed_in(prefix, stamp)
        if listed.names and environment.get(variables.DESTDIR):
            _note(prefix, asked.package, "".join(f"{name}\n" for name in listed.names))
        elif listed.names:
            remove(prefix, listed.names, "")
        stamps.rewrite(stamp, listed.rest)  # last, so that the next command can continue after a failure


def _superseded(asked: RemovalRequest, remove: Remove) -> None:
    """Uninstall the distributions of the old version that a failed upgrade has left.

    Some packages have their stamp in $SAGE_LOCAL and are installed in the virtual environment below it.
    """
    for root in (asked.tree, *_venvs_of(asked.tree)):
        note = f"{root}/{SUPERSEDED}/{asked.package}"
        if presence.is_file(note):
            remove(find_prefix(root), _names_in(note), note)
            os.unlink(note)


def _only_wheels(asked: RemovalRequest, remove: Remove) -> bool:
    """Uninstall the package if it has only installed wheels; returns whether it was uninstalled."""
    found = _stamps_of(asked)
    scripts = environment.get(variables.SPKG_SCRIPTS) or f"{asked.tree}/{SPKG_SCRIPTS}"
    scripts = f"{scripts}/{asked.package}"
    requirements = f"{scripts}/spkg-requirements.txt"
    files = _files_in(found[0]) if len(found) == 1 else None
    if not asked.plain or files is None or not _brings_only_wheels(scripts) or not presence.is_file(requirements):
        return False
    prefix = _prefix_of(asked.tree)
    if prefix is None:
        return False
    if environment.get(
        variables.DESTDIR
    ):  # sage-spkg uninstalls before it builds; others import this package meanwhile
        with open(requirements, encoding="utf-8", errors="surrogateescape") as f:
            _note(prefix, asked.package, f.read())
        print(f"What {requirements} names stays until the new version takes its place")
    else:
        remove(prefix, _names_in(requirements), requirements)
    for path in sorted(files, key=lambda path: path.endswith("/spkg-requirements.txt")):  # the manifest last
        with contextlib.suppress(FileNotFoundError):
            os.unlink(f"{asked.tree}/{path}")
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(f"{asked.tree}/{path}"))  # if it is empty now
    delete_tree(scripts)
    print(f"Removing stamp file {found[0]}")
    os.unlink(found[0])
    return True


def _names_in(manifest: str) -> list[str]:
    return all_named((), [manifest])


def _files_in(stamp: str) -> list[str] | None:
    """The files that a stamp lists, relative to its tree; None if they are not known, or not only ours."""
    try:
        with open(stamp, encoding="utf-8") as f:
            listed = json.load(f)["files"]
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(listed, list) or not all(isinstance(path, str) for path in listed):
        return None
    files = [path.lstrip("/") for path in listed]
    ours = ("var/lib/sage/wheels/", f"{SPKG_SCRIPTS}/")
    return files if files and all(path.startswith(ours) and ".." not in path for path in files) else None


def _brings_only_wheels(scripts: str) -> bool:
    """Whether the scripts that the package has left for its removal do nothing but uninstall wheels."""
    if any(presence.is_there(f"{scripts}/spkg-{name}") for name in ("prerm", "postrm")):
        return False
    try:
        with open(f"{scripts}/spkg-piprm", encoding="utf-8") as f:
            lines = f.read().rpartition("\nfi\n")[2].split("\n")
    except (FileNotFoundError, ValueError):
        return False
    return {line.strip() for line in lines if line.strip()} == {_REMOVES_WHEELS}


def _prefix_of(tree: str) -> Prefix | None:
    """The prefix that a package with a stamp in `tree` is installed in; None if that is not clear."""
    candidates = [environment.get(environment.SAGE_VENV), tree, *_venvs_of(tree)]
    for candidate in filter(None, candidates):
        with contextlib.suppress(PrefixError):
            return find_prefix(candidate)
    return None


def _note(prefix: Prefix, package: str, text: str) -> None:
    """Append `text`, a manifest, to the note of what the next installation of `package` has to uninstall."""
    note = prefix.path(f"{SUPERSEDED}/{package}")
    os.makedirs(os.path.dirname(note), exist_ok=True)
    with open(note, "a", encoding="utf-8", errors="surrogateescape") as f:
        f.write(text)
