"""The library directories outside a prefix that are on `sys.path` of its Python, found without running it.

A virtual environment with `include-system-site-packages` sees those of its base installation. Such an environment and a
whole installation also see the user's site directory, unless PYTHONNOUSERSITE is set (module `site`).
"""

from __future__ import annotations

import os

from sage_wheels import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix.model import Prefix


def libraries_beside(prefix: Prefix) -> list[str]:
    """The full paths of these directories, if they exist, in the order of `sys.path`."""
    python = f"python{prefix.version[0]}.{prefix.version[1]}"
    found = []
    if not environment.get(environment.PYTHONNOUSERSITE) and (prefix.sees_system or not prefix.is_venv):
        user = environment.get(environment.PYTHONUSERBASE) or os.path.expanduser("~/.local")
        found.append(f"{user}/lib/{python}/site-packages")
    if prefix.sees_system:
        base = os.path.dirname(prefix.home)
        found += [f"{base}/{lib}/{python}/site-packages" for lib in ("lib", "lib64")]
        # the directories of Debian's Python
        found += [f"{base}/local/lib/{python}/dist-packages", f"{base}/lib/python3/dist-packages"]
    return [each for each in found if os.path.isdir(each)]
