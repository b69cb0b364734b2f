"""The environment variables that the scripts of Sage set, beside SAGE_VENV; `environment` reads them."""

from __future__ import annotations

LOCAL = "SAGE_LOCAL"
"""Set in every script of Sage: the tree that is no virtual environment; SAGE_VENV usually lies in it."""

DESTDIR = "SAGE_DESTDIR"
"""Set by sage-spkg while a package is built and installed: where its other files are staged."""

SPKG_SCRIPTS = "SAGE_SPKG_SCRIPTS"
"""Set by sage-spkg: the directory of the scripts that packages leave, one directory for each."""

SPKG_WHEELS = "SAGE_SPKG_WHEELS"
"""Set by sage-spkg: the wheelhouse."""
