"""What the modules of the package must not say; run as a program, as `nox -s lint` does, it names the lines that do.

- Only `sage_wheels/sage/` knows Sage: nothing else says `spkg`, or the name of a variable of Sage's.
  In `build/`, this holds for what `sage-wheels` itself and the make rules need.
- Only `sage_wheels/environment.py` reads variables of the environment. It is the one other module that names SAGE_VENV.
- Only the functions in `MAKERS`, which check it, make a path type of a string.

Who may import whom is in pyproject.toml, for import-linter.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

_OF_SAGE = re.compile(r"(?<![a-z])spkg|\bSAGE_(?!WHEELS\b|WHEELS_)\w*")
_ENVIRONMENT = "environment.py"
# The modules and scripts that may name some of Sage's variables. Completions are made from the help of the options.
_NAMING_VARIABLES = {
    _ENVIRONMENT: {"SAGE_VENV"},
    "cli/completions/bash": {"SAGE_VENV"},
    "cli/completions/fish": {"SAGE_VENV"},
    "cli/completions/zsh": {"SAGE_VENV"},
    "lib/system-python.sh": {"SAGE_LOCAL", "SAGE_VENV"},  # the system Python is in neither of them
}
# Below `build/`; the other scripts are Sage's.
_FOR_EVERYBODY = ("bin/sage-wheels", "lib/bundle.py", "lib/prepare.py", "lib/system-python.sh", "make/*")
# Run from their text by other interpreters, in which nothing of the package can be imported.
_STANDING_ALONE = ("building/backend/hook_server.py", "building/pip_download.py", "pip/driver.py", "prefix/ask.py")

# Each type of path, the module that defines it, and the functions there that make one of a string.
MAKERS = {
    "PrefixPath": ("prefix/paths.py", {"plain", "below", "all_below", "parent", "<module>"}),
    "MemberName": ("archive/strict_zip.py", {"member_name", "member_in"}),
    "FullPath": ("fs/paths.py", {"full"}),
}


def broken(package: Path) -> list[str]:
    """The lines of the package in the directory `package` that break a rule, as FILE:LINE: WHAT."""
    found = []
    for file in sorted(each for each in package.rglob("*") if each.is_file() and "__pycache__" not in each.parts):
        name = file.relative_to(package).as_posix()
        text = file.read_text(encoding="utf-8")
        if not name.startswith("sage/"):
            found += [f"{name}:{number}: says {what}" for number, what in _of_sage(name, text)]
        if not name.endswith(".py"):
            continue
        tree = ast.parse(text)
        if name not in _STANDING_ALONE:
            found += [f"{name}:{line}: reads the environment" for line in _reads_of_variables(tree, name)]
        found += [
            f"{name}:{line}: makes a {made} in {function}"
            for line, made, function in makers_in(tree)
            if name != MAKERS[made][0] or function not in MAKERS[made][1]
        ]
        found += [f"{name}:{line}: has another name for {made}" for line, made in _aliases_in(tree)]
    return found


def broken_scripts(build: Path) -> list[str]:
    """The same for the directory `build` of a source tree."""
    files = sorted(file for pattern in _FOR_EVERYBODY for file in build.glob(pattern))
    names = {file.relative_to(build).as_posix(): file.read_text(encoding="utf-8") for file in files}
    return [
        f"build/{name}:{number}: says {what}" for name, text in names.items() for number, what in _of_sage(name, text)
    ]


def _of_sage(name: str, text: str) -> Iterator[tuple[int, str]]:
    for number, line in enumerate(text.splitlines(), 1):
        for what in _OF_SAGE.findall(line):
            if what not in _NAMING_VARIABLES.get(name, ()):
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


def makers_in(tree: ast.AST, function: str = "<module>") -> Iterator[tuple[int, str, str]]:
    """The calls of path types, and the casts to them: the line, the type, and the function that the line is in."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func).rpartition(".")[2]
            for name in re.findall(r"\w+", ast.unparse(node.args[0])) if called == "cast" else [called]:
                if name in MAKERS:
                    yield node.lineno, name, function
        inside = node.name if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) else function
        yield from makers_in(node, inside)


def _aliases_in(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Where a path type, or `cast`, gets another name, so that `makers_in` would not see its calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            named = [each.name for each in node.names if each.asname and each.asname != each.name]
        elif isinstance(node, ast.Call):
            named = [ast.unparse(each).rpartition(".")[2] for each in node.args]
            named = [] if ast.unparse(node.func).rpartition(".")[2] == "cast" else named
        elif isinstance(node, (ast.Assign, ast.AnnAssign, ast.NamedExpr)) and node.value:
            named = [ast.unparse(node.value).rpartition(".")[2]]
        else:
            continue
        yield from ((node.lineno, each) for each in named if each in (*MAKERS, "cast"))


if __name__ == "__main__":
    directory = Path(sys.argv[1])
    lines = broken(directory) + broken_scripts(directory.resolve().parent / "build")
    print("\n".join(lines))
    sys.exit(bool(lines))
