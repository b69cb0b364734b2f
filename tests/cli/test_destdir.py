"""`install --destdir`: what `python -m installer --destdir` writes, and nothing else; real processes."""

from __future__ import annotations

import csv
import importlib.util
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.run import tool, tool_environment
from support.trees import Tree, snapshot
from support.wheels import make_wheel

DEBIAN = "/usr/bin/python3"
LIBRARY = f"usr/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
IS_DEBIAN = os.path.exists("/etc/debian_version") and os.path.exists(DEBIAN)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    files = {"one/__init__.py": "x = 1\n", "one/bad.py": "x =\n", "one/data.txt": "data", "top.py": "'''doc'''\n"}
    data = {"scripts/plain": "#!python\nprint('plain')\n", "scripts/native": "\x7fELF", "data/share/one/a": "a"}
    native = ["one-1.0.data/scripts/native", "one-1.0.data/scripts/plain"]  # pip makes every script executable
    return make_wheel(tmp_path, "one", "1.0", files, data=data, entry_points={"tool": "one:x"}, executable=native)


def stage(destdir: Path, *words: str | Path, status: int = 0, more: Mapping[str, str] | None = None) -> str:
    env = tool_environment(**(more or {}))
    done = tool("install", "--destdir", destdir, *words, env=env)
    assert done.returncode == status, done.stderr
    return done.stderr


def without_record(tree: Tree) -> Tree:
    return {path: entry for path, entry in tree.items() if not path.endswith(("/RECORD", "/INSTALLER"))}


def rows(destdir: Path) -> dict[str, list[str]]:
    (file,) = destdir.rglob("RECORD")
    with open(file, newline="") as f:
        return {row[0]: row[1:] for row in csv.reader(f)}


@pytest.mark.parametrize("bytecode", [True, False])
def test_it_is_what_installer_writes(wheel: Path, tmp_path: Path, bytecode: bool) -> None:
    levels = ["0", "1"] if bytecode else []
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    env = {"SOURCE_DATE_EPOCH": "1000000000"}
    levels_of_ours = [each for level in levels for each in ("--optimize", level)] or ["--no-compile"]
    stage(
        ours,
        "--prefix",
        "/usr",
        "--scheme",
        "posix_prefix",
        "--python",
        sys.executable,
        *levels_of_ours,
        wheel,
        more=env,
    )
    their_levels = [each for level in levels for each in ("--compile-bytecode", level)] or ["--no-compile-bytecode"]
    command = [
        sys.executable,
        "-m",
        "installer",
        "--destdir",
        str(theirs),
        "--prefix",
        "/usr",
        *their_levels,
        str(wheel),
    ]
    subprocess.run(command, check=True, env={**os.environ, **env}, capture_output=True)
    assert without_record(snapshot(ours)).keys() == without_record(snapshot(theirs)).keys()
    for path, entry in without_record(snapshot(theirs)).items():
        if path.endswith(".pyc") or path == "usr/bin/tool":  # each has its own text of a generated script
            assert snapshot(ours)[path][:2] == entry[:2]
        else:
            assert snapshot(ours)[path] == entry
    listed = {path: row for path, row in rows(ours).items() if not path.endswith(".pyc")}
    for path, row in rows(theirs).items():
        if not path.endswith(("INSTALLER", "bin/tool", ".pyc")):
            assert listed[path] == row
    assert (len(rows(ours)) > len(listed)) == bytecode
    assert subprocess.run([sys.executable, ours / "usr/bin/plain"], capture_output=True).stdout == b"plain\n"


def test_nothing_else_is_written(wheel: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    variables = {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), "TMPDIR": str(home)}
    said = stage(tmp_path / "d", "--prefix", "/usr", "--scheme", "posix_prefix", wheel, more=variables)
    assert said == f"sage-wheels: one 1.0 written below {tmp_path}/d, for /usr\n"
    assert os.listdir(home) == []
    assert sorted(os.listdir(tmp_path / "d")) == ["usr"]
    assert sorted(os.listdir(tmp_path / "d/usr")) == ["bin", "lib", "share"]
    (tmp_path / "d" / LIBRARY / "one/__pycache__").rename(tmp_path / "compiled")
    assert [each.name.partition(".")[0] for each in (tmp_path / "compiled").iterdir()] == ["__init__"]


def test_it_is_reproducible(wheel: Path, tmp_path: Path) -> None:
    packed = []
    for number, directory in enumerate(("a", "somewhere/else")):
        stage(tmp_path / directory, "--prefix", "/usr", wheel, more={"SOURCE_DATE_EPOCH": "1234567890"})
        tar = tmp_path / f"{number}.tar"
        options = ["--sort=name", "--numeric-owner", "-C", str(tmp_path / directory), "-cf", str(tar), "usr"]
        subprocess.run(["tar", *options], check=True)
        packed.append(tar.read_bytes())
        os.utime(wheel, (number, number))
    assert packed[0] == packed[1]


@pytest.mark.parametrize(("mode", "flags"), [("timestamp", 0), ("unchecked-hash", 1), ("checked-hash", 3)])
def test_the_invalidation_mode(wheel: Path, tmp_path: Path, mode: str, flags: int) -> None:
    stage(tmp_path / "d", "--prefix", "/usr", "--scheme", "posix_prefix", "--invalidation-mode", mode, wheel)
    source = tmp_path / "d" / LIBRARY / "top.py"
    data = Path(importlib.util.cache_from_source(str(source))).read_bytes()
    assert int.from_bytes(data[4:8], "little") == flags
    program = (
        "import sys; sys.path.insert(0, sys.argv[1]); import top; print(top.__spec__.cached, top.__spec__.has_location)"
    )
    env = {**os.environ, "PYTHONVERBOSE": "1", "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-c", program, str(source.parent)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=True)
    assert f"matches {source}" in done.stderr


def test_installer_and_several_wheels(wheel: Path, tmp_path: Path) -> None:
    other = make_wheel(tmp_path, "two", "2", {"two.py": ""})
    where = ["--prefix", "/opt/x", "--scheme", "posix_prefix"]
    stage(tmp_path / "d", *where, "--installer", "dpkg", wheel, other)
    for name in ("one-1.0", "two-2"):
        info = tmp_path / "d/opt/x" / LIBRARY.removeprefix("usr/") / f"{name}.dist-info"
        assert (info / "INSTALLER").read_text() == "dpkg\n"
        assert "dpkg" not in (info / "RECORD").read_text()
        assert not (info / "direct_url.json").exists()


def test_what_is_there_is_refused_unless_it_is_the_same(wheel: Path, tmp_path: Path) -> None:
    where = ["--prefix", "/usr", "--scheme", "posix_prefix"]
    stage(tmp_path / "d", *where, wheel)
    for each in (tmp_path / "d").rglob("*.py"):
        os.utime(each, (1000, 1000))  # byte-code is that of the file that is there
    for each in (tmp_path / "d").rglob("*.pyc"):
        data = each.read_bytes()
        each.write_bytes(data[:8] + (1000).to_bytes(4, "little") + data[12:])
    before = snapshot(tmp_path / "d")
    stage(tmp_path / "d", *where, wheel)
    assert snapshot(tmp_path / "d") == before
    twin = make_wheel(tmp_path, "One", "2.0", {"one.py": ""})
    assert f"{wheel} and {twin} are both One; give only one" in stage(tmp_path / "d", *where, wheel, twin, status=2)
    (tmp_path / "d" / LIBRARY / "top.py").write_text("other")
    before = snapshot(tmp_path / "d")
    two = make_wheel(tmp_path, "two", "2", {"aaa.py": "", "zzz.py": ""})
    said = stage(tmp_path / "d", *where, two, wheel, status=1)
    assert f"{tmp_path}/d/{LIBRARY}/top.py is there already, and differs; empty" in said
    assert snapshot(tmp_path / "d") == before


def test_no_link_leads_out(wheel: Path, tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "elsewhere").mkdir()
    for link in ("usr", "usr/bin"):
        (tmp_path / "d" / link).parent.mkdir(exist_ok=True)
        (tmp_path / "d" / link).symlink_to(tmp_path / "elsewhere")
        stage(tmp_path / "d", "--prefix", "/usr", "--scheme", "posix_prefix", wheel, status=1)
        assert os.listdir(tmp_path / "elsewhere") == []
        (tmp_path / "d" / link).unlink()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--dry-run"], "--dry-run cannot be combined with --destdir"),
        (["--scheme", "no_such"], "has no scheme no_such; name one of "),
        (["--python", "/no/python"], "the Python /no/python cannot be run"),
        (["--python", "/bin/false"], "the Python /bin/false gives no answer (exit status 1); name another --python"),
        (["six"], "--destdir takes wheels; build them first"),
        (["--optimize", "3"], "argument --optimize: invalid choice: "),
        (["--prefix", "usr"], "--prefix usr is no full path; with --destdir, name the final place, such as /usr"),
    ],
)
def test_what_makes_no_sense_is_refused(wheel: Path, tmp_path: Path, words: list[str], said: str) -> None:
    done = tool("install", "--destdir", tmp_path / "d", *words, wheel)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert not (tmp_path / "d").exists()
    alone = tool("install", "--scheme", "posix_prefix", wheel)
    assert alone.stderr == "sage-wheels: error: --scheme is only for --destdir; add --destdir DIR, or leave it out\n"


@pytest.mark.parametrize("root", ["/", "//"])
def test_the_root_directory_is_a_prefix(wheel: Path, tmp_path: Path, root: str) -> None:
    stage(tmp_path / "usr", "--prefix", "/usr", "--scheme", "posix_prefix", "--no-compile", wheel)
    stage(tmp_path / "root", "--prefix", root, "--scheme", "posix_prefix", "--no-compile", wheel)
    assert snapshot(tmp_path / "root") == snapshot(tmp_path / "usr/usr")


@pytest.mark.skipif(not IS_DEBIAN, reason="this is not Debian, whose Python has the scheme deb_system")
def test_debians_own_directories(wheel: Path, tmp_path: Path) -> None:
    stage(tmp_path / "d", "--python", DEBIAN, "--prefix", "/usr", "--scheme", "deb_system", wheel)
    library = tmp_path / "d/usr/lib/python3/dist-packages"
    assert (library / "one/__init__.py").exists()
    assert list(library.glob("one/__pycache__/__init__.cpython-*.pyc"))
    assert (tmp_path / "d/usr/bin/tool").read_text().startswith(f"#!{DEBIAN}\n")
