"""A build whose disk gets full, or dies, while it writes: a write(2) below its directories fails, by strace.

What the operations of `test_commands_fail` are to names, this is to contents: Python tells of no write. A half of the
writes is tried each time; which, and with what error, follows from the seed that is printed. FAULT_SEED repeats that,
and with FAULT_ERRORS=1 it is all of them.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from support.chance import ALL_FAULTS, faults
from support.projects import COPYING, make_tree
from support.puppet import import_path
from support.sandboxes import no_sandbox
from support.trees import difference, snapshot
from support.wheels import make_wheel

MAIN = "import sys; from sage_wheels.cli import main; sys.exit(main())"
WHEEL = "made-1-py3-none-any.whl"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A source tree, and the wheelhouse with its backend."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    if subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode:
        pytest.skip("strace may not trace here")
    make_wheel(tmp_path / "tree", "made", "1", {"made.py": "x = 1\n"})
    (tmp_path / "tree/pyproject.toml").write_text('[build-system]\nrequires = ["tiny"]\nbuild-backend = "tiny"\n')
    make_wheel(tmp_path / "house", "tiny", "1", {"tiny.py": COPYING}, entry_points={"tiny": "tiny:main"})
    (tmp_path / "tmp").mkdir()
    return tmp_path


def build(root: Path, *strace: str) -> subprocess.CompletedProcess[str]:
    for each in ("cache", "dist"):
        shutil.rmtree(root / each, ignore_errors=True)
    return again(root, *strace)


def again(root: Path, *strace: str) -> subprocess.CompletedProcess[str]:
    options = [f"--{name}={root}/{path}" for name, path in (("cache-dir", "cache"), ("wheel-dir", "dist"))]
    command = [sys.executable, "-B", "-c", MAIN, "build", *options, f"--find-links={root}/house", f"{root}/tree/"]
    environ = {**os.environ, "PYTHONPATH": import_path(), "TMPDIR": f"{root}/tmp"}
    tracing = ["strace", "-qq", "-y", "-o", f"{root}/trace", "-e", "trace=write,copy_file_range,sendfile", *strace]
    return subprocess.run([*tracing, *command], capture_output=True, text=True, env=environ, cwd="/")


class Write(NamedTuple):
    """A system call that writes: its name, which one of that name it is, and its line in the trace."""

    call: str
    ordinal: int
    line: str


def writes(root: Path) -> list[Write]:
    """Those of the build that was traced last which write below its directories."""
    counts: dict[str, int] = {}
    found = []
    for line in (root / "trace").read_text(errors="replace").splitlines():
        call = line.partition("(")[0]
        counts[call] = counts.get(call, 0) + 1
        if re.search(rf"<{root}/(cache|dist|tmp)[^>]*>", line):
            found.append(Write(call, counts[call], line))
    return found


def check_what_is_said(root: Path, done: subprocess.CompletedProcess[str], where: str) -> None:
    """One sentence that names the place, or success."""
    assert done.returncode in (0, 1), where
    if done.returncode:
        sentence = done.stderr.splitlines()[0]
        assert sentence.startswith("sage-wheels: error: "), where
        assert str(root) in sentence, where
        assert "Traceback" not in done.stderr, where


def check_what_is_left(root: Path, done: subprocess.CompletedProcess[str], where: str) -> None:
    """The wheel, or nothing; no temporary file, and of a build that failed nothing but the lock of its directory."""
    made = os.listdir(root / "dist") if (root / "dist").exists() else []
    assert made in ([], [WHEEL]), where
    assert done.returncode or made, where
    assert os.listdir(root / "tmp") == [], where
    assert not done.returncode or sorted(os.listdir(root / "cache/build")) == ["tree.lock"], where


def test_a_write_of_a_build_fails(root: Path) -> None:
    chance = faults()
    assert build(root).returncode == 0
    wheel, tree = (root / "dist" / WHEEL).read_bytes(), snapshot(root / "tree")
    found = writes(root)
    assert len(found) > 10
    tried = found if ALL_FAULTS else chance.sample(found, len(found) // 2)
    failed = 0
    for each in tried:
        error = chance.choice(["ENOSPC", "EIO"])
        done = build(root, "-e", f"inject={each.call}:error={error}:when={each.ordinal}")
        where = f"{error}: {each.line}: {done}"
        check_what_is_said(root, done, where)
        check_what_is_left(root, done, where)
        assert again(root).returncode == 0, where
        assert (root / "dist" / WHEEL).read_bytes() == wheel, where
        failed += done.returncode
    assert difference(tree, snapshot(root / "tree")) == []
    print(f"{failed} of {len(tried)} writes that failed made the build fail")
    assert failed


@pytest.mark.skipif(bool(no_sandbox()), reason=no_sandbox() or "there are sandboxes")
@pytest.mark.parametrize("grows", ["in the copy", "in the backend", "in a compiler"])
def test_a_disk_that_is_too_small_for_the_build(tmp_path: Path, grows: str) -> None:
    """The message names the option that lets the build be elsewhere, and with it the build succeeds."""
    small, elsewhere = tmp_path / "small", tmp_path / "elsewhere"
    for each in (small, elsewhere):
        each.mkdir()
    hook = {
        "in the copy": "",
        "in the backend": "open('out', 'wb').write(bytes(8 << 20))\n",
        "in a compiler": "import subprocess\nsubprocess.run('head -c 8M /dev/zero > out', shell=True, check=True)\n",
    }[grows]
    tree = make_tree(tmp_path / "tree", "hello", "1.0")
    (tree / "hook.py").write_text(hook)
    if not hook:
        (tree / "data").write_bytes(os.urandom(8 << 20))
    mount = ["bwrap", "--dev-bind", "/", "/", "--size", str(4 << 20), "--tmpfs", str(small), "--"]
    where = ["--cache-dir", f"{small}/cache", "-w", f"{tmp_path}/dist"]
    command = [sys.executable, "-c", MAIN, "build", *where, f"{tree}/"]
    environ = {**os.environ, "PYTHONPATH": import_path()}

    def run(*options: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([*mount, *command, *options], capture_output=True, text=True, env=environ, check=False)

    failed = run()
    assert failed.returncode == 1
    [line] = [line for line in failed.stderr.splitlines() if line.startswith("sage-wheels: error: ")]
    assert "(No space left on device)" in line
    assert "free some space there, or name a directory for builds on another disk with --usual-build-dir" in line
    done = run("--usual-build-dir", str(elsewhere))
    assert done.returncode == 0, done.stderr
