"""`build --editable` and `install --built`: one builds, another installs, and all is as if it were done at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from sage_wheels.cli import main
from support.projects import COPYING, backend_tree
from support.run import names
from support.trees import make_prefix, site_packages, snapshot
from support.wheels import make_wheel


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    prefix = make_prefix(tmp_path)
    monkeypatch.setenv("VIRTUAL_ENV", str(prefix))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return prefix


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "a tree"
    make_wheel(tree, "demo", "1.0", {"demo.pth": f"{tree}/src\n"}, entry_points={"demo": "demo:f"})
    backend_tree(tree, "demo", "1.0", COPYING)
    return tree


def built(tree: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["build", "-e", "-w", str(tree.parent / "built"), str(tree)]) == 0
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize("editable", [["-e"], []])
def test_built_is_as_if_built_here(
    prefix: Path, tree: Path, capsys: pytest.CaptureFixture[str], editable: list[str]
) -> None:
    assert main(["install", *editable, str(tree)]) == 0
    expected, report = snapshot(prefix), capsys.readouterr().err
    assert main(["uninstall", "--quiet", "demo"]) == 0
    wheel = built(tree, capsys)
    (tree / "backend/tiny.py").unlink()
    assert main(["install", *editable, "--built", wheel, str(tree)]) == 0
    assert snapshot(prefix) == expected
    assert capsys.readouterr() == ("", report)
    origin = json.loads((site_packages(prefix) / "demo-1.0.dist-info/direct_url.json").read_text())
    url = f"file://{tree}".replace(" ", "%20")
    assert origin == {"dir_info": {"editable": True} if editable else {}, "url": url}
    assert (site_packages(prefix) / "demo-1.0.dist-info/REQUESTED").exists()


@pytest.mark.parametrize("items", [["wheel"], ["six"], ["tree", "six"]], ids=" ".join)
@pytest.mark.parametrize("editable", [["-e"], []])
def test_what_was_built_is_of_one_tree(
    prefix: Path, tree: Path, capsys: pytest.CaptureFixture[str], items: list[str], editable: list[str]
) -> None:
    wheel = built(tree, capsys)
    meant = [{"tree": str(tree), "wheel": wheel}.get(each, each) for each in items]
    assert main(["install", *editable, "--built", wheel, *meant]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert "--built" in err
    assert names(prefix) == []


@pytest.mark.parametrize("what", ["", "tree", "nothing", "pipe", "text"])
def test_what_was_built_is_a_wheel(
    prefix: Path, tree: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    """The file may belong to somebody who means harm: no waiting at a pipe, and never a build instead."""
    os.mkfifo(tmp_path / "pipe-1.0-py3-none-any.whl")
    (tmp_path / "text-1.0-py3-none-any.whl").write_text("text")
    wheel = {"": "", "tree": str(tree)}.get(what, str(tmp_path / f"{what}-1.0-py3-none-any.whl"))
    assert main(["install", "-e", "--built", wheel, str(tree)]) in (1, 2)
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert names(prefix) == []


@pytest.mark.parametrize("named_by", ["--find-links", "SAGE_SPKG_WHEELS"])
def test_an_editable_wheel_never_gets_into_a_wheelhouse(
    prefix: Path,
    tree: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    named_by: str,
) -> None:
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    (tmp_path / "link").symlink_to(wheels)
    options = ["--find-links", str(wheels)]
    if named_by == "SAGE_SPKG_WHEELS":
        monkeypatch.setenv(named_by, str(wheels))
        options = []
    assert main(["build", "-e", "-w", str(tmp_path / "link"), *options, str(tree)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["build", "-w", str(wheels), *options, str(tree)]) == 0
    assert [path.name for path in wheels.iterdir()] == ["demo-1.0-py3-none-any.whl"]


@pytest.mark.parametrize("command", [["build", "-w", "."], ["install"]], ids=" ".join)
def test_an_editable_tree_is_no_sdist(
    prefix: Path, tree: Path, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    """What is unpacked from an sdist goes when the build is done, and nothing could be used there."""
    assert main([*command, "--editable", "--sdist-then-wheel", str(tree)]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert names(prefix) == []
