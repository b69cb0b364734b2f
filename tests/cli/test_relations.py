"""check, why, tree and freeze: read-only, and without running anything of the prefix."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from support.run import install, tool
from support.trees import make_prefix
from support.wheels import make_wheel


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """top needs middle, middle needs bottom; an extra of top needs what is not there. No Python is in the prefix."""
    root = make_prefix(tmp_path)
    wheels = [
        make_wheel(tmp_path, "top", "1.0", {"top.py": ""}, requires=["middle>=1", "absent; extra == 'more'"]),
        make_wheel(tmp_path, "middle", "1.0", {"middle.py": ""}, requires=["bottom"]),
        make_wheel(tmp_path, "bottom", "1.0", {"bottom/__init__.py": ""}),
    ]
    install(root, *wheels)
    for each in (root / "bin").glob("python*"):
        each.unlink()
    return root


def run(prefix: Path, *arguments: str, status: int = 0) -> str:
    done = tool(*arguments, "--prefix", prefix)
    assert done.returncode == status, done.stderr
    return done.stdout


def test_nothing_is_wrong(prefix: Path) -> None:
    assert run(prefix, "check") == ""


def test_what_is_missing_or_in_conflict_is_named(prefix: Path, tmp_path: Path) -> None:
    other = make_wheel(
        tmp_path,
        "other",
        "1.0",
        {"bottom.py": "", "middle.py": "other"},
        requires=["nothing-like-it", "middle>=2"],
        requires_python=">=4",
    )
    install(prefix, other, overwrite=True, ignore_requires_python=True)
    found = json.loads(run(prefix, "check", "--json", status=4))
    kinds = sorted(each["kind"] for each in found)
    assert kinds == ["import", "owners", "owners", "python", "unmet", "unmet"] or kinds == [
        *("import", "owners", "python", "unmet", "unmet")
    ]
    text = run(prefix, "check", status=4)
    assert "other 1.0 needs nothing-like-it, which is not installed" in text
    assert "other 1.0 needs middle>=2, but 1.0 is installed" in text
    assert "other 1.0 needs Python >=4" in text
    assert "'import bottom' may mean" in text
    assert "middle.py belongs to middle 1.0 and to other 1.0" in text


@pytest.mark.parametrize(("wanted", "fits"), [(">={}", True), (">={}.0", True), (">={}.1", False)])
def test_a_release_candidate_counts_as_the_release(tmp_path: Path, wanted: str, fits: bool) -> None:
    """For `check` as for an installation."""
    root = make_prefix(tmp_path)
    settings = root / "pyvenv.cfg"
    feature = ".".join(map(str, sys.version_info[:2]))
    lines = [line for line in settings.read_text().splitlines() if not line.startswith("version")]
    settings.write_text("\n".join([*lines, f"version = {feature}.0rc1", ""]))
    wheel = make_wheel(tmp_path, "one", "1", {"one.py": ""}, requires_python=wanted.format(feature))
    assert tool("install", "--prefix", root, wheel).returncode == (0 if fits else 1)
    install(root, wheel, ignore_requires_python=True)
    told = "" if fits else f"one 1 needs Python {wanted.format(feature)}, not {feature}.0rc1\n"
    assert run(root, "check", status=0 if fits else 4) == told


def test_who_needs_it(prefix: Path) -> None:
    assert run(prefix, "why", "Bottom") == ("bottom 1.0\n  middle 1.0 needs bottom\n    top 1.0 needs middle>=1\n")
    facts = json.loads(run(prefix, "why", "bottom", "--json"))
    assert facts["needed_by"][0]["needed_by"][0]["name"] == "top"
    assert tool("why", "absent", "--prefix", prefix).returncode == 1


def test_markers(tmp_path: Path) -> None:
    """What only an extra can fulfil does not count; what something else fulfils, too, does; nonsense stops nothing."""
    needs = [
        *("a; extra=='x'or os_name=='posix'", "b; extra == ''", "c; python_version >= '3' and os_name == 'posix'"),
        *("d; extra == 'x' and os_name == 'posix'", "e; python_version < '3'", "f; python_version ~= 'x'"),
    ]
    root = make_prefix(tmp_path)
    install(root, make_wheel(tmp_path, "one", "1", {"one.py": ""}, requires=[*needs, "g; no marker", "h"]))
    unmet = [line.split()[3] for line in run(root, "check", status=4).splitlines()]
    assert unmet == ["a,", "b,", "c,", "h,"]
    assert [run(root, "why", name).split()[-1] for name in "abch"] == list("abch")
    assert [tool("why", name, "--prefix", root).returncode for name in "de"] == [1, 1]


def test_the_tree(prefix: Path) -> None:
    assert run(prefix, "tree") == "top 1.0\n  middle 1.0 (middle>=1)\n    bottom 1.0 (bottom)\n"
    assert run(prefix, "tree", "middle") == "middle 1.0\n  bottom 1.0 (bottom)\n"


def test_circles_end(prefix: Path, tmp_path: Path) -> None:
    one = make_wheel(tmp_path, "one", "1", {"one.py": ""}, requires=["two"])
    two = make_wheel(tmp_path, "two", "1", {"two.py": ""}, requires=["one"])
    install(prefix, one, two)
    assert run(prefix, "tree").splitlines()[3:] == ["one 1", "  two 1 (two)", "    one 1 (one) (*)"]
    assert run(prefix, "why", "one") == "one 1\n  two 1 needs one\n"


def test_freeze(prefix: Path, tmp_path: Path) -> None:
    lines = run(prefix, "freeze").splitlines()
    assert lines[0].startswith("bottom @ file:///")
    (site,) = prefix.glob("lib/python*/site-packages")
    (site / "bottom-1.0.dist-info/direct_url.json").unlink()
    assert run(prefix, "freeze").splitlines()[0] == "bottom==1.0"


def test_freeze_of_an_egg_link_names_the_source_tree(tmp_path: Path) -> None:
    """Its second line leads from the library to where setup.py is; it tells no version."""
    root = make_prefix(tmp_path)
    (site,) = root.glob("lib/python*/site-packages")
    (site / "old.egg-link").write_text("/work/my old/src\n../")
    (site / "flat.egg-link").write_text("/work/flat\n.")
    assert run(root, "freeze").splitlines() == ["-e file:///work/flat", "-e file:///work/my%20old"]


def test_a_name_is_spelt_as_its_project_spells_it(tmp_path: Path) -> None:
    root = make_prefix(tmp_path)
    wheel = make_wheel(tmp_path, "Mixed-Case", "1.0", {"mixed.py": ""}, requires=["absent"])
    install(root, wheel)
    assert run(root, "list").startswith("Mixed-Case 1.0 ")
    assert run(root, "check", status=4).startswith("Mixed-Case 1.0 needs absent")
    assert run(root, "why", "absent").splitlines() == ["absent (not installed)", "  Mixed-Case 1.0 needs absent"]
    assert run(root, "tree").startswith("Mixed-Case 1.0\n")
    assert run(root, "freeze").startswith("Mixed-Case @ file:")


def test_markers_that_cannot_be_evaluated(prefix: Path, tmp_path: Path) -> None:
    """Valid ones that compare what has no order, name what is unknown, or are nested too deeply: they are ignored."""
    nested = "(" * 3000 + "os_name == 'x'" + ")" * 3000
    lines = [f"middle; {marker}" for marker in ("os_name ~= 'x'", "'a' in extras", nested)]
    odd = make_wheel(tmp_path, "odd", "1.0", {"odd.py": ""}, requires=[*lines, "bottom"])
    done = tool("install", odd, "--prefix", prefix)
    assert (done.returncode, "Traceback" in done.stderr) == (0, False), done.stderr
    assert run(prefix, "check") == ""
    assert "odd" not in run(prefix, "why", "middle")
    assert "odd 1.0 needs bottom" in run(prefix, "why", "bottom")
    assert "required-by: top\n" in run(prefix, "show", "middle")
    assert "odd" in tool("uninstall", "--dry-run", "bottom", "--prefix", prefix).stderr
