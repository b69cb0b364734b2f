"""What happens side by side in a parallel make (sagemath #18438, #26083, #29585). Promise 6."""

from __future__ import annotations

import os
import shutil
import subprocess
import sysconfig
import threading
from pathlib import Path

import pytest

from support.pythons import base_python, begin_to_copy_in
from support.run import names, python
from support.trees import leftovers, make_prefix, site_packages, snapshot
from support.wheels import make_wheel

from .conftest import Scripts


def all_at_once(scripts: Scripts, commands: list[tuple[str | Path, ...]]) -> None:
    processes = [scripts.start(str(name), *rest, stderr=subprocess.PIPE) for name, *rest in commands]
    for process in processes:
        _, err = process.communicate(timeout=300)
        assert process.returncode == 0, err


@pytest.mark.once
def test_namespace_packages_installed_side_by_side(scripts: Scripts, prefix: Path, wheelhouse: Path) -> None:
    """Eight distributions that bring one and the same `backports/__init__.py`, over and over."""
    before = snapshot(prefix)
    every = range(8)
    for number in every:
        files = {"backports/__init__.py": "", f"backports/p{number}/__init__.py": f"n = {number}\n"}
        make_wheel(wheelhouse, f"backports.p{number}", "1", files)
    for _ in range(6):
        all_at_once(scripts, [("sage-pip-install", f"backports.p{number}") for number in every])
        program = f"import importlib; print([importlib.import_module(f'backports.p{{n}}').n for n in {every}])"
        assert python(prefix, program) == str(list(every))
        halves = [("sage-pip-uninstall", f"backports.p{number}") for number in every if number % 2]
        again = [("sage-pip-install", f"backports.p{number}") for number in every if not number % 2]
        all_at_once(scripts, [*halves, *again])
        assert len(names(prefix)) == 4
        all_at_once(scripts, [("sage-pip-uninstall", f"backports.p{number}") for number in every])
        assert snapshot(prefix) == before
        assert leftovers(prefix) == []


def test_staged_trees_and_wheels_side_by_side(scripts: Scripts, prefix: Path, wheelhouse: Path, tmp_path: Path) -> None:
    """What sage-spkg copies and what is installed goes into the same directories at the same time."""
    every = range(6)
    for number in every:
        make_wheel(wheelhouse, f"p{number}", "1", {f"p{number}.py": ""}, data={f"data/share/doc/p{number}": "p"})
        staged = tmp_path / f"inst{number}"
        for path in (f"lib/pkgconfig/{number}.pc", f"share/doc/{number}/README", f"etc/new/deep/{number}"):
            (staged / path).parent.mkdir(parents=True, exist_ok=True)
            (staged / path).write_text(str(number))
    moves = [("sage-move-tree", tmp_path / f"inst{number}", prefix) for number in every]
    all_at_once(scripts, [*moves, *(("sage-pip-install", f"p{number}") for number in every)])
    assert sorted(path.name for path in (prefix / "etc/new/deep").iterdir()) == [str(number) for number in every]
    assert len(list((prefix / "share/doc").iterdir())) == 12
    assert len(names(prefix)) == 6


@pytest.mark.once
def test_importing_a_package_in_a_loop_while_it_is_reinstalled(
    scripts: Scripts, prefix: Path, wheelhouse: Path
) -> None:
    """Other packages build with setuptools while setuptools is upgraded, by sage-spkg: old record out, new wheel in."""
    modules = {f"setuptools/m{number}.py": f"value = {number}\n" for number in range(60)}
    for version in ("1.0", "2.0"):
        start = f"version = {version!r}\n" + "".join(f"from . import m{number}\n" for number in range(60))
        files = {"setuptools/__init__.py": start, "pkg_resources/__init__.py": "import setuptools\n", **modules}
        make_wheel(wheelhouse, "setuptools", version, files)
    assert scripts.run("sage-pip-install", "setuptools<2").returncode == 0
    program = (
        "import sys\n"
        "for line in sys.stdin:\n"
        "    for name in [n for n in sys.modules if n.split('.')[0] in ('setuptools', 'pkg_resources')]:\n"
        "        del sys.modules[name]\n"
        "    import importlib; importlib.invalidate_caches()\n"
        "    import pkg_resources, setuptools\n"
        "    print(setuptools.version, flush=True)\n"
    )
    looker = subprocess.Popen(
        [prefix / "bin/python", "-I", "-B", "-c", program], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert looker.stdin
    assert looker.stdout
    seen: list[str] = []
    done = threading.Event()

    def look() -> None:
        assert looker.stdin
        assert looker.stdout
        while not done.is_set():
            looker.stdin.write("\n")
            looker.stdin.flush()
            seen.append(looker.stdout.readline().strip())

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for number in range(20):
            wanted = "setuptools<2" if number % 2 else "setuptools>=2"
            assert scripts.run("sage-pip-install", wanted).returncode == 0
    finally:
        done.set()
        looker_alive = looker.poll() is None
        thread.join()
        looker.communicate()
    assert looker_alive
    assert len(seen) > 20
    assert set(seen) == {"1.0", "2.0"}


@pytest.mark.slow
def test_everything_works_while_the_prefixs_python_is_copied_in(scripts: Scripts, tmp_path: Path) -> None:
    """bin/python first, the standard library last, file by file: a state that lasts for seconds in every build."""
    root = tmp_path / "local"
    wheels = tmp_path / "wheels"
    lock = root / "var/lib/sage-wheels/lock"
    env = {"SAGE_VENV": str(root), "SAGE_LOCAL": str(root), "SAGE_SPKG_WHEELS": str(wheels)}
    env["PATH"] = f"{root}/bin:{os.environ['PATH']}"
    make_wheel(wheels, "always", "1", {"always.py": ""}, entry_points={"always": "always:main"})
    make_wheel(wheels, "often", "1", {"often/__init__.py": ""})

    def everything_works(number: int) -> None:
        staged = tmp_path / "inst" / "share"
        staged.mkdir(parents=True)
        (staged / str(number)).touch()
        commands: list[tuple[str | Path, ...]] = [
            ("sage-flock", lock, "true"),
            ("sage-bootstrap-python", "-c", "import json"),
            ("sage-pip-install", "--quiet", "often", *wheels.glob("always-*.whl")),
            ("sage-move-tree", staged.parent, root),
            ("sage-pip-uninstall", "--quiet", "often"),
            ("sage-pip-uninstall", "--quiet", "always"),
            ("sage-wheels", "list"),
        ]
        for name, *arguments in commands:
            done = scripts.run(str(name), *arguments, env=env)
            assert done.returncode == 0, (name, done.stderr)

    standard = Path(sysconfig.get_path("stdlib"))
    library = begin_to_copy_in(root, base_python(), standard)
    assert subprocess.run([root / "bin" / "python3", "-c", ""], capture_output=True).returncode != 0
    everything_works(0)
    entries = sorted(path for path in standard.iterdir() if path.suffix == ".py")
    step = len(entries) // 6
    for number, entry in enumerate(entries):
        shutil.copy(entry, library)
        if number % step == 0:
            everything_works(number + 1)
    assert names(root) == []
    assert not list(site_packages(root).iterdir())


def test_the_prefix_may_have_no_python_at_all(scripts: Scripts, tmp_path: Path, wheelhouse: Path) -> None:
    prefix = make_prefix(tmp_path)
    for name in ("python", "python3"):
        (prefix / "bin" / name).unlink()
    make_wheel(wheelhouse, "pkg", "1", {"pkg.py": ""})
    done = scripts.run("sage-pip-install", "--prefix", prefix, wheelhouse / "pkg-1-py3-none-any.whl")
    assert done.returncode == 0, done.stderr
    assert scripts.run("sage-pip-uninstall", "--prefix", prefix, "pkg").returncode == 0
