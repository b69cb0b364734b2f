"""What goes wrong side by side with Sage's own scripts, and does not with ours (sagemath #18438, #26083, #29585).

Every scenario is a round that says what went wrong. With Sage's own scripts it is repeated until something does, which
shows that the scenario is one; with ours as often as those were given the chance, and nothing may go wrong.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support.pythons import begin_to_copy_in
from support.wheels import make_wheel

from .conftest import GENUINE, OURS, Sage

pytestmark = [*GENUINE, pytest.mark.slow]


class Contender:
    """The tree with one of the two kinds of scripts."""

    def __init__(self, sage: Sage, stock: bool) -> None:
        self.sage, self.stock = sage, stock

    def over_and_over(self, one_round: Callable[[], str], rounds: int, expected: str) -> None:
        """What goes wrong with the stock scripts has to match `expected`: it is not to be some other mishap."""
        wrong = next(filter(None, (one_round() for _ in range(rounds))), "")
        if self.stock:
            assert wrong, f"the stock scripts did not fail in {rounds} tries"
            assert re.search(expected, wrong), wrong
        else:
            assert not wrong, wrong


@pytest.fixture(scope="module", params=["stock", "ours"])
def contender(tree: Sage, request: pytest.FixtureRequest) -> Contender:
    stock = request.param == "stock"
    tree.overlay(*["--undo"] * stock)
    tree.make("setuptools", "wheel")
    return Contender(tree, stock)


@pytest.fixture
def sage(contender: Contender) -> Iterator[Sage]:
    yield contender.sage
    contender.sage.remove_packages()
    shutil.rmtree(contender.sage.library / "backports", ignore_errors=True)


def test_namespace_packages_copied_side_by_side(contender: Contender, sage: Sage) -> None:
    """`cp: cannot create regular file '.../backports/__init__.py': File exists` (#29585).

    With that one file the stock scripts failed in 3 of 100 rounds; there are a hundred more, to save time.
    """
    packages = [f"p{number}" for number in range(8)]
    common = ["backports/__init__.py", *(f"backports/common/m{number}.py" for number in range(100))]
    for name in packages:
        sage.add_package(name, "1.0", "true")

    def one_round() -> str:
        shutil.rmtree(sage.library / "backports", ignore_errors=True)
        for name in packages:
            staged = sage.venv / f"var/tmp/sage/build/{OURS}{name}-1.0/inst{sage.library}"
            for path in (*common, f"backports/{name}.py"):
                (staged / path).parent.mkdir(parents=True, exist_ok=True)
                (staged / path).touch()
        commands = [("sage-spkg", "--post-install-only", f"{OURS}{name}-1.0", sage.venv) for name in packages]
        for said in failures([sage.start(*command) for command in commands]):
            return said
        missing = [path for path in common if not (sage.library / path).exists()]
        return f"missing: {missing}" if missing else ""

    contender.over_and_over(one_round, 12, r"cp: cannot create .*: File exists")


def test_namespace_packages_installed_side_by_side(contender: Contender, sage: Sage, tmp_path: Path) -> None:
    """While others are installed again, the file that it shares with them is there for one that nobody touches."""
    for number in range(9):
        files = {"backports/__init__.py": "", f"backports/p{number}.py": ""}
        make_wheel(tmp_path, f"backports.p{number}", "1.0", files)
    env = {"SAGE_SPKG_WHEELS": str(tmp_path)}
    names = [f"backports.p{number}" for number in range(9)]
    done = sage.run("sage-pip-install", *names, env=env)
    assert done.returncode == 0, done.stdout
    shared = sage.library / "backports/__init__.py"
    script = '. "$SAGE_ROOT/build/bin/sage-dist-helpers"; sdh_actually_pip_install_wheel "$1" "$1"'  # as spkg-pipinst

    def one_round() -> str:
        processes = [sage.start("bash", "-c", script, "-", name, env=env) for name in names[1:]]
        gone = False
        while any(process.poll() is None for process in processes):
            gone = gone or not shared.exists()
            time.sleep(0.001)
        return next(failures(processes), "backports/__init__.py was gone for a while" if gone else "")

    contender.over_and_over(one_round, 5, r"was gone|Retrying, adding|No such file")
    done = sage.run("sage-pip-uninstall", *names, env=env)
    assert done.returncode == 0, done.stdout
    assert contender.stock or not shared.parent.exists()


def failures(processes: list[subprocess.Popen[str]]) -> Iterator[str]:
    """What those of `processes` say that fail, or would fail without a second try."""
    for process, said in [(process, process.communicate(timeout=300)[0]) for process in processes]:
        if process.returncode or "Retrying" in said:
            yield said


def test_the_lock_is_held(contender: Contender, sage: Sage, tmp_path: Path) -> None:
    """The stock script opens the lock file such that it is closed, and the lock gone, when the command starts."""
    inside = tmp_path / "inside"
    lock = tmp_path / "lock"
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stderr": subprocess.PIPE}

    def one_round() -> str:
        enter = f"mkdir '{inside}' || exit 9"
        first = sage.start("sage-flock", "-x", lock, "sh", "-c", f"{enter}; echo in; read _; rmdir '{inside}'", **pipes)
        assert first.stdout
        assert first.stdout.readline() == "in\n"
        second = sage.start("sage-flock", "-x", lock, "sh", "-c", f"{enter}; rmdir '{inside}'", **pipes)
        assert second.stderr
        select.select([second.stderr], [], [], 60)  # it runs, and says that it finds the first one inside; or it waits
        first.communicate("\n", timeout=60)
        _, said = second.communicate(timeout=60)
        assert second.returncode in (0, 9), said
        return "two commands ran under one lock" if second.returncode else ""

    contender.over_and_over(one_round, 20, "two commands")


def test_commands_work_while_the_prefixs_python_is_copied_in(contender: Contender, sage: Sage, tmp_path: Path) -> None:
    """bin/python first, the standard library last, file by file (#26083)."""
    python = Path(os.path.realpath(sage.venv / "bin/python3"))
    standard = Path(sage.python("import sysconfig; print(sysconfig.get_path('stdlib'))"))
    root = tmp_path / "local"
    library = begin_to_copy_in(root, python, standard)
    requirements = tmp_path / "spkg-requirements.txt"
    requirements.write_text(f"trial @ file://{make_wheel(tmp_path, 'trial', '1.0', {'trial.py': ''})}\n")
    [pip] = sage.venv.glob("var/lib/sage/wheels/pip-*.whl")
    env = {"SAGE_VENV": str(root), "SAGE_SPKG_WHEELS": str(tmp_path), "PYTHONPATH": str(pip)}
    env["PATH"] = f"{sage.root}/build/bin:{root}/bin:/usr/bin:/bin"
    commands = (
        ("sage-flock", root / "var/lock/trial.lock", "true"),
        ("sage-bootstrap-python", "-c", "import json"),
        ("sage-pip-install", "-r", requirements),
        ("sage-pip-uninstall", "-r", requirements),
        ("sage-spkg-uninstall", "trial", root),
    )

    def all_commands() -> str:
        for command in commands:
            done = sage.run(*command, env=env)
            if done.returncode:
                return f"{command[0]}: {done.stdout}"
        return ""

    ignored = ("os.py", "EXTERNALLY-MANAGED", "site-packages", "dist-packages", "__pycache__", "test")
    entries = sorted(path for path in standard.iterdir() if path.name not in ignored)
    steps = 8
    chunks = iter([entries[step::steps] for step in range(steps)])

    def copy_some() -> None:
        for path in next(chunks, ()):
            shutil.copytree(path, library / path.name) if path.is_dir() else shutil.copy(path, library)

    def one_round() -> str:
        wrong = all_commands()
        copy_some()
        return wrong

    contender.over_and_over(one_round, steps, r"(?s)sage-pip-install: .*No module named")
    for _ in range(steps):
        copy_some()
    assert all_commands() == ""  # it was for want of the library


def test_setuptools_is_imported_while_it_is_installed_again(contender: Contender, sage: Sage, tmp_path: Path) -> None:
    """sage-spkg uninstalls before it builds; others build with setuptools meanwhile."""
    enough = tmp_path / "enough"
    program = (
        "import importlib, os, sys\n"
        "count = 0\n"
        "while not os.path.exists(sys.argv[1]):\n"
        "    for name in [n for n in sys.modules if n.partition('.')[0] in ('setuptools', 'pkg_resources')]:\n"
        "        del sys.modules[name]\n"
        "    importlib.invalidate_caches()\n"
        "    import setuptools\n"
        "    count += 1\n"
        "    if count == 1: print('begun', flush=True)\n"
    )
    errors = tmp_path / "errors"

    def one_round() -> str:
        enough.unlink(missing_ok=True)
        with errors.open("w") as f:
            looker = sage.start(sage.venv / "bin/python3", "-I", "-B", "-c", program, enough, stderr=f)
        assert looker.stdout
        assert looker.stdout.readline() == "begun\n"
        try:
            sage.make("setuptools-no-deps")
        finally:
            enough.touch()
            looker.communicate(timeout=60)
        return errors.read_text() if looker.returncode else ""

    contender.over_and_over(one_round, 3, r"No module named 'setuptools|ImportError|FileNotFoundError")
