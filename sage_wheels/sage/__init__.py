"""SAGE: what only Sage needs. Its package scripts ask in pip's words, and leave manifests.

pip_install, pip_uninstall, spkg_uninstall, move_tree   commands, which scripts in build/bin call
flock         the program sage-flock
manifests     where Sage keeps spkg-requirements.txt, and its wheels: a provider of `sage_wheels.manifests`
removal       what is deleted when a package of Sage is uninstalled
stamps        the lists of files in the stamps of packages from the days of DESTDIR
variables     the environment variables that the scripts of Sage set
wheelhouse    the wheel in $SAGE_SPKG_WHEELS that a name stands for

Nothing outside of this directory and build/ says `spkg`, or the name of one of these variables.
"""

from __future__ import annotations

COMMANDS = ("move-tree", "pip-install", "pip-uninstall", "spkg-uninstall")
