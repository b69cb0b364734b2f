"""Recognise a wheel whose backend did not find the name or version of the project: it is UNKNOWN, or 0.0.0.

setuptools makes such a wheel and reports success if the file with name and version is missing: it was not generated, or
it is a dangling symbolic link.
"""

from __future__ import annotations

import os
import re

from sage_wheels.fs.files import regular

_TEMPLATES = (".m4", ".in", ".tmpl", ".j2", ".template")
_FILES = ("pyproject.toml", "setup.cfg", "setup.py")


def reason(tree: str, name: str, version: str) -> str | None:
    """Why the wheel of the source tree `tree` has the placeholder `name` or `version`; None if they are real."""
    nameless = name.upper() in ("", "UNKNOWN") and not _says(tree, r"""^\s*["']?name["']?\s*[=:]\s*["']?unknown\b""")
    versionless = version in ("", "0.0.0") and not _says(tree, r"\bversion\b|^Version:|dynamic")
    if not nameless and not versionless:
        return None
    what = "name" if nameless else "version"
    missing = [each for each in _FILES if _should_be_there(tree, each)]
    missing = missing or [each for each in ("setup.cfg", "pyproject.toml") if not _is_there(tree, each)]
    if missing:
        return f"there is no {' and no '.join(missing)} in {tree}, and nothing else says its {what}"
    return f"none of {', '.join(_FILES)} in {tree} says its {what}"


def _should_be_there(tree: str, file: str) -> bool:
    """Whether `file` is generated from a file that exists, or is a dangling symbolic link."""
    if _is_there(tree, file):
        return False
    return os.path.islink(os.path.join(tree, file)) or any(_is_there(tree, file + each) for each in _TEMPLATES)


def _is_there(tree: str, file: str) -> bool:
    return os.path.exists(os.path.join(tree, file))


def _says(tree: str, pattern: str) -> bool:
    for file in (*_FILES, "PKG-INFO"):
        try:
            with open(os.path.join(tree, file), encoding="utf-8", errors="replace", opener=regular) as f:
                if re.search(pattern, f.read(), re.MULTILINE | re.IGNORECASE):
                    return True
        except OSError:
            continue
    return False
