"""Whether there can be a sandbox on this machine."""

from __future__ import annotations

import functools
import shutil
import subprocess


@functools.cache
def no_sandbox() -> str:
    """Why there is no sandbox here; "" if there is one."""
    program = shutil.which("bwrap")
    if program is None:
        return "needs bubblewrap (the program bwrap)"
    command = [program, "--unshare-all", "--ro-bind", "/", "/", "--proc", "/proc", "--", "/bin/true"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"bubblewrap does not work here: {done.stderr.strip()}" if done.returncode else ""
