"""Run a tool of Sage's build, which is in build/sage_bootstrap: see build/bin/sage-bootstrap-tool.

usage: bootstrap_tool.py NAME [ARGUMENT]...

Sage since 10.8 unpacks archives with tarfile's data filter (PEP 706), which Python has since 3.11.4 and 3.10.12, and
Debian 12's Python 3.11.2 has not. There, the same rules are applied here.
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
    from collections.abc import Iterable, Iterator
    from typing import Any

# The module of sage_bootstrap and the function in it that each tool is.
TOOLS = {
    "sage-package": ("cmdline", "run"),
    "sage-spkg-installcheck": ("installcheck", "run"),
    "sage-download-file": ("download.cmdline", "run_safe"),
    "sage-uncompress-spkg": ("uncompress.cmdline", "run"),
}


def main(name: str) -> None:
    if name not in TOOLS:
        sys.exit(f"{name}: unknown name; call this script by one of the names that build/overlay gives it")
    build = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))
    sys.argv[0] = os.path.join(build, "bin", name)
    sys.path.insert(0, build)
    if name == "sage-uncompress-spkg":
        give_data_filter()
    elif name == "sage-package" and sys.argv[1:2] == ["properties"]:
        import_no_network()
    elif name == "sage-package" and sys.argv[1:2] == ["download"]:
        choose_by_tags(os.path.join(build, "sage-wheels"), virtual_environment(os.path.dirname(build)))
    module, function = TOOLS[name]
    getattr(import_module(f"sage_bootstrap.{module}"), function)()


def import_no_network() -> None:
    """Keep `sage_bootstrap` from importing its download code: two thirds of the time, and not needed for properties."""
    for module in ("download", "download.transfer", "pypi", "updater"):
        stand_in = ModuleType(f"sage_bootstrap.{module}")
        stand_in.__dict__["__getattr__"] = lambda name: type(name, (), {})
        sys.modules[stand_in.__name__] = stand_in


def virtual_environment(root: str) -> str:
    """SAGE_VENV: from the environment, in which sage-spkg does not have it, or from what configure has written."""
    venv = os.environ.get("SAGE_VENV", "")
    with contextlib.suppress(OSError):
        if not venv:
            with open(os.path.join(root, "src/bin/sage-src-env-config"), encoding="utf-8", errors="replace") as f:
                found = re.search(r"^export SAGE_VENV=(['\"]?)(.+)\1$", f.read(), re.MULTILINE)
            venv = os.path.expandvars(found[2]) if found else ""
    return venv if os.path.isabs(venv) else ""


def choose_by_tags(tool: str, venv: str) -> None:
    """Let `sage_bootstrap` choose between the wheels of a package by what sage-wheels, at `tool`, knows of `venv`.

    The genuine way starts two shells and four Pythons for it, and takes the source if one of them fails. It stays for
    what is asked before there is a virtual environment.
    """
    from sage_bootstrap.package import Package  # type: ignore[import-not-found]  # of the Sage tree

    if not hasattr(Package, "find_tarball_for_platform") or not hasattr(Package, "_substitute_variables"):
        return
    genuine = Package.find_tarball_for_platform

    def find(self: Any, *arguments: Any) -> Any:  # 10.10 has a version there, 11.0 nothing
        sys.path.append(tool)
        from sage_wheels.errors import SageWheelsError
        from sage_wheels.prefix import find_prefix
        from sage_wheels.wheel import tags

        infos = {self._substitute_variables(info["tarball"]): info for info in self.tarballs_info}
        wheels = [name for name in infos if name.endswith(".whl")]
        try:
            best = tags.best(wheels, find_prefix(venv)) if wheels and venv else None
        except SageWheelsError:
            best = None
        return infos[best] if best else genuine(self, *arguments)

    Package.find_tarball_for_platform = find


def give_data_filter() -> None:
    """Let `TarFile.extractall` take `filter="data"` where it does not yet."""
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


def harmless(members: Iterable[tarfile.TarInfo], destination: str) -> Iterator[tarfile.TarInfo]:
    """The members that stay below `destination`, with modes for a source tree, and without an owner.

    Each is looked at when the ones before it have been extracted: a symbolic link may be among those.
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
