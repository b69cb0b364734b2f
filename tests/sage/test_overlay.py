"""build/overlay, with a tree that has the lines it looks for; the genuine one is in `test_genuine`."""

from __future__ import annotations

import importlib
import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from support.run import names
from support.trees import make_prefix, site_packages, snapshot
from support.wheels import make_wheel

from .conftest import TOOL, Scripts

STOCK = {
    "VERSION.txt": "SageMath version 10.7, Release Date: 2025-08-09\n",
    "build/bin/sage-bootstrap-python": '#!/bin/sh\nPYTHONS="python python3 python3.12"\nexec "$PYTHON" "$@"\n',
    "build/bin/sage-flock": "from sage_bootstrap.flock import run\nrun()\n",
    "build/bin/sage-pip-install": "sage-flock -s $LOCK $PYTHON -m pip install\n",
    "build/bin/sage-pip-uninstall": "sage-flock -x $LOCK $PYTHON -m pip uninstall\n",
    "build/bin/sage-spkg-uninstall": "from sage_bootstrap.uninstall import run\nrun()\n",
    "build/bin/sage-dist-helpers": (
        "set -o allexport\nsdh_die() {\n    exit 1\n}\nsdh_build_wheel() {\n    stock\n}\n"
        "sdh_actually_pip_install_wheel() {\n    stock\n}\nsdh_pip_uninstall() {\n    stock\n}\nset +o allexport\n"
    ),
    "build/bin/sage-spkg": (
        "install_scripts() {\n:\n}\npost_install() {\n:\n}\nunload_destdir() {\n"
        """    FILE_LIST="$(cd "$PREFIX" && find . -type f -o -type l | sed 's|^\\./||' | sort)"\n"""
        '    $SAGE_SUDO cp -Rp "$PREFIX/." "$SAGE_INST_LOCAL"'
        ' || exit_with_error_msg "Error moving files for $PKG_NAME."\n'
        "}\n"
    ),
    "src/bin/sage": (
        '#!/usr/bin/env bash\nif [ "$1" = \'-pip\' -o "$1" = \'--pip\' -o "$1" = "--pip3" ]; then\n    shift\n'
        '    exec python3 -m pip --disable-pip-version-check "$@"\nfi\n'
    ),
    "build/sage_bootstrap/__init__.py": "",
    # the genuine one runs scripts and deletes the files of the record; this one tells what it was called with
    "build/sage_bootstrap/uninstall.py": "import sys\ndef run():\n    print('genuine', sys.argv[1:])\n",
}


@pytest.fixture
def overlay(tmp_path: Path, checkout: Path) -> list[str]:
    """The command, from a checkout in which the tool was prepared from what is installed here."""
    copy = tmp_path / "checkout"
    shutil.copytree(checkout / "build", copy / "build", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(checkout / "pyproject.toml", copy)
    for name in TOOL:
        file = importlib.import_module(name).__file__
        assert file
        goal = copy / name if name == "sage_wheels" else copy / ".cache/tool-x" / name
        shutil.copytree(Path(file).parent, goal, ignore=shutil.ignore_patterns("__pycache__"))
    (copy / ".cache/tool-x/sage_wheels").symlink_to(copy / "sage_wheels")
    python = subprocess.run(
        [copy / "build/bin/sage-bootstrap-python", "-c", "import sys; print(sys.executable)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()
    (copy / ".cache/tool").write_text(f"python={python} tool=tool-x\n")
    return [str(copy / "build/overlay")]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "sage root"
    for path, text in STOCK.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
        os.utime(root / path, (1_600_000_000, 1_600_000_000))
    for script in (root / "build/bin").iterdir():
        script.chmod(0o755)
    (root / "build/bin/sage-dist-helpers").chmod(0o644)
    return root


def run(command: list[str], *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*command, *map(str, arguments)], capture_output=True, text=True, timeout=120)


def look(root: Path) -> dict[str, object]:
    """Every path with mode, time and content."""
    found: dict[str, object] = {}
    for path in root.rglob("*"):
        status = path.lstat()
        mtime = 0 if path.is_dir() else status.st_mtime_ns
        text = path.read_bytes() if path.is_file() else b""
        found[str(path.relative_to(root))] = stat.S_IMODE(status.st_mode), mtime, text
    return found


def test_it_goes_in_and_comes_out_byte_for_byte(overlay: list[str], root: Path) -> None:
    before = look(root)
    for _ in range(2):  # the second time it is brought up to date
        done = run(overlay, root)
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
    tool = Scripts(root)
    assert tool.run("sage-wheels", "--version", cwd=root).stdout.startswith("sage-wheels ")
    shutil.rmtree(Path(overlay[0]).parent.parent / "sage_wheels")  # nothing in the tree speaks of the checkout
    assert tool.run("sage-wheels", "list", "--help").returncode == 0
    script = "source build/bin/sage-dist-helpers; declare -f sdh_build_wheel sdh_die"
    functions = subprocess.run(["bash", "-c", script], cwd=root, capture_output=True, text=True, check=True).stdout
    assert "stock" not in functions
    assert "exit 1" in functions
    done = run(overlay, root, "--undo")
    assert done.returncode == 0, done.stderr
    assert look(root) == before
    assert run(overlay, root, "--undo").returncode == 0
    assert look(root) == before


@pytest.mark.parametrize("path", [path for path in STOCK if "sage_bootstrap" not in path])
def test_what_is_not_recognised_is_refused_whole(overlay: list[str], root: Path, path: str) -> None:
    for change in ("other",) if path == "src/bin/sage" else ("missing", "other"):
        (root / path).unlink() if change == "missing" else (root / path).write_text("something else\n")
        before = look(root)
        done = run(overlay, root)
        assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
        assert str(root) in done.stderr
        assert path.rsplit("/", 1)[-1] in done.stderr
        assert look(root) == before


@pytest.mark.parametrize("path", ["build/bin/sage-wheels", "build/lib"])
def test_a_file_that_is_in_the_way_is_refused(overlay: list[str], root: Path, path: str) -> None:
    (root / path).write_text("mine\n")
    before = look(root)
    assert run(overlay, root).returncode == 1
    assert look(root) == before


def test_what_was_edited_since_is_not_lost(overlay: list[str], root: Path) -> None:
    assert run(overlay, root).returncode == 0
    spkg = root / "build/bin/sage-spkg"
    ours = spkg.read_text()
    spkg.write_text(ours + "# mine\n")
    done = run(overlay, root, "--undo")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert str(spkg) in done.stderr
    spkg.write_text(ours)
    assert run(overlay, root, "--undo").returncode == 0


def test_what_git_has_put_back_is_no_edit(overlay: list[str], root: Path) -> None:
    before = look(root)
    for options in (["--undo"], [], ["--undo"]):
        assert run(overlay, root).returncode == 0
        for path in ("build/bin/sage-flock", "build/bin/sage-spkg"):
            (root / path).write_text(STOCK[path])
        done = run(overlay, root, *options)
        assert done.returncode == 0, done.stderr
    assert look(root) == before


def test_an_interrupt_takes_it_back_without_a_traceback(overlay: list[str], root: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    before = look(root)
    assert run(overlay, root).returncode == 0  # and the tool is ready
    assert run(overlay, root, "--undo").returncode == 0
    inject = ["-e", "trace=linkat", "-e", "inject=linkat:signal=INT:when=3"]
    done = run(["strace", "-f", "-qq", "-o", "/dev/null", *inject, *overlay], root)
    assert (done.returncode, done.stderr) == (130, "")
    assert look(root) == before


def test_what_the_system_refuses_is_told_in_a_sentence(overlay: list[str], root: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    before = look(root)
    inject = ["-e", "trace=linkat", "-e", "inject=linkat:error=EACCES:when=3"]
    done = run(["strace", "-f", "-qq", "-o", "/dev/null", *inject, *overlay], root)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "build/bin/sage-pip-install cannot be read or changed (Permission denied); " in done.stderr
    assert look(root) == before


@pytest.mark.parametrize("where", ["", "moved"])
def test_a_genuine_script_that_is_a_symbolic_link_comes_back(overlay: list[str], root: Path, where: str) -> None:
    """Also if what it leads to is no longer there."""
    flock, elsewhere = root / "build/bin/sage-flock", root / "build/elsewhere"
    flock.rename(elsewhere)
    flock.symlink_to("../elsewhere")
    before = os.readlink(flock)
    for _ in range(2):
        done = run(overlay, root)
        assert done.returncode == 0, done.stderr
    assert not flock.is_symlink()
    if where:
        elsewhere.rename(root / where)
    assert run(overlay, root, "--undo").returncode == 0
    assert os.readlink(flock) == before


def test_a_tree_that_is_refused_the_second_time_stays_as_it_is(overlay: list[str], root: Path) -> None:
    assert run(overlay, root).returncode == 0
    (root / "VERSION.txt").write_text("SageMath version 11.0, Release Date: 2030-01-01\n")
    before = look(root)
    done = run(overlay, root)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "VERSION.txt" in done.stderr
    assert look(root) == before


def test_every_user_may_read_what_is_put_there(overlay: list[str], root: Path) -> None:
    subprocess.run(["sh", "-c", 'umask 077; exec "$@"', "sh", *overlay, root], check=True, capture_output=True)
    made = [root / "build/lib", *(root / "build/lib").iterdir(), *(root / "build/sage-wheels").rglob("*")]
    assert [path for path in made if not path.is_symlink() and not path.stat().st_mode & stat.S_IROTH] == []


def test_one_that_was_interrupted_is_taken_back(overlay: list[str], root: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    before = look(root)
    run(overlay, root)
    run(overlay, root, "--undo")
    trace = ["strace", "-f", "-qq", "-o", str(root.parent / "trace"), "-e", "trace=rename,linkat"]
    assert run([*trace, *overlay], root).returncode == 0
    calls = (root.parent / "trace").read_text()
    renames, links = calls.count(" rename("), calls.count(" linkat(")
    run(overlay, root, "--undo")
    # Most renames are of byte-code; the last ones are of the scripts, after a link of each that is replaced.
    places = [("rename", number) for number in (1, 2, *range(renames - 12, renames + 1, 4))]
    for call, number in [*places, ("linkat", 1), ("linkat", links)]:
        inject = ["-e", f"inject={call}:signal=KILL:when={number}"]
        done = run([*trace, *inject, *overlay], root)
        assert done.returncode != 0
        assert run(overlay, root, "--undo").returncode == 0
        assert look(root) == before


def test_a_package_from_the_days_of_destdir_is_removed_as_what_it_is(
    overlay: list[str], root: Path, tmp_path: Path
) -> None:
    """Its record lists every file of the distribution, but not the byte-code that came later."""
    assert run(overlay, root).returncode == 0
    scripts = Scripts(root)
    tree = make_prefix(tmp_path, "tree")
    before = {path: entry for path, entry in snapshot(tree).items() if not path.startswith("var")}
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"pkg/__init__.py": "", "pkg/sub/mod.py": ""})
    stamp = tree / "var/lib/sage/installed/pkg-1.0"
    for upgrade in (True, False):
        assert scripts.run("sage-pip-install", "--no-compile", "--prefix", tree, wheel).returncode == 0
        library = site_packages(tree)
        listed = [str(path.relative_to(tree)) for path in library.rglob("*") if path.is_file()] + ["share/doc/pkg"]
        stamp.parent.mkdir(parents=True, exist_ok=True)
        stamp.write_text(json.dumps({"package_name": "pkg", "files": listed}))
        subprocess.run([sys.executable, "-m", "compileall", "-q", library], check=True)
        env = {"SAGE_DESTDIR": "/x"} if upgrade else {}
        done = scripts.run("sage-spkg-uninstall", "pkg", tree, env=env)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"genuine ['pkg', '{tree}']\n"
        assert json.loads(stamp.read_text())["files"] == ["share/doc/pkg"]
        if upgrade:  # it stays until the new version, which asks for this, takes its place
            assert names(tree) == ["pkg 1.0"]
            assert (tree / "var/lib/sage-wheels/superseded/pkg").read_text() == "pkg\n"
            stamp.unlink()  # as the genuine script does; the build fails, and the package is cleaned
            assert scripts.run("sage-spkg-uninstall", "pkg", tree).returncode == 0
        assert {path: entry for path, entry in snapshot(tree).items() if not path.startswith("var")} == before
        assert not list(tree.glob("var/lib/sage-wheels/superseded/*"))


def test_sage_pip_is_ours_and_keeps_what_belongs_to_the_distribution(
    overlay: list[str], root: Path, tmp_path: Path
) -> None:
    prefix = make_prefix(tmp_path / "venv")
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"pkg.py": ""})
    record = prefix / "var/lib/sage/scripts/pkg/spkg-requirements.txt"
    record.parent.mkdir(parents=True)
    record.write_text(f"pkg @ file://{wheel}\n")
    record.with_name("spkg-piprm").touch()
    assert run(overlay, root).returncode == 0
    run([str(root / "build/bin/sage-wheels")], "install", "--prefix", prefix, wheel)
    before = snapshot(prefix)
    environ = {**os.environ, "SAGE_ROOT": str(root), "SAGE_VENV": str(prefix)}
    sage = ["bash", str(root / "src/bin/sage"), "--pip"]
    done = subprocess.run([*sage, "uninstall", "-y", "pkg"], env=environ, capture_output=True, text=True)
    assert done.returncode == 1
    assert "belongs to the distribution (package pkg) and is kept; give --replace-distribution" in done.stderr
    assert snapshot(prefix) == before
    replacing = [*sage, "--isolated", "uninstall", "-y", "pkg", "--replace-distribution"]
    done = subprocess.run(replacing, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "  Successfully uninstalled pkg-1.0" in done.stdout
    assert not (site_packages(prefix) / "pkg.py").exists()


def test_other_packages_go_the_genuine_way(overlay: list[str], root: Path, tmp_path: Path) -> None:
    assert run(overlay, root).returncode == 0
    scripts = Scripts(root)
    (tmp_path / "local/var/lib/sage/installed").mkdir(parents=True)
    (tmp_path / "local/var/lib/sage/installed/zlib-1.3").write_text('{"files": ["lib/libz.so"]}')
    done = scripts.run("sage-spkg-uninstall", "--verbose", "zlib", tmp_path / "local")
    assert (done.returncode, done.stdout) == (0, f"genuine ['--verbose', 'zlib', '{tmp_path}/local']\n")
    assert scripts.run("sage-spkg-uninstall", "--help").stdout == "genuine ['--help']\n"
