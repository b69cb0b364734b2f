"""SAGE: what only Sage needs. Its package scripts call these commands with pip's options, and write manifests.

pip_install, pip_uninstall, spkg_uninstall, move_tree   commands, which scripts in build/bin call
flock         the program sage-flock
manifests     where Sage keeps spkg-requirements.txt, and its wheels: a provider of `sage_wheels.manifests`
removal       the part of uninstalling a package of Sage that this tool does
stamps        the stamps of installed packages, and the lists of files in them
variables     the environment variables that the scripts of Sage set
wheelhouse    the wheel in $SAGE_SPKG_WHEELS that a name stands for

No file outside of this directory and build/ contains `spkg`, or the name of one of these variables.
"""

from __future__ import annotations

COMMANDS = ("move-tree", "pip-install", "pip-uninstall", "spkg-uninstall")
