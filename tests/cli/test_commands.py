"""Every command, with and without --json: what goes to standard output, what to standard error, and the status."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from sage_wheels import __version__
from sage_wheels.cli import COMMANDS, main
from support.projects import COPYING, backend_tree
from support.run import install, names, tool, tool_environment
from support.trees import make_prefix, site_packages, snapshot
from support.wheels import make_wheel


class Ran(NamedTuple):
    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Tool:
    """The command line in this process, on one prefix."""

    def __init__(self, prefix: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.prefix = prefix
        self.capsys = capsys

    def __call__(self, command: str, *arguments: str | Path) -> Ran:
        self.capsys.readouterr()
        status = main([command, "--prefix", str(self.prefix), *map(str, arguments)])
        out, err = self.capsys.readouterr()
        return Ran(status, out, err)


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


@pytest.fixture
def run(prefix: Path, capsys: pytest.CaptureFixture[str]) -> Tool:
    return Tool(prefix, capsys)


@pytest.fixture
def one(tmp_path: Path) -> Path:
    headers = "Summary: The first\nRequires-Dist: six ; extra == 'x'"
    files = {"one/__init__.py": "", "one.pth": "#\n"}
    return make_wheel(tmp_path, "one", "1.0", files, entry_points={"tool": "one:f"}, headers=headers)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    return make_wheel(tmp_path, "two", "2.0", {"two.py": ""})


def test_install_tells_people_and_says_nothing_to_programs(run: Tool, prefix: Path, one: Path, two: Path) -> None:
    ran = run("install", one, two)
    assert ran == Ran(
        0, "", f"sage-wheels: one 1.0 installed into {prefix}\nsage-wheels: two 2.0 installed into {prefix}\n"
    )
    assert names(prefix) == ["one 1.0", "two 2.0"]
    again = run("install", one)
    assert again == Ran(0, "", f"sage-wheels: one 1.0 is installed in {prefix} already, and nothing was changed\n")
    assert run("install", "--quiet", "--reinstall", one) == Ran(0, "", "")
    assert run("install", "--reinstall", one).err == f"sage-wheels: one 1.0 reinstalled into {prefix}\n"


def test_install_json(run: Tool, prefix: Path, one: Path) -> None:
    report = run("install", "--json", one).json
    assert report["changes"] == [{"name": "one", "old_version": "", "new_version": "1.0"}]
    assert report["lock_seconds"] > 0
    assert f"place {site_packages(prefix)}/one" in report["steps"]
    assert run("install", "--json", one).json["unchanged"] == ["one 1.0"]


def test_install_upgrade(run: Tool, prefix: Path, tmp_path: Path, one: Path) -> None:
    run("install", one)
    newer = make_wheel(tmp_path, "one", "1.1", {"one/__init__.py": ""})
    assert run("install", newer).err == f"sage-wheels: one changed from 1.0 to 1.1 in {prefix}\n"


def test_install_dry_run(run: Tool, prefix: Path, one: Path) -> None:
    before = snapshot(prefix)
    ran = run("install", "--dry-run", one)
    assert (ran.status, ran.out) == (0, "")
    assert ran.err.startswith(f"sage-wheels: one 1.0 would be installed into {prefix}\n")
    assert f"place {site_packages(prefix)}/one.pth\n" in ran.err
    assert snapshot(prefix) == before


def test_install_notes_what_is_needed_and_not_there(run: Tool, prefix: Path, tmp_path: Path) -> None:
    needy = make_wheel(tmp_path, "needy", "1", {"needy.py": ""}, requires=["six>=1", "one ; extra == 'x'"])
    ran = run("install", needy)
    assert ran.status == 0
    assert ran.err.startswith("sage-wheels: note: needy 1 needs six>=1, which is not installed\n")


def test_install_options(run: Tool, prefix: Path, tmp_path: Path, one: Path) -> None:
    assert run("install", "--no-compile", "--durable", "--lock-timeout", "5", one).status == 0
    assert not list(site_packages(prefix).rglob("*.pyc"))
    other = make_wheel(tmp_path, "other", "1", {"one/__init__.py": "x = 1\n"}, requires_python="<3")
    assert run("install", "--ignore-requires-python", "--on-conflict", "overwrite", other).status == 0
    assert names(prefix) == ["one 1.0", "other 1"]


def test_uninstall(run: Tool, prefix: Path, tmp_path: Path, one: Path, two: Path) -> None:
    install(prefix, one, two)
    ran = run("uninstall", "One", "three")
    assert (ran.status, ran.out) == (0, "")
    assert ran.err.splitlines() == [
        f"sage-wheels: one 1.0 uninstalled from {prefix}",
        next(line for line in ran.err.splitlines() if f"'sage-wheels undo 2 --prefix {prefix}' restores them" in line),
        f"sage-wheels: three is not installed in {prefix}, so there is nothing to remove",
    ]
    requirements = tmp_path / "requirements.txt"
    requirements.write_text("# a comment\n--no-index\ntwo>=1 ; python_version > '3'  # why\nfour\n")
    assert run("uninstall", "-y", "--json", "-r", requirements).json["unchanged"] == ["four"]
    assert names(prefix) == []


def test_uninstall_dry_run(run: Tool, prefix: Path, one: Path) -> None:
    install(prefix, one)
    before = snapshot(prefix)
    ran = run("uninstall", "--dry-run", "one")
    assert f"sage-wheels: one 1.0 would be uninstalled from {prefix}\n" in ran.err
    assert f"  remove {site_packages(prefix)}/one\n" in ran.err
    assert snapshot(prefix) == before


@pytest.mark.parametrize("given", ["one/two", "one two", "git+https://example.org/one", "one-1.tar.gz"])
def test_uninstall_takes_no_beginning_for_a_name(run: Tool, prefix: Path, one: Path, given: str) -> None:
    install(prefix, one)
    before = snapshot(prefix)
    ran = run("uninstall", given)
    assert (ran.status, ran.out) == (2, "")
    assert ran.err.startswith(f"sage-wheels: error: {given!r} ")
    assert ran.err.count("\n") == 1
    assert snapshot(prefix) == before


def test_uninstall_names_what_it_kept(run: Tool, prefix: Path, two: Path) -> None:
    install(prefix, two)
    (site_packages(prefix) / "two.py").write_text("mine")
    assert (
        "sage-wheels: would keep a file that somebody edited or added as " in run("uninstall", "--dry-run", "two").err
    )
    ran = run("uninstall", "--quiet", "two")
    kept = ran.err.strip().removeprefix("sage-wheels: kept a file that somebody edited or added as ")
    assert Path(kept).read_text() == "mine"


def test_what_is_kept_of_many_is_said_in_one_line(run: Tool, prefix: Path, tmp_path: Path) -> None:
    files = [f"many/m{number}.py" for number in range(300)]
    install(prefix, make_wheel(tmp_path, "many", "1.0", dict.fromkeys(files, "")))
    for each in files:
        (site_packages(prefix) / each).write_text("mine")
    ran = run("uninstall", "--quiet", "many")
    said, _, place = ran.err.strip().partition(", in ")
    assert said == "sage-wheels: kept 300 files that somebody edited or added"
    assert {each.name for each in Path(place).glob("*.py")} == {Path(each).name for each in files}


def test_list(run: Tool, prefix: Path, one: Path, two: Path) -> None:
    assert run("list") == Ran(0, "", "")
    assert run("list", "--json").json == []
    install(prefix, two, one)
    assert run("list") == Ran(0, "one 1.0   sage-wheels\ntwo 2.0   sage-wheels\n", "")
    assert run("list", "--json").json[0] == {
        "name": "one",
        "version": "1.0",
        "kind": ".dist-info",
        "path": f"{site_packages(prefix)}/one-1.0.dist-info",
        "installer": "sage-wheels",
        "editable": "",
        "package": "",
        "wheelhouse": None,
    }


def test_show(run: Tool, prefix: Path, one: Path) -> None:
    install(prefix, one)
    ran = run("show", "ONE")
    lines = ran.out.splitlines()
    assert "name: one" in lines
    assert "summary: The first" in lines
    assert "installer: sage-wheels" in lines
    assert f"runs-at-start: {site_packages(prefix)}/one.pth" in lines
    facts = run("show", "--json", "one").json[0]
    assert facts["requires"] == ["six ; extra == 'x'"]
    assert facts["requested"] is True
    assert facts["files"] == len(run("files", "one").out.splitlines())


def test_files(run: Tool, prefix: Path, one: Path) -> None:
    install(prefix, one)
    ran = run("files", "one")
    assert (ran.status, ran.err) == (0, "")
    paths = ran.out.splitlines()
    assert f"{prefix}/bin/tool" in paths
    assert paths == sorted(paths)
    assert all(os.path.isfile(path) for path in paths)
    assert run("files", "--json", "one").json == paths


def test_a_wheel_of_a_newer_minor_format_is_installed_with_a_warning(run: Tool, prefix: Path, tmp_path: Path) -> None:
    text = "Wheel-Version: {}\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
    newer = make_wheel(tmp_path, "newer", "1.0", {"newer.py": ""}, wheel_text=text.format("1.9"))
    done = run("install", newer)
    assert done.status == 0
    assert f"sage-wheels: {newer} has Wheel-Version 1.9, and only 1.0 is known\n" in done.err
    usual = make_wheel(tmp_path, "usual", "1.0", {"usual.py": ""}, wheel_text=text.format("1.0"))
    assert "Wheel-Version" not in run("install", usual).err


def test_owner(run: Tool, prefix: Path, one: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(prefix, one)
    assert run("owner", prefix / "bin/tool") == Ran(0, "one 1.0\n", "")
    assert run("owner", "bin/tool").out == "one 1.0\n"
    monkeypatch.chdir(prefix / "bin")
    assert run("owner", "tool").out == "one 1.0\n"
    assert run("owner", "--json", "tool").json == [{"name": "one", "version": "1.0"}]
    nobody = run("owner", prefix / "pyvenv.cfg")
    assert nobody == Ran(1, "", f"sage-wheels: {prefix}/pyvenv.cfg belongs to no distribution\n")
    outside = run("owner", "/etc/passwd")
    assert outside == Ran(1, "", f"sage-wheels: error: /etc/passwd is not in {prefix}; name a path in the prefix\n")
    for name in ("x" * 256, "x/" * 3000):  # longer than a file system takes
        full = os.path.abspath(prefix / name)
        assert run("owner", full) == Ran(1, "", f"sage-wheels: {full} is not there\n")


def test_owner_of_a_directory(run: Tool, prefix: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        files = {f"{name}/__init__.py": "", f"ns/{name}.py": "", f"ns/{name}/x.py": ""}
        install(prefix, make_wheel(tmp_path, name, "1.0", files))
    library = site_packages(prefix)
    (library / "empty").mkdir()
    both = "one 1.0\ntwo 1.0\n"
    owners: dict[str | Path, str] = {library / "one": "one 1.0\n", library / "one/__pycache__": "one 1.0\n"}
    owners |= {
        library / "ns/two": "two 1.0\n",
        library / "two-1.0.dist-info": "two 1.0\n",
        f"{library}/one/": "one 1.0\n",
    }
    owners |= {library / "ns": both, library: both, prefix: both}
    for directory, out in owners.items():
        assert run("owner", directory) == Ran(0, out, ""), directory
    assert run("owner", library / "empty").err == f"sage-wheels: {library}/empty belongs to no distribution\n"
    (library / "one/__pycache__/__init__.cpython-399.pyc").touch()
    assert run("owner", library / "one/__pycache__/__init__.cpython-399.pyc").out == "one 1.0\n"


def test_owner_of_what_is_not_there(run: Tool, prefix: Path, one: Path) -> None:
    install(prefix, one)
    for path in (prefix / "bin/nothing", site_packages(prefix) / "nowhere/at/all.py"):
        assert run("owner", path) == Ran(1, "", f"sage-wheels: {path} is not there\n")
    both = f"neither in the current directory nor in {prefix}"
    for relative in ("bin/nothing", "venv/bin/nothing"):
        assert run("owner", relative) == Ran(1, "", f"sage-wheels: {relative} is not there, {both}\n")
    assert run("owner", "").err == "sage-wheels: error: the path is empty; name a path in the prefix\n"
    (prefix / "bin/tool").unlink()
    gone = f"sage-wheels: {prefix}/bin/tool is not there, though one 1.0 lists it\n"
    assert run("owner", "bin/tool") == Ran(1, "one 1.0\n", gone)
    assert run("owner", "/no/such/place").err.startswith("sage-wheels: error: /no/such/place is not in")


def test_owner_of_the_same_place_under_another_name(run: Tool, prefix: Path, one: Path, tmp_path: Path) -> None:
    install(prefix, one)
    links: dict[Path, str | Path] = {tmp_path / "whole": prefix, tmp_path / "library": site_packages(prefix)}
    links |= {tmp_path / "tool": prefix / "bin/tool", prefix / "lib64": "lib", prefix / "bin/alias": "tool"}
    for link, destination in links.items():
        link.symlink_to(destination)
    inside = site_packages(prefix).relative_to(prefix)
    for path in (
        *(tmp_path / "whole/bin/tool", tmp_path / "library/one/__init__.py", tmp_path / "library", tmp_path / "tool"),
        *(prefix / "lib64" / inside.relative_to("lib") / "one.pth", prefix / "lib64", prefix / "bin/alias"),
    ):
        assert run("owner", path) == Ran(0, "one 1.0\n", ""), path
    for link in links:
        link.unlink()
    moved = prefix.rename(tmp_path / "moved")
    assert tool("owner", "--prefix", moved, moved / "bin/tool").stdout == "one 1.0\n"
    assert tool("owner", "--prefix", moved, prefix / "bin/tool").returncode == 1
    prefix.symlink_to(moved)
    for root in (moved, prefix):
        for path in (moved, prefix):
            assert tool("owner", "--prefix", root, path / "bin/tool").stdout == "one 1.0\n"


def test_verify(run: Tool, prefix: Path, one: Path, two: Path) -> None:
    install(prefix, one, two)
    assert run("verify") == Ran(0, "", f"sage-wheels: verified 2 distributions in {prefix}: 0 differences\n")
    (site_packages(prefix) / "two.py").unlink()
    (site_packages(prefix) / "one/__init__.py").write_text("edited")
    (site_packages(prefix) / "one/foreign.txt").write_text("")
    ran = run("verify")
    assert ran.status == 4
    library = site_packages(prefix)
    assert sorted(ran.out.splitlines()) == [
        f"changed {library}/one/__init__.py",
        f"foreign {library}/one/foreign.txt",
        f"missing {library}/two.py",
    ]
    assert run("verify", "--json", "two").json == [
        {"distribution": "two 2.0", "state": "missing", "path": f"{library}/two.py"}
    ]
    (library / "two-2.0.dist-info/RECORD").unlink()
    assert run("verify", "two").out == f"unknown {library}/two-2.0.dist-info\n"


def test_recover(run: Tool, prefix: Path, one: Path) -> None:
    assert run("recover") == Ran(0, "", f"sage-wheels: nothing was left unfinished in {prefix}\n")
    install(prefix, one)
    assert run("recover", "--quiet") == Ran(0, "", "")
    assert run("recover", "--json").json == []


@pytest.mark.parametrize("command", ["show", "files", "verify"])
def test_a_name_that_is_not_installed(run: Tool, prefix: Path, command: str) -> None:
    advice = f"'sage-wheels list --prefix {prefix}' shows what is installed"
    message = f"sage-wheels: error: six is not installed in {prefix}; {advice}\n"
    assert run(command, "six") == Ran(1, "", message)


@pytest.mark.parametrize("command", ["list", "show", "files", "owner", "verify", "recover"])
def test_reading_leaves_nothing_in_a_prefix_that_is_not_ours(run: Tool, prefix: Path, command: str) -> None:
    before = snapshot(prefix)
    run(command, *(["x"] if command in ("show", "files", "owner") else []))
    assert snapshot(prefix) == before
    assert not (prefix / "var").exists()


def test_what_is_read_may_be_half_of_something(run: Tool, prefix: Path, one: Path) -> None:
    install(prefix, one)
    journal = prefix / "var/lib/sage-wheels/journal"
    journal.write_text("garbage")
    assert "sage-wheels recover" in run("list").err
    damaged = run("recover")
    assert damaged.status == 1
    assert f"the journal {journal} of an interrupted installation cannot be read" in damaged.err
    assert damaged.err.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        *([], ["-x"], ["frobnicate"], ["instal"], ["install"], ["install", "--no-such-option", "x"], ["uninstall"]),
        *(["show"], ["install", "--on-conflict", "maybe", "x"], ["list", "--extra"]),
        *(
            ["recover", "--lock-timeout", "-1"],
            ["recover", "--lock-timeout", "nan"],
            ["recover", "--lock-timeout", "x"],
        ),
        *(["list"], ["uninstall", "???", "--prefix", "."]),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    try:
        status: object = main(arguments)
    except SystemExit as leaving:  # argparse
        status = leaving.code
    out, err = capsys.readouterr()
    assert status == 2
    assert out == ""
    assert err


def test_close_names_are_proposed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["instal"]) == 2
    assert capsys.readouterr().err == "sage-wheels: error: there is no command 'instal'; did you mean install?\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as leaving:
        main([command, "--help"])
    assert leaving.value.code == 0
    assert f"usage: sage-wheels {command}" in capsys.readouterr().out


def test_top_level_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    out, err = capsys.readouterr()
    assert all(command in out for command in COMMANDS)
    assert err == ""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"sage-wheels {__version__}\n"


def test_a_process_of_its_own(prefix: Path, one: Path) -> None:
    done = tool("install", "--prefix", prefix, one)
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == f"sage-wheels: one 1.0 installed into {prefix}\n"
    assert (
        tool("list", env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "SAGE_VENV": str(prefix)}).stdout
        == "one 1.0   sage-wheels\n"
    )


def test_a_reader_that_goes_away_is_no_traceback(prefix: Path, one: Path) -> None:
    install(prefix, one)
    read, write = os.pipe()
    os.close(read)
    done = tool("files", "one", "--prefix", prefix, capture_output=False, stdout=write, stderr=-1)
    os.close(write)
    assert (done.returncode, done.stderr) == (1, "")


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", ">&- 2>&-", "<&- >&- 2>&-"])
def test_closed_streams_are_nothing_to_fail_of(prefix: Path, tmp_path: Path, one: Path, closed: str) -> None:
    tree = tmp_path / "tree"
    make_wheel(tree, "made", "1", {"made.py": ""})
    backend_tree(tree, "made", "1", f"{COPYING}\nprint('said by the backend', flush=True)\n")
    commands = (
        ["install", one],
        ["build", "--cache-dir", tmp_path / "cache", "--wheel-dir", tmp_path / "dist", f"{tree}/"],
        ["list", "--json"],
        ["verify", "one"],
        ["uninstall", "one"],
    )
    for name, *arguments in commands:
        where = [] if name == "build" else ["--prefix", prefix]
        line = shlex.join(map(str, [sys.executable, "-m", "sage_wheels", name, *where, *arguments]))
        done = subprocess.run(["sh", "-c", f"exec {line} {closed}"], env=tool_environment(), cwd="/")
        assert done.returncode == 0, name
        assert name != "install" or names(prefix) == ["one 1.0"]
    assert (tmp_path / "dist/made-1-py3-none-any.whl").exists()
    assert names(prefix) == []
