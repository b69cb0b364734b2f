"""What build/bin/sage-flock starts: `sage_wheels.sage.flock`, which says more, with nothing else on the way."""

from __future__ import annotations

import os
import sys

# The package is beside build/ in a checkout, and in build/sage-wheels in an overlaid tree.
_BUILD = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = _PACKAGE = [f"{_BUILD}/sage-wheels", os.path.dirname(_BUILD)]
sys.dont_write_bytecode = True  # this may run as another user than the one whose checkout it is
from sage_wheels.sage.programs import flock  # noqa: E402

del sys.path[: len(_PACKAGE)]

# What build/bin/sage-flock puts before the caller's variables that this Python must not see.
_SET_ASIDE = ("CALLERS_LD_", "CALLERS_DYLD_")

if __name__ == "__main__":
    for _name in [each for each in os.environ if each.startswith(_SET_ASIDE)]:
        os.environ[_name.removeprefix("CALLERS_")] = os.environ.pop(_name)
    sys.exit(flock())
