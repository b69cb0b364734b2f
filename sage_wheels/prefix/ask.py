"""Print facts about the interpreter that runs this file (a target interpreter, `-I -S -B`) as one JSON object.

This file uses only the standard library and `packaging.tags`, and nothing of the prefix. The first argument is the
directory from which `packaging` is imported; if this Python is too old for it, there are no tags, but what they depend
on. The second argument, if it is not empty, is the required `sys.base_prefix`: an interpreter whose standard library
does not exist yet falls back to the prefix for which it was built, and its answers would be wrong. The tool itself
imports only `markers`, for the interpreter that runs it.
"""

import json
import os
import platform
import struct
import subprocess  # noqa: F401  packaging.tags would import it from behind the path added below
import sys
import sysconfig


def main() -> None:
    home = "".join(sys.argv[2:3])
    if home and os.path.realpath(sys.base_prefix) != os.path.realpath(home):
        sys.exit(f"it takes {sys.base_prefix} for its home")
    sys.path.insert(0, sys.argv[1])
    try:
        from packaging.tags import sys_tags

        tags = [str(tag) for tag in sys_tags()]
    except Exception:  # an old Python may raise SyntaxError, TypeError, ImportError and others for newer code
        tags = []
    names = ("purelib", "platlib", "include", "scripts", "data")
    paths = sysconfig.get_paths()
    answer = {
        "executable": sys.executable,
        "full_version": platform.python_version(),
        "cache_tag": sys.implementation.cache_tag,
        "paths": {name.replace("include", "headers"): paths[name] for name in names},
        "tags": tags,
        "markers": markers(),
    }
    if not tags:
        answer["soabi"] = sysconfig.get_config_var("SOABI") or ""
        answer["machine"] = [sys.implementation.name, platform.machine(), f"{struct.calcsize('P')}"]
    print(json.dumps(answer))


def markers() -> "dict[str, str]":
    """The variables for markers, as the specification defines them (PyPA, "Dependency specifiers").

    `packaging.markers` has the same ones, but to import it takes as long as all else that this file does.
    """
    own = sys.implementation.version
    release = f"{own.major}.{own.minor}.{own.micro}"
    before = "" if own.releaselevel == "final" else f"{own.releaselevel[0]}{own.serial}"
    return {
        "implementation_name": sys.implementation.name,
        "implementation_version": release + before,
        "os_name": os.name,
        "platform_machine": platform.machine(),
        "platform_python_implementation": platform.python_implementation(),
        "platform_release": platform.release(),
        "platform_system": platform.system(),
        "platform_version": platform.version(),
        "python_full_version": platform.python_version(),
        "python_version": ".".join(platform.python_version_tuple()[:2]),
        "sys_platform": sys.platform,
    }


if __name__ == "__main__":
    main()
