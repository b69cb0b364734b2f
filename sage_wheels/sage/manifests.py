"""The provider of Sage's manifests and wheels. The manifest of a package is its spkg-requirements.txt:

    PREFIX/var/lib/sage/scripts/PKG/spkg-requirements.txt

If `spkg-piprm` is beside it, the package is installed. Manifests for the virtual environment
$SAGE_LOCAL/var/lib/sage/venv* may also be in $SAGE_LOCAL. The package scripts write the file, sage-spkg checks whether
it exists, and to uninstall the package is to uninstall the distributions in it.
"""

from __future__ import annotations

import os

from sage_wheels import environment
from sage_wheels.fs import presence
from sage_wheels.manifests.entries import packages_in
from sage_wheels.manifests.providers import Manifest
from sage_wheels.sage import variables

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.prefix import Prefix

SPKG_SCRIPTS = "var/lib/sage/scripts"


def manifests(prefix: Prefix) -> Iterator[Manifest]:
    """See `sage_wheels.manifests.providers`."""
    for directory in _script_directories(prefix):
        wheels = os.path.join(os.path.dirname(directory), "wheels")
        for package in packages_in(directory):
            scripts = f"{directory}/{package}"
            # without it, the wheel was only stored, for builds of other packages, and nothing was installed
            if presence.is_there(f"{scripts}/spkg-piprm"):
                rebuild = f"make {package}-clean && make {package}"
                yield Manifest(package, f"{scripts}/spkg-requirements.txt", rebuild, wheels)


def wheelhouses(prefix: Prefix | None) -> list[str]:
    """See `sage_wheels.manifests.providers`."""
    named = environment.get(variables.SPKG_WHEELS)
    return [*([named] if named else []), *([prefix.path("var/lib/sage/wheels")] if prefix else [])]


def _script_directories(prefix: Prefix) -> list[str]:
    """The directories that may have manifests for `prefix`: in the prefix, and in $SAGE_LOCAL, which it may lie in.

    Also $SAGE_SPKG_SCRIPTS, if it lies in this prefix, or $SAGE_VENV is this prefix.
    """
    found: list[str] = [prefix.path(SPKG_SCRIPTS)]
    root = os.path.realpath(prefix.root)  # SAGE_ROOT has the link `venv` to it
    if os.path.dirname(root).endswith("/var/lib/sage"):
        found.append(os.path.join(os.path.dirname(root), "scripts"))
    is_ours = os.path.realpath(environment.get(environment.SAGE_VENV) or "/") == root
    if is_ours and (local := environment.get(variables.LOCAL)):
        found.append(os.path.normpath(f"{local}/{SPKG_SCRIPTS}"))
    named = os.path.normpath(environment.get(variables.SPKG_SCRIPTS) or found[0])
    if is_ours or named.startswith(f"{prefix.root}/"):
        found.append(named)
    return list(dict.fromkeys(found))
