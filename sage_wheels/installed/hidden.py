"""Find modules of an editable installation that Python cannot import, because the system has modules of these names.

In a virtual environment with `include-system-site-packages`, Python searches the environment's own directories first,
then those that its `.pth` files name, then the system's. But an editable installation may use a finder in
`sys.meta_path` instead of a directory. The finders of setuptools and of `editables` (hatchling, pdm) are asked after
all directories. Those of meson-python and scikit-build-core are asked before them, so nothing hides their modules.
"""

from __future__ import annotations

import ast
import os
import re

from sage_wheels.prefix.beside import libraries_beside

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sage_wheels.prefix import Prefix

_FINDER = re.compile(r"__editable___\w+_finder\.py|_editable_impl_\w+\.py")


def hidden_modules(prefix: Prefix, paths: Iterable[str]) -> dict[str, str]:
    """The hidden modules of the distribution whose files are at `paths` in the prefix, and the path that hides each."""
    beside = libraries_beside(prefix) if prefix.sees_system else []
    finders = [finder for finder in paths if _FINDER.fullmatch(os.path.basename(finder))] if beside else []
    found = {}
    for name in sorted({name for finder in finders for name in _mapped(prefix.path(finder))}):
        hiding = [path for directory in beside for path in _of_module(directory, name)]
        if hiding:
            found[name] = hiding[0]
    return found


def _mapped(path: str) -> list[str]:
    """The top-level modules that the finder at `path` knows: in the keys of MAPPING, or in calls of `map_module`."""
    found: list[str] = []
    try:
        with open(path, encoding="utf-8") as f:
            body = ast.parse(f.read()).body
        for each in body:
            if isinstance(each, ast.Assign):
                targets, value = each.targets, each.value
            elif isinstance(each, ast.AnnAssign) and each.value:
                targets, value = [each.target], each.value
            elif isinstance(each, ast.Expr) and isinstance(each.value, ast.Call):
                call = each.value
                if isinstance(call.func, ast.Attribute) and call.func.attr == "map_module" and call.args:
                    found.append(str(ast.literal_eval(call.args[0])))
                continue
            else:
                continue
            if any(isinstance(target, ast.Name) and target.id == "MAPPING" for target in targets):
                found += map(str, ast.literal_eval(value))
    except (OSError, ValueError, SyntaxError):
        pass
    return [name.partition(".")[0] for name in found]


def _of_module(directory: str, name: str) -> list[str]:
    """The paths in `directory` that Python would import as the module `name`."""
    if os.path.isdir(f"{directory}/{name}"):
        return [f"{directory}/{name}"]
    pattern = re.compile(rf"{re.escape(name)}(\..*)?\.(py|so)")
    return [f"{directory}/{each}" for each in sorted(os.listdir(directory)) if pattern.fullmatch(each)]
