"""`list` and `show` where packages of a collection have left manifests."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.cli import main
from support.run import install, tool_environment
from support.trees import make_prefix, site_packages
from support.wheels import make_wheel


class Tool:
    """The command line in this process: what it prints on standard output, and on standard error."""

    def __init__(self, prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.prefix = prefix
        self.capsys = capsys

    def __call__(self, command: str, *arguments: str, status: int = 0) -> tuple[str, str]:
        self.capsys.readouterr()
        assert main([command, "--prefix", str(self.prefix), *arguments]) == status
        out, err = self.capsys.readouterr()
        return out, err

    def json(self, command: str, *arguments: str) -> Any:
        return json.loads(self(command, "--json", *arguments)[0])


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Tool:
    """A prefix with what five packages have brought, and what was done to that since."""
    prefix = make_prefix(tmp_path)
    stamps = prefix / "var/lib/sage-wheels/stamps"
    stamps.mkdir(parents=True)
    house = tmp_path / "wheelhouse"
    for name in ("kept", "a-long-name", "changed", "rebuilt", "gone"):
        wheel = make_wheel(house, name, "1.0", {f"{name.replace('-', '_')}.py": ""})
        install(prefix, wheel)
        (stamps / f"the_{name}").write_text(f"{name} @ file://{wheel}\n")
    (stamps / "the_absent").write_text(f"absent @ file://{make_wheel(house, 'absent', '3.0', {'absent.py': ''})}\n")
    (stamps / "the_lost").write_text("lost @ file:///w/lost-3.0-py3-none-any.whl\n")
    (stamps / "the_tree").write_text(f"tree @ file://{tmp_path}\n")
    install(prefix, make_wheel(tmp_path, "changed", "1.1", {"changed.py": ""}))
    install(prefix, make_wheel(tmp_path, "rebuilt", "1.0", {"rebuilt.py": "# patched"}))
    install(prefix, make_wheel(tmp_path, "own", "2.0", {"own.py": ""}))
    (house / "gone-1.0-py3-none-any.whl").unlink()
    (site_packages(prefix) / "own-2.0.dist-info/INSTALLER").write_text("pip\n")
    (site_packages(prefix) / "changed-1.1.dist-info/INSTALLER").write_text("a\x1b[2J")
    (site_packages(prefix) / "rebuilt-1.0.dist-info/INSTALLER").write_text("no word\n")
    return Tool(prefix, capsys)


def test_list_says_who_and_what_of_it(run: Tool) -> None:
    out, err = run("list")
    assert out.splitlines() == [
        "a-long-name 1.0   sage-wheels   package the_a-long-name",
        "changed 1.1       -             replaced: package the_changed had installed 1.0",
        "gone 1.0          sage-wheels   package the_gone installed it, but its wheel is gone",
        "kept 1.0          sage-wheels   package the_kept",
        "own 2.0           pip",
        "rebuilt 1.0       -             replaced: package the_rebuilt had installed another build of 1.0",
    ]
    assert err.splitlines() == [
        "sage-wheels: missing, though packages had installed them: absent 3.0; "
        f"'sage-wheels restore --prefix {run.prefix}' installs them",
        *(
            f"sage-wheels: {name}, which package the_{name} had installed, is missing; "
            f"building package the_{name} again installs it"
            for name in ("lost", "tree")
        ),
    ]


def test_the_first_two_words_are_name_and_version(run: Tool) -> None:
    (site_packages(run.prefix) / "legacy.egg-link").write_text("/nowhere\n.")
    script = 'while read name version rest; do echo "$name=$version"; done'
    out = run("list")[0]
    assert "legacy -          -             editable: /nowhere" in out.splitlines()
    done = subprocess.run(["sh", "-c", script], input=out, capture_output=True, text=True, check=True)
    names = ["a-long-name=1.0", "changed=1.1", "gone=1.0", "kept=1.0", "legacy=-", "own=2.0", "rebuilt=1.0"]
    assert done.stdout.split() == names


def test_list_json(run: Tool) -> None:
    rows = {row["name"]: row for row in run.json("list")}
    wheel = f"{run.prefix.parent}/wheelhouse/changed-1.0-py3-none-any.whl"
    assert rows["changed"]["package"] == "the_changed"
    assert rows["changed"]["wheelhouse"] == {"version": "1.0", "path": wheel, "state": "replaced"}
    assert {name: row["wheelhouse"] and row["wheelhouse"]["state"] for name, row in rows.items()} == {
        "a-long-name": "same",
        "kept": "same",
        "own": None,
        "changed": "replaced",
        "rebuilt": "replaced",
        "gone": "no wheel",
    }
    assert (rows["own"]["installer"], rows["changed"]["installer"]) == ("pip", "")


def test_show(run: Tool) -> None:
    lines = run("show", "Changed")[0].splitlines()
    assert "package: the_changed" in lines
    assert "wheelhouse: replaced: package the_changed had installed 1.0" in lines
    assert f"wheelhouse: same: {run.prefix.parent}/wheelhouse/kept-1.0-py3-none-any.whl" in run("show", "kept")[0]
    assert run.json("show", "gone")[0]["wheelhouse"]["state"] == "no wheel"
    assert "wheelhouse" not in run("show", "own")[0]
    out, err = run("show", "absent", status=1)
    said = f"absent is not installed in {run.prefix}, though package the_absent had installed 3.0"
    restore = f"sage-wheels restore absent --prefix {run.prefix}"
    assert (out, err) == ("", f"sage-wheels: error: {said}; '{restore}' installs it\n")
    assert "building package the_tree again installs it" in run("show", "tree", status=1)[1]


def test_a_list_without_records_opens_no_wheels(tmp_path: Path) -> None:
    """It starts as quickly as before there were any."""
    prefix = make_prefix(tmp_path)
    install(prefix, make_wheel(tmp_path, "one", "1.0", {"one.py": ""}))
    program = "import sys; from sage_wheels.cli import main; main(); print(*sys.modules)"
    command = [sys.executable, "-c", program, "list", "--prefix", str(prefix)]
    out = subprocess.run(command, env=tool_environment(), capture_output=True, text=True, check=True).stdout
    assert out.startswith("one 1.0   sage-wheels\n")
    loaded = {name for name in out.split() if name.startswith("sage_wheels.")}
    assert not [name for name in loaded if name.startswith(("sage_wheels.wheel", "sage_wheels.building"))]
    assert "sage_wheels.manifests.comparison" not in loaded
    assert "packaging" not in out.split()
