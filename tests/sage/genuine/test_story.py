"""A day of a developer of Sage 11.0.beta1, in its genuine tree."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.wheels import make_wheel

from .conftest import GENUINE_TODAY, Sage
from .test_sagelib import NOTHING, Library, library

pytestmark = [*GENUINE_TODAY, pytest.mark.slow]
__all__ = ("library",)  # a fixture

IN_GIT = ("VERSION.txt", "build/bin", "build/sage_bootstrap", "build/pkgs/six", "src/bin", "src/doc/Makefile")


@pytest.fixture
def repository(today: Sage) -> Iterator[Path]:
    """The tree as a checkout of its release, with a branch of another one; afterwards as it was."""
    today.overlay("--undo")
    git(today.root, "init", "-q", "-b", "release")
    (today.root / ".git/info/exclude").write_text("*.orig\n__pycache__\n")
    git(today.root, "add", "-f", *IN_GIT)
    git(today.root, "commit", "-q", "-m", "this release")
    git(today.root, "checkout", "-q", "-b", "next")
    version, flock = today.root / "VERSION.txt", today.root / "build/bin/sage-flock"
    version.write_text("12.0\n")
    flock.write_text(flock.read_text() + "# the next release says more about it\n")
    git(today.root, "commit", "-q", "-a", "-m", "12.0")
    git(today.root, "checkout", "-q", "release")
    yield today.root
    today.overlay("--undo")
    git(today.root, "checkout", "-q", "-f", "release")
    subprocess.run(["rm", "-rf", today.root / ".git"], check=True)


def git(root: Path, *arguments: str) -> str:
    settings = ("-c", "user.name=Somebody", "-c", "user.email=somebody@example.org")
    done = subprocess.run(["git", *settings, "-C", root, *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_day(library: Library, repository: Path, tmp_path: Path) -> None:
    sage = library.sage
    sage.overlay()
    sage.make("six", "cycler", "platformdirs")
    assert (repository / "VERSION.txt").read_text() != "12.0\n"

    # the library, an edit, sage -b
    library.make(editable=True)
    library.edit("in the morning")
    done = library.sage_b()
    assert done.returncode == 0, done.stdout
    assert library.value() == "in the morning"

    # make is killed while it builds
    process = subprocess.Popen(
        ["./install", "cycler-no-deps", "six-no-deps"],
        cwd=repository / "build/make",
        env={**sage.environment, "V": "0", "MAKE": "make -j2"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    log = next(repository.glob("logs/pkgs/cycler-*.log"))
    begun = log.stat().st_mtime_ns
    deadline = time.monotonic() + 120
    while log.stat().st_mtime_ns == begun and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert sage.python("import cycler, six; print('it')") == "it"  # what was there stays until the new one is whole

    # make again
    sage.make("cycler-no-deps", "six-no-deps")
    assert sage.run("sage-wheels", "verify", "cycler", "six").returncode == 0

    # sage --pip install of something of one's own
    own = make_wheel(tmp_path, "trial_own", "1.0", {"trial_own.py": "value = 7\n"})
    done = sage.run(repository / "sage", "--pip", "install", "--no-index", own)
    assert done.returncode == 0, done.stdout
    assert sage.python("import trial_own; print(trial_own.value)") == "7"
    listed = sage.run("sage-wheels", "list").stdout
    assert re.search(r"^trial_own 1\.0 +sage-wheels *$", listed, re.MULTILINE), listed

    # another release, with the overlay out and in
    sage.overlay("--undo")
    assert git(repository, "status", "--porcelain", "--untracked-files=no") == ""
    git(repository, "switch", "-q", "next")
    sage.overlay()
    assert is_in(sage)
    sage.make("six-no-deps")
    sage.make("six-clean")
    sage.make("six-no-deps")
    assert NOTHING in library.make(editable=True)
    assert library.value() == "in the morning"
    assert sage.python("import six, trial_own; print('both')") == "both"
    done = sage.run(repository / "sage", "--pip", "uninstall", "-y", "trial_own")
    assert done.returncode == 0, done.stdout

    # back, with the overlay in: git puts back the genuine scripts, and they work beside those that it does not know
    git(repository, "checkout", "-q", "-f", "release")
    assert not is_in(sage)
    sage.make("six-no-deps")
    assert "Successfully installed six" in sage.spkg_log("six")
    sage.overlay()
    assert is_in(sage)
    sage.make("six-no-deps")
    assert "Successfully installed" not in sage.spkg_log("six")
    assert sage.run("sage-wheels", "verify", "six").returncode == 0
    assert library.value() == "in the morning"
    sage.overlay("--undo")
    assert git(repository, "status", "--porcelain", "--untracked-files=no") == ""


def is_in(sage: Sage) -> bool:
    """Whether the whole overlay is in the tree."""
    said = sage.run(sage.checkout / "build/overlay", sage.root, "--status").stdout
    return said.rstrip().endswith(f"is in {sage.root}")
