"""Run by a target interpreter (`-I -S -B`): print what it knows about itself as one JSON object.

Standard library only, apart from `packaging`, whose place comes as the first argument; nothing of the prefix is
imported. The second argument is the prefix that this interpreter must take for its home, if that matters: one whose
standard library is not there yet falls back to the one that it was built for, and would speak of that. This file is
never imported by the tool.
"""

import json
import os
import platform
import struct  # noqa: F401  packaging.tags would import these from behind the path added below
import subprocess  # noqa: F401
import sys
import sysconfig


def main() -> None:
    home = "".join(sys.argv[2:3])
    if home and os.path.realpath(sys.base_prefix) != os.path.realpath(home):
        sys.exit(f"it takes {sys.base_prefix} for its home")
    sys.path.insert(0, sys.argv[1])
    from packaging.markers import default_environment
    from packaging.tags import sys_tags

    names = ("purelib", "platlib", "include", "scripts", "data")
    paths = sysconfig.get_paths()
    answer = {
        "executable": sys.executable,
        "full_version": platform.python_version(),
        "cache_tag": sys.implementation.cache_tag,
        "paths": {name.replace("include", "headers"): paths[name] for name in names},
        "tags": [str(tag) for tag in sys_tags()],
        "markers": dict(default_environment()),
    }
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
