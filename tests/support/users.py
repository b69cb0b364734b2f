"""Another user than root, to whom modes mean something."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from typing import Any

import pytest

from support.run import tool_environment

NOBODY = 65534


def as_nobody() -> dict[str, Any]:
    """The options of `subprocess` that make a process of root's one of `NOBODY`'s; none if this user is not root.

    Skips the test if `NOBODY` may not run this Python.
    """
    if os.geteuid() != 0:
        return {}
    skip_unless_python_is_for(NOBODY)
    return _options(NOBODY)


def skip_unless_python_is_for(user: int) -> None:
    """Skip the test if the user of that number may not run this Python, which lies in a directory of root's alone."""
    if not _may_run_this_python(user):
        pytest.skip(f"{sys.executable} is for root alone")


def _options(user: int) -> dict[str, Any]:
    return {"user": user, "group": user, "extra_groups": []}


@functools.cache
def _may_run_this_python(user: int) -> bool:
    command = [sys.executable, "-c", "import sage_wheels"]
    try:
        done = subprocess.run(command, capture_output=True, env=tool_environment(), cwd="/", **_options(user))
    except PermissionError:
        return False
    return done.returncode == 0
