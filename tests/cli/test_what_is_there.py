"""`list`, `show`, `owner` and `uninstall`: names, patterns, sizes, what stays and who needs it. Real processes."""

from __future__ import annotations

import errno
import json
import os
import sys
from pathlib import Path

import pytest

from sage_wheels.cli import main
from sage_wheels.errors import FileOperationFailed
from support.instants import listening
from support.run import install, names, tool, tool_environment
from support.terminal import Terminal
from support.trees import make_prefix, site_packages
from support.wheels import make_wheel

HEADERS = """\
Summary: does things
License-Expression: MIT
Project-URL: Documentation, https://example.org/docs
Project-URL: Homepage, https://example.org/home
"""


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """With `Foo.Bar`, which has files of 30 bytes, `baz`, which needs it, and `qux`, which needs it elsewhere."""
    made = make_prefix(tmp_path)
    files = {"foo/a.py": "#" * 9 + "\n", "foo/b.py": "#" * 19 + "\n"}
    wheels = [
        make_wheel(tmp_path / "wheels", "Foo.Bar", "1.0", files, headers=HEADERS),
        make_wheel(tmp_path / "wheels", "baz", "2", {"baz.py": ""}, requires=["foo-bar>=1"]),
        make_wheel(tmp_path / "wheels", "qux", "3", {"qux.py": ""}, requires=["foo-bar; python_version < '3'"]),
    ]
    install(made, *wheels)
    return made


def test_list_of_some(prefix: Path) -> None:
    assert (
        tool("list", "--prefix", prefix, "BAZ", "foo*").stdout
        == "baz 2         sage-wheels\nFoo.Bar 1.0   sage-wheels\n"
    )
    none = tool("list", "--prefix", prefix, "x*", "baz")
    assert (none.returncode, none.stderr) == (0, f"sage-wheels: x* is not installed in {prefix}\n")
    assert tool("list", "--prefix", prefix, "x*").returncode == 1
    (fact,) = json.loads(tool("list", "--prefix", prefix, "--json", "--size", "Foo_Bar").stdout)
    assert fact["name"] == "Foo.Bar"
    assert 30 < fact["size"] < 2000
    assert " B   sage-wheels" in tool("list", "--prefix", prefix, "--size").stdout


def test_an_editable_one_is_marked(prefix: Path, tmp_path: Path) -> None:
    made = make_wheel(tmp_path, "ed", "1", {"ed.pth": ""})
    (tmp_path / "tr ee").mkdir()
    (tmp_path / "tr ee/pyproject.toml").touch()
    done = tool("install", "--prefix", prefix, "--editable", "--built", made, f"{tmp_path}/tr ee")
    assert done.returncode == 0, done.stderr
    assert tool("list", "--prefix", prefix, "ed").stdout == f"ed 1   sage-wheels   editable: {tmp_path}/tr ee\n"
    assert json.loads(tool("list", "--prefix", prefix, "ed", "--json").stdout)[0]["editable"] == f"{tmp_path}/tr ee"


@pytest.mark.parametrize("no_color", [False, True])
def test_a_header_only_on_a_terminal(prefix: Path, no_color: bool) -> None:
    assert "NAME" not in tool("list", "--prefix", prefix).stdout
    command = [sys.executable, "-m", "sage_wheels", "list", "--prefix", str(prefix)]
    env = tool_environment(TERM="xterm", **({"NO_COLOR": "1"} if no_color else {}))
    with Terminal(command, env) as terminal:
        terminal.read_until("qux 3")
        header = "NAME VERSION   INSTALLER     REMARK"
        assert (header if no_color else f"\x1b[1m{header}\x1b[0m") in terminal.shown
        assert terminal.state() == "0"


def test_show_of_several(prefix: Path) -> None:
    first, second = json.loads(tool("show", "--prefix", prefix, "--json", "foo.bar", "qux").stdout)
    assert first["name"] == "Foo.Bar"
    assert first["summary"] == "does things"
    assert first["licence"] == "MIT"
    assert first["home-page"] == "https://example.org/home"
    assert first["required-by"] == ["baz"]
    assert second["requires"] == ["foo-bar; python_version < '3'"]
    assert second["required-by"] == []
    text = tool("show", "--prefix", prefix, "foo.bar", "qux").stdout
    assert "required-by: baz\n" in text
    assert "\n\nname: qux\n" in text
    wrong = tool("show", "--prefix", prefix, "fo-bar")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr == f"sage-wheels: error: fo-bar is not installed in {prefix}; did you mean Foo.Bar?\n"


def test_owner_of_a_pattern(prefix: Path) -> None:
    library = site_packages(prefix)
    for pattern in ("*/foo/[ab].py", f"{library}/foo/?.py", f"{library.relative_to(prefix)}/foo/?.py"):
        done = tool("owner", "--prefix", prefix, pattern)
        assert done.stdout == f"Foo.Bar 1.0 {library}/foo/a.py\nFoo.Bar 1.0 {library}/foo/b.py\n", pattern
        assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(tool("owner", "--prefix", prefix, "--json", "*baz.py").stdout) == [
        {"name": "baz", "version": "2", "path": f"{library}/baz.py"}
    ]
    nothing = tool("owner", "--prefix", prefix, "*/nothing.py")
    assert (nothing.returncode, nothing.stdout) == (1, "")


def test_what_stays_and_who_needs_what_is_gone_is_said(prefix: Path) -> None:
    library = site_packages(prefix)
    (library / "foo/mine.txt").write_text("mine")
    dry = tool("uninstall", "--prefix", prefix, "foo-bar", "--dry-run")
    assert "sage-wheels: note: baz 2 would still need Foo.Bar\n" in dry.stderr
    done = tool("uninstall", "--prefix", prefix, "foo-bar")
    assert done.stderr.splitlines() == [
        f"sage-wheels: Foo.Bar 1.0 uninstalled from {prefix}",
        f"sage-wheels: {library}/foo/mine.txt stays, because no distribution lists it",
        next(
            line for line in done.stderr.splitlines() if f"'sage-wheels undo 2 --prefix {prefix}' restores them" in line
        ),
        "sage-wheels: note: baz 2 needs Foo.Bar, which is not installed any more",
    ]
    assert (library / "foo/mine.txt").read_text() == "mine"


def test_what_another_command_removes_meanwhile_is_no_file_of_nobody(
    prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is gone after the directory was listed, and before it is asked whose it is."""
    install(prefix, *(make_wheel(tmp_path, name, "1", {f"space/{name}.py": ""}) for name in ("one", "two", "three")))
    library, seen = str(site_packages(prefix)), list[str]()

    def listener(event: str, arguments: tuple[object, ...]) -> None:
        if event == "os.rename" and os.path.basename(str(arguments[1])) == "journal" and not seen:
            seen.append("removed")
        elif event == "os.listdir" and arguments[0] == f"{library}/space" and seen == ["removed"]:
            seen.append("listed")
        elif event == "os.scandir" and arguments[0] == library and seen == ["removed", "listed"]:
            seen.append("gone")
            assert tool("uninstall", "--prefix", prefix, "two").returncode == 0

    with listening(listener):
        assert main(["uninstall", "--prefix", str(prefix), "one"]) == 0
    assert seen == ["removed", "listed", "gone"]
    assert "stays, because" not in capsys.readouterr().err


def test_an_error_about_a_descriptor(tmp_path: Path) -> None:
    """As `os.scandir` raises them, for example when memory runs out; there is no path to name."""
    (file := tmp_path / "file").touch()
    with open(file, "rb") as f, pytest.raises(NotADirectoryError) as raised:
        os.scandir(f.fileno())
    assert isinstance(raised.value.filename, int)
    said = str(FileOperationFailed.from_os_error(raised.value, "uninstalling"))
    assert said.startswith(f"uninstalling failed ({os.strerror(errno.ENOTDIR)})")


def test_who_owns_what_keeps_him_out_is_told_how_to_get_in(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o300)
    error = PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(closed / "x.py"))
    said = str(FileOperationFailed.from_os_error(error, "uninstalling"))
    assert said.endswith(f"(Permission denied); run 'chmod u+rwx {closed}', and the command again")
    closed.chmod(0o700)
    assert "a user who has the permission" in str(FileOperationFailed.from_os_error(error, "uninstalling"))


def test_another_version_is_not_uninstalled(prefix: Path, tmp_path: Path) -> None:
    for words in (["foo-bar==1.1"], ["baz", "Foo.Bar>1"], ["-r", str(tmp_path / "names.txt")]):
        (tmp_path / "names.txt").write_text("foo-bar<1\n")
        done = tool("uninstall", "--prefix", prefix, *words)
        assert done.returncode == 1
        assert f" is not installed in {prefix}, but Foo.Bar 1.0 is; to remove that, name Foo.Bar" in done.stderr
        assert len(names(prefix)) == 3
    assert tool("uninstall", "--prefix", prefix, "foo-bar==1", "absent==3").returncode == 0
    assert len(names(prefix)) == 2


def test_what_was_overwritten_is_named(prefix: Path, tmp_path: Path) -> None:
    library = site_packages(prefix)
    (library / "new.py").write_text("mine")
    new = make_wheel(tmp_path, "new", "1", {"new.py": "", "baz.py": "# other\n"})
    done = tool("install", "--prefix", prefix, "--on-conflict", "overwrite", new)
    assert done.returncode == 0, done.stderr
    assert f"sage-wheels: overwrote {library}/baz.py, which belonged to baz 2\n" in done.stderr
    assert f"sage-wheels: overwrote {library}/new.py, which belonged to no distribution\n" in done.stderr
