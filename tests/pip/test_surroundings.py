"""What pip sees of its surroundings, and what the programs see that pip starts: the same as with plain pip."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from support.index import Index
from support.projects import make_tree
from support.run import names
from support.trees import make_prefix
from support.twins import Twins, copy_prefix, end, environment, our_command, start
from support.wheels import make_wheel

Put = Callable[..., None]

LINES = ("freeze", "list", "show named-here", "check")


def put_here(directory: Path, requires: str = "Requires-Dist: missing\n") -> None:
    """Something that is installed in `directory`, and asks for what is not there."""
    info = directory / "named_here-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: named-here\nVersion: 1\n" + requires)


@pytest.mark.parametrize("value", ["{here}", "/no/where:{here}", ".", ":/no/where", "{here}:{here}", None])
@pytest.mark.parametrize("line", LINES)
def test_the_current_directory_counts_if_pythonpath_names_it(twins: Twins, line: str, value: str | None) -> None:
    here = twins.directory / "here"
    put_here(here)
    variables = {} if value is None else {"PYTHONPATH": value.replace("{here}", str(here))}
    theirs, own = twins.run(*line.split(), variables=variables, cwd=here)
    assert own.returncode == theirs.returncode, own.stderr
    assert own.stdout == theirs.stdout
    if value is None:
        assert "named-here" not in own.stdout
    elif value == "{here}":
        assert "named-here" in own.stdout


def test_it_counts_for_an_installation(twins: Twins) -> None:
    here = twins.directory / "here"
    put_here(here, requires="")
    wheel = make_wheel(here, "own", "1", {"own.py": ""}, requires=["named-here"])
    line = ("install", "--no-index", str(wheel))
    theirs, own = twins.run(*line, variables={"PYTHONPATH": str(here)}, cwd=here)
    assert (theirs.returncode, own.returncode) == (0, 0), own.stderr
    assert "own 1" in names(twins.ours)
    twins.assert_alike()


# What a backend sees of the variables, and a pip that it sends into another environment.
HOOK = """
import json, os, subprocess, sys
with open({told!r}, "w") as f:
    json.dump(sorted(os.environ), f)
command = [{python!r}, "-I", "-m", "pip", "--python", {other!r}, "install", "--no-index", "--no-deps", {wheel!r}]
subprocess.run(command, check=True)
"""


@pytest.mark.parametrize("line", ["install --no-index {tree}", "wheel --no-index -w {destination} {tree}"])
def test_a_backend_sees_nothing_of_ours(
    twins: Twins, tmp_path: Path, home: Path, wheel_of: Callable[[str], Path], line: str
) -> None:
    """`pip --python` in a backend is about that Python."""
    seen = []
    for name, prefix in (("theirs", twins.pips), ("ours", twins.ours)):
        other = make_prefix(tmp_path / name, "other")
        told = tmp_path / f"{name}.json"
        hook = HOOK.format(
            told=str(told), python=f"{prefix}/bin/python", other=f"{other}/bin/python", wheel=str(wheel_of("plain 1.0"))
        )
        make_tree(prefix.parent / "tree", "busy", "1.0", hook=hook)
    words = [each.format(tree="{prefix}/../tree", destination="{prefix}/../destination") for each in line.split()]
    theirs, own = twins.run(*words)
    assert (theirs.returncode, own.returncode) == (0, 0), own.stderr
    for name in ("theirs", "ours"):
        assert names(tmp_path / name / "other") == ["plain 1.0"]
        seen.append(json.loads((tmp_path / f"{name}.json").read_text()))
    assert seen[0] == seen[1]
    assert "plain 1.0" not in names(twins.ours)


@pytest.mark.parametrize("how", ["variable", "file"])
@pytest.mark.parametrize("line", ["list --format=freeze", "install --no-index {wheel}", "install --no-index {tree}"])
def test_the_settings_name_another_python(
    prefix: Path, template: Path, tmp_path: Path, home: Path, wheel_of: Callable[[str], Path], how: str, line: str
) -> None:
    """It is the prefix that counts."""
    other = copy_prefix(template, tmp_path / "other")
    wheel = wheel_of("plain 1.0")
    tree = make_tree(tmp_path / "tree", "busy", "1.0")
    if how == "file":
        (prefix / "pip.conf").write_text(f"[global]\npython = {other}\n")
    variables = {"PIP_PYTHON": str(other)} if how == "variable" else {"PIP_CONFIG_FILE": ""}
    words = line.format(wheel=wheel, tree=tree).split()
    done = end(start(our_command(prefix, *words), environment(home, **variables)))
    assert done.returncode == 0, done.stderr
    assert len(names(other)) == 1
    assert len(names(prefix)) == (2 if words[0] == "install" else 1)


def test_what_was_replaced_is_said_after_the_fact(twins: Twins, put: Put, index: Index) -> None:
    """In pip's words, and only then."""
    for each in twins.both:
        put(each, "lib 1.0", "app 1.0")
    line = ("install", "-i", index.url, "--log", "{prefix}/../log")
    theirs, own = twins.run(*line, "app==2.0", "lib==1.0")
    assert (theirs.returncode, own.returncode) == (1, 1)
    assert "uninstall" not in own.stdout
    for more in (["-U", "app"], ["--force-reinstall", "--no-deps", "app"], ["-q", "-U", "app==1.0"]):
        theirs, own = twins.run(*line, *more)
        assert (theirs.returncode, own.returncode) == (0, 0), own.stderr
        assert steps(own.stdout) == steps(theirs.stdout)
        assert bool(steps(own.stdout)) == ("-q" not in more)
    logs = [steps((each.parent / "log").read_text()) for each in twins.both]
    assert logs[0] == logs[1]


def steps(text: str) -> list[str]:
    """What was said of replacing."""
    words = ("Attempting uninstall", "Found existing installation", "Uninstalling", "Successfully uninstalled")
    return sorted(
        line.partition(word)[1] + line.partition(word)[2]
        for line in text.splitlines()
        for word in words
        if word in line
    )


def test_the_version_check_is_left_out_for_pip_alone(prefix: Path, home: Path, index: Index, tmp_path: Path) -> None:
    told = tmp_path / "told"
    hook = f"import os\nopen({str(told)!r}, 'w').write(os.environ.get('PIP_DISABLE_PIP_VERSION_CHECK', 'not set'))\n"
    tree = make_tree(tmp_path / "tree", "busy", "1.0", hook=hook)
    env = environment(home)
    del env["PIP_DISABLE_PIP_VERSION_CHECK"]
    done = end(start(our_command(prefix, "install", "-i", index.url, tree), env))
    assert done.returncode == 0, done.stderr
    assert told.read_text() == "not set"
