"""What the modules of the package must not say; run as a program, as `nox -s lint` does, it names the lines that do.

- Only `sage_wheels/sage/` knows the Sage distribution: nothing else says `spkg`, or the name of a variable of Sage's.
- Only `sage_wheels/environment.py` reads variables of the environment. It is the one other module that names SAGE_VENV.

Who may import whom is in pyproject.toml, for import-linter.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

_OF_SAGE = re.compile(r"(?<![a-z])spkg|\bSAGE_(?!WHEELS_)\w*")
_ENVIRONMENT = "environment.py"
_MADE = "cli/completions/"  # from the help of the options, which names variables of the environment
_NAMING_SAGE_VENV = (_ENVIRONMENT, _MADE)
# Run from their text by other interpreters, in which nothing of the package can be imported.
_STANDING_ALONE = ("building/backend/hook_server.py", "building/pip_download.py", "pip/driver.py", "prefix/ask.py")


def broken(package: Path) -> list[str]:
    """The lines of the package in the directory `package` that break a rule, as FILE:LINE: WHAT."""
    found = []
    for file in sorted(each for each in package.rglob("*") if each.is_file() and "__pycache__" not in each.parts):
        name = file.relative_to(package).as_posix()
        text = file.read_text(encoding="utf-8")
        if not name.startswith(("sage/", _MADE)):
            found += [f"{name}:{number}: says {what}" for number, what in _of_sage(name, text)]
        if name.endswith(".py") and name not in _STANDING_ALONE:
            tree = ast.parse(text)
            found += [f"{name}:{line}: reads the environment" for line in _reads_of_variables(tree, name)]
    return found


def _of_sage(name: str, text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        for what in _OF_SAGE.findall(line):
            if not (name.startswith(_NAMING_SAGE_VENV) and what == "SAGE_VENV"):
                yield number, what


def _reads_of_variables(tree: ast.AST, name: str) -> Iterator[int]:
    """`os.environ`, `os.getenv` and the like, however they are used; processes get `environment.for_processes`."""
    names = ("environ", "environb", "getenv", "getenvb", "putenv", "unsetenv")
    for node in ast.walk(tree) if name != _ENVIRONMENT else ():
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            if node.value.id == "os" and node.attr in names:
                yield node.lineno
        elif isinstance(node, ast.ImportFrom) and node.module == "os":
            yield from (node.lineno for each in node.names if each.name in names)


if __name__ == "__main__":
    lines = broken(Path(sys.argv[1]))
    print("\n".join(lines))
    sys.exit(bool(lines))
