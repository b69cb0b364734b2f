"""Run one of the tools in build/sage_bootstrap of a Sage tree; build/bin/sage-bootstrap-tool calls this file.

usage: bootstrap_tool.py NAME [ARGUMENT]...

Since version 10.8, Sage unpacks archives with tarfile's data filter (PEP 706). Python has it since 3.10.12 and 3.11.4,
so the Python 3.11.2 of Debian 12 does not. This file has the same rules for such a Python.
"""

from __future__ import annotations

import contextlib
import copy
import os
import re
import sys
from importlib import import_module
from types import ModuleType

TYPE_CHECKING = False
if TYPE_CHECKING:
    import tarfile
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

# For each tool, the module of sage_bootstrap, and the function in it that runs the tool.
TOOLS = {
    "sage-package": ("cmdline", "run"),
    "sage-spkg-installcheck": ("installcheck", "run"),
    "sage-download-file": ("download.cmdline", "run_safe"),
    "sage-uncompress-spkg": ("uncompress.cmdline", "run"),
}
# What build/overlay lets the sage-spkg of passagemath give for `--tags`.
OF_THE_PREFIX = "of-the-prefix"


def main(name: str) -> None:
    if name not in TOOLS:
        sys.exit(f"{name}: unknown name; call this script by one of the names that build/overlay gives it")
    build = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    sys.argv[0] = os.path.join(build, "bin", name)
    sys.path.insert(0, build)
    if name == "sage-uncompress-spkg":
        give_data_filter()
        remember_owners()
    elif name == "sage-package" and sys.argv[1:2] == ["properties"]:
        import_no_network()
    elif name == "sage-package" and sys.argv[1:2] == ["download"]:
        prefix = (os.path.join(build, "sage-wheels"), virtual_environment(os.path.dirname(build)))
        choose_by_tags(*prefix)
        if OF_THE_PREFIX in sys.argv:
            know_tags(*prefix)
    module, function = TOOLS[name]
    getattr(import_module(f"sage_bootstrap.{module}"), function)()


def import_no_network() -> None:
    """Do not let `sage_bootstrap` import its download code: `properties` does without, in a third of the time."""
    for module in ("download", "download.transfer", "pypi", "updater"):
        stand_in = ModuleType(f"sage_bootstrap.{module}")
        stand_in.__dict__["__getattr__"] = lambda name: type(name, (), {})
        sys.modules[stand_in.__name__] = stand_in


def virtual_environment(root: str) -> str:
    """$SAGE_VENV or, if it is not set, as in sage-spkg, the value that configure has written; "" if unknown."""
    venv = os.environ.get("SAGE_VENV", "")
    with contextlib.suppress(OSError):
        if not venv:
            with open(os.path.join(root, "src/bin/sage-src-env-config"), encoding="utf-8", errors="replace") as f:
                found = re.search(r"^export SAGE_VENV=(['\"]?)(.+)\1$", f.read(), re.MULTILINE)
            venv = os.path.expandvars(found[2]) if found else ""
    return venv if os.path.isabs(venv) else ""


def choose_by_tags(tool: str, venv: str) -> None:
    """Let `sage_bootstrap` choose the wheel of a package by the tags that the Python of `venv` supports.

    sage-wheels, which is in the directory `tool`, knows these. The genuine function starts two shells and four Pythons,
    and takes the source if one of them fails. It is still used if there is no virtual environment yet.
    """
    from sage_bootstrap.package import Package  # type: ignore[import-not-found]  # of the Sage tree

    if not hasattr(Package, "find_tarball_for_platform") or not hasattr(Package, "_substitute_variables"):
        return
    genuine = Package.find_tarball_for_platform

    def find(self: Any, *arguments: Any) -> Any:  # a version, or nothing
        infos = {self._substitute_variables(info["tarball"]): info for info in self.tarballs_info}
        best = best_wheel(list(infos), tool, venv)
        return infos[best] if best else genuine(self, *arguments)

    Package.find_tarball_for_platform = find


def know_tags(tool: str, venv: str) -> None:
    """The same for passagemath, which takes the files that have one of the tags it is given, or else all files."""
    from sage_bootstrap.app import Application  # type: ignore[import-not-found]  # of the Sage tree
    from sage_bootstrap.package import Package

    genuine = Application.download

    def download(self: Any, package_name: str, *arguments: Any, tags: Iterable[str] = (), **options: Any) -> None:
        if list(tags) == [OF_THE_PREFIX]:
            keys = {tarball.filename: key for key, tarball in Package(package_name).tarballs().items()}
            best = best_wheel(list(keys), tool, venv) if len(keys) > 1 else None
            tags = [keys[best]] if best else []  # it compares a tag with the keys
        genuine(self, package_name, *arguments, tags=tags, **options)

    Application.download = download


def best_wheel(names: list[str], tool: str, venv: str) -> str | None:
    """The one of the file names `names` that is the best wheel for the Python of `venv`; None if none is."""
    wheels = [name for name in names if name.endswith(".whl")]
    if not wheels or not venv or not os.path.isdir(tool):
        return None
    sys.path.append(tool)
    from sage_wheels.errors import SageWheelsError
    from sage_wheels.prefix import find_prefix
    from sage_wheels.wheel import tags

    try:
        return tags.best(wheels, find_prefix(venv))
    except SageWheelsError:
        return None


def give_data_filter() -> None:
    """Make `TarFile.extractall` accept `filter="data"`, if this Python does not."""
    import tarfile

    if hasattr(tarfile, "data_filter"):
        return
    extractall = tarfile.TarFile.extractall

    def extract_filtered(
        self: tarfile.TarFile, path: str = ".", members: Iterable[tarfile.TarInfo] | None = None, filter: str = ""
    ) -> None:
        chosen = harmless(self if members is None else members, path) if filter else members
        extractall(self, path, chosen)  # members are taken one by one

    tarfile.TarFile.extractall = extract_filtered  # type: ignore[assignment,method-assign]


def remember_owners() -> None:
    """Look up each name of a user or group once. For root, tarfile does that for each member of an archive, and where
    the name is unknown, the system may open a hundred files for it each time."""
    with contextlib.suppress(ImportError):
        import grp
        import pwd

        for module, name in ((pwd, "getpwnam"), (grp, "getgrnam")):
            setattr(module, name, _once(getattr(module, name)))


def _once(find: Callable[[str], Any]) -> Callable[[str], Any]:
    """`find`, which is called once for each name; it may raise `KeyError`."""
    answers: dict[str, Any] = {}

    def remembered(name: str) -> Any:
        if name not in answers:
            try:
                answers[name] = find(name)
            except KeyError:
                answers[name] = None
        if answers[name] is None:
            raise KeyError(name)
        return answers[name]

    return remembered


def harmless(members: Iterable[tarfile.TarInfo], destination: str) -> Iterator[tarfile.TarInfo]:
    """The members that stay below `destination`, with modes for a source tree, and without an owner.

    A member is checked only after those before it were extracted, because one of them may be a symbolic link.
    """
    root = os.path.realpath(destination)
    for original in members:
        member = copy.copy(original)
        member.name = member.name.lstrip("/")
        target = os.path.realpath(os.path.join(root, member.name))
        if not _is_below(root, target) or not (member.isreg() or member.isdir() or member.islnk() or member.issym()):
            continue
        if member.islnk() or member.issym():
            above = os.path.dirname(member.name) if member.issym() else ""
            leads_to = os.path.realpath(os.path.join(root, above, member.linkname))
            if os.path.isabs(member.linkname) or not _is_below(root, leads_to):
                continue
        elif member.isreg():
            member.mode = member.mode & (0o755 if member.mode & 0o100 else 0o644) | 0o600
        else:
            member.mode = 0o755
        member.uid, member.gid, member.uname, member.gname = os.geteuid(), os.getegid(), "", ""
        yield member


def _is_below(root: str, path: str) -> bool:
    return path == root or path.startswith(root.rstrip("/") + "/")


if __name__ == "__main__":
    main(sys.argv.pop(1))
