"""`import sage_wheels`: the types that its functions take and return, and the errors; none before it is used."""

from __future__ import annotations

import ast
import collections.abc
import inspect
import os
import subprocess
import sys
import typing
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels import errors
from support.run import tool_environment

FUNCTIONS = [name for name in sage_wheels.__all__ if inspect.isfunction(getattr(sage_wheels, name))]


def in_a_process(program: str) -> str:
    """What a fresh Python prints."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env=tool_environment(), capture_output=True, text=True, check=True).stdout.strip()


def public() -> dict[str, object]:
    return {name: getattr(sage_wheels, name) for name in sage_wheels.__all__}


def annotations_of(thing: object) -> list[object]:
    """The types in the annotations of `thing`. Raises `NameError` for one that the public names do not have."""
    standard = {name: getattr(collections.abc, name) for name in collections.abc.__all__}
    known = {**vars(typing), **standard, "os": os, "__builtins__": __builtins__, **public()}
    return list(typing.get_type_hints(thing, globalns=known).values())


def classes_in(annotation: object) -> set[type]:
    """The classes of this project that `annotation` speaks of."""
    found = {each for part in typing.get_args(annotation) for each in classes_in(part)}
    for part in typing.get_args(annotation):
        if isinstance(part, list):  # the arguments of a Callable
            found |= {each for argument in part for each in classes_in(argument)}
    if isinstance(annotation, type) and annotation.__module__.startswith("sage_wheels"):
        found.add(annotation)
    return found


def spoken_of() -> set[type]:
    """The classes in the annotations of all public functions, and in those of the fields and methods of these."""
    waiting: list[object] = [getattr(sage_wheels, name) for name in FUNCTIONS]
    found: set[type] = set()
    while waiting:
        thing = waiting.pop()
        fresh = {each for annotation in annotations_of(thing) for each in classes_in(annotation)} - found
        if isinstance(thing, type):
            methods = [value for name, value in vars(thing).items() if name[0] != "_"]
            waiting += [value for value in methods if inspect.isfunction(value)]
            waiting += [value.fget for value in methods if isinstance(value, property)]
        found |= fresh
        waiting += fresh
    return found


def test_every_type_that_the_functions_speak_of_is_public() -> None:
    found = spoken_of()
    assert {sage_wheels.Report, sage_wheels.Change, sage_wheels.Prefix, sage_wheels.Scheme} <= found
    assert sorted(each.__qualname__ for each in found if each not in public().values()) == []


def test_every_error_is_public() -> None:
    there = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, Exception)]
    assert len(there) > 10
    assert [each.__name__ for each in there if public().get(each.__name__) is not each] == []


def test_no_other_module_has_a_public_error() -> None:
    """A program can only catch what it can import. Names that begin with an underscore never leave their module."""
    known = {each.__name__ for each in vars(errors).values() if isinstance(each, type)} & set(sage_wheels.__all__)
    package = Path(sage_wheels.__file__).parent
    classes = [
        (f"{path.relative_to(package)}: {node.name}", {each.id for each in node.bases if isinstance(each, ast.Name)})
        for path in package.rglob("*.py")
        if path != package / "errors.py"
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and node.name[0] != "_"
    ]
    assert [name for name, bases in classes if bases & known] == []


def test_the_import_by_itself_imports_nothing() -> None:
    program = "import sys; before = set(sys.modules); import sage_wheels; print(*sorted(set(sys.modules) - before))"
    assert set(in_a_process(program).split()) <= {"sage_wheels", "__future__"}


@pytest.mark.parametrize("name", ["SageWheelsError", "Report", "CommitOptions", "InstallOptions", "BuildOptions"])
def test_a_name_imports_no_dependency(name: str) -> None:
    program = f"import sys, sage_wheels; sage_wheels.{name}; print(*sorted(sys.modules))"
    imported = {module.partition(".")[0] for module in in_a_process(program).split()}
    assert "sage_wheels" in imported
    assert imported.isdisjoint({"build", "filelock", "installer", "packaging", "resolvelib", "zlib_ng"})


def test_names_are_listed_before_they_are_imported() -> None:
    assert set(in_a_process("import sage_wheels; print(*dir(sage_wheels))").split()) >= set(sage_wheels.__all__)
    assert sorted(sage_wheels.__all__) == sage_wheels.__all__


def test_a_name_that_is_not_there_is_none() -> None:
    with pytest.raises(AttributeError, match="module 'sage_wheels' has no attribute 'instal'"):
        getattr(sage_wheels, "instal")  # noqa: B009
    with pytest.raises(ImportError):
        exec("from sage_wheels import instal")
