"""Run `sage_wheels.sage.flock` for build/bin/sage-flock, without importing anything else, to save time."""

from __future__ import annotations

import os
import sys

# The package is beside build/ in a checkout, and in build/sage-wheels in an overlaid tree.
_BUILD = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = _PACKAGE = [f"{_BUILD}/sage-wheels", os.path.dirname(_BUILD)]
sys.dont_write_bytecode = True  # this may be run by another user than the owner of the checkout
from sage_wheels.sage.programs import flock  # noqa: E402

del sys.path[: len(_PACKAGE)]

# build/bin/sage-flock renames variables that this Python must not see: it puts CALLERS_ before the names.
_SET_ASIDE = ("CALLERS_LD_", "CALLERS_DYLD_")

if __name__ == "__main__":
    for _name in [each for each in os.environ if each.startswith(_SET_ASIDE)]:
        os.environ[_name.removeprefix("CALLERS_")] = os.environ.pop(_name)
    sys.exit(flock())
