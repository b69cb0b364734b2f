"""build/bin/sage-ninja: ninja under the lock of the build directory, and the builds in place that hold that lock."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support.run import names
from support.trees import make_prefix

from .conftest import Scripts
from .test_dist_helpers import Spkg, sources

# Says what it was started with, and ends when somebody has written into the pipe `go`, if there is one.
NINJA = """#!/bin/sh
echo "ninja $*, MAKEFLAGS=${MAKEFLAGS-none}, holds=${SAGE_WHEELS_HOLDS-none}" >>"$LOG"
[ ! -p "$GO" ] || read -r word <"$GO"
echo end >>"$LOG"
"""


class Ninja:
    """A copy of the script, as the functions for package scripts make it, and a ninja that it finds."""

    def __init__(self, directory: Path, checkout: Path) -> None:
        self.program, self.log, self.go = directory / "ninja-of-ours", directory / "log", directory / "go"
        self.locks, self.build = directory / "locks", directory / "build dir"
        self.build.mkdir()
        text = (checkout / "build/bin/sage-ninja").read_text()
        self.program.write_text(text.replace("@PYTHON@", sys.executable).replace("@LOCKS@", str(self.locks)))
        real = directory / "bin/ninja"
        real.parent.mkdir()
        real.write_text(NINJA)
        for program in (self.program, real):
            program.chmod(0o755)
        self.environment = {"PATH": f"{real.parent}:/usr/bin:/bin", "LOG": str(self.log), "GO": str(self.go)}

    @property
    def lock(self) -> Path:
        status = self.build.stat()
        return self.locks / f"in-place/{status.st_dev}-{status.st_ino}.lock"

    def start(self, *arguments: str, **variables: str) -> subprocess.Popen[str]:
        command = [str(self.program), "-C", str(self.build), *arguments]
        return subprocess.Popen(command, env={**self.environment, **variables}, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments: str, **variables: str) -> int:
        process = self.start(*arguments, **variables)
        process.communicate(timeout=60)
        return process.returncode

    def said(self) -> list[str]:
        return self.log.read_text().splitlines()


@pytest.fixture
def ninja(tmp_path: Path, checkout: Path) -> Ninja:
    return Ninja(tmp_path, checkout)


def test_it_is_ninja_with_the_same_words_and_without_a_jobserver(ninja: Ninja) -> None:
    assert ninja.run("doc-html", "-v", MAKEFLAGS="k -j4 --jobserver-auth=3,4") == 0
    holds = ninja.lock.name.removesuffix(".lock")
    assert ninja.said() == [f"ninja -C {ninja.build} doc-html -v, MAKEFLAGS=k, holds={holds}", "end"]


def test_two_in_one_directory_run_one_after_the_other(ninja: Ninja) -> None:
    os.mkfifo(ninja.go)
    first = ninja.start("one")
    with open(ninja.go, "w") as go:  # opens once the first one reads
        second = ninja.start("two")
        assert second.stderr
        assert "waiting for another build that uses" in second.stderr.readline()
        assert len(ninja.said()) == 1
        print("go", file=go)
    first.communicate(timeout=60)
    with open(ninja.go, "w") as go:
        print("go", file=go)
    second.communicate(timeout=60)
    assert (first.returncode, second.returncode) == (0, 0)
    assert [line.split(",")[0].rpartition(" ")[2] for line in ninja.said()] == ["one", "end", "two", "end"]


def test_what_its_holder_starts_does_not_wait(ninja: Ninja) -> None:
    ninja.lock.parent.mkdir(parents=True)
    with open(ninja.lock, "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        assert ninja.run(SAGE_WHEELS_HOLDS=ninja.lock.name.removesuffix(".lock")) == 0
    assert len(ninja.said()) == 2


def test_who_may_not_write_the_directory_builds_nothing(checkout: Path) -> None:
    system = "/usr/bin/python3"
    if os.geteuid() or not shutil.which("setpriv") or not os.access(system, os.X_OK):
        pytest.skip("only root can try another user, with setpriv and a Python of the system")
    with tempfile.TemporaryDirectory() as name:  # others may enter this one
        os.chmod(name, 0o755)
        ninja = Ninja(Path(name), checkout)
        ninja.program.write_text(ninja.program.read_text().replace(sys.executable, system))
        user = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
        command = [*user, str(ninja.program)]
        done = subprocess.run(command, cwd=ninja.build, env=ninja.environment, capture_output=True)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
        command += ["-C", str(ninja.build)]  # as `sage -b`, which is not to succeed without a word
        done = subprocess.run(command, env=ninja.environment, capture_output=True)
        said = f"ninja: nothing is built, because you may not write to {ninja.build}\n".encode()
        assert (done.returncode, done.stdout, done.stderr) == (1, b"", said)
        assert not ninja.log.exists()


def test_it_finds_the_programs_of_its_prefix(ninja: Ninja, tmp_path: Path) -> None:
    state = tmp_path / "venv/var/lib/sage-wheels"
    state.mkdir(parents=True)
    ninja.program = ninja.program.rename(state / "ninja")
    real = tmp_path / "bin/ninja"
    real.write_text('#!/bin/sh\necho "$PATH" >>"$LOG"\n')
    path = f"{tmp_path}/bin:/usr/bin:/bin"
    assert ninja.run() == ninja.run(PATH=f"{path}:{tmp_path}/venv/bin") == 0
    assert ninja.said() == [f"{tmp_path}/venv/bin:{path}", f"{path}:{tmp_path}/venv/bin"]


def test_without_its_python_it_is_plain_ninja(ninja: Ninja) -> None:
    ninja.program.write_text(ninja.program.read_text().replace(sys.executable, "/not/there"))
    assert ninja.run("--version") == 0
    assert ninja.said()[0].startswith(f"ninja -C {ninja.build} --version")


def test_without_a_ninja_one_sentence_says_so(ninja: Ninja) -> None:
    (ninja.program.parent / "bin/ninja").unlink()
    text = ninja.program.read_text().replace(
        'DIRECTORIES = ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin")', "DIRECTORIES = ()"
    )
    ninja.program.write_text(text)
    assert ninja.run(PATH=str(ninja.build)) == 1


BACKEND_OF_A_BUILD_DIRECTORY = """
import os
from toy import *
from toy import build_wheel as build
def build_wheel(directory, settings=None, metadata=None):
    place = settings.get("build-dir") or settings["builddir"]
    os.makedirs(place, exist_ok=True)
    with open(os.path.join(place, "log"), "a") as f:
        print(os.getcwd(), os.environ.get("NINJA"), os.environ.get("SAGE_WHEELS_HOLDS"), file=f)
    return build(directory, settings, metadata)
build_editable = build_wheel
"""


@pytest.mark.parametrize(
    "words",
    [
        ". -C build-dir=build/mine",
        ". -Cbuild-dir=build/mine",
        "--config-settings=build-dir=build/mine .",
        ". --config-setting=build-dir=build/mine",
        ". --config-settings=builddir=build/mine",
        ". -C builddir=build/mine",
        ". -Cbuilddir=build/mine",
    ],
)
@pytest.mark.parametrize("function", ["sdh_pip_install --no-build-isolation", "sdh_pip_editable_install"])
def test_a_package_that_names_its_build_directory_is_built_there(
    scripts: Scripts, tmp_path: Path, function: str, words: str
) -> None:
    """sagemath/sage#36524: people give its short name as well, so that it stays."""
    if function == "sdh_pip_editable_install" and words.startswith("--"):
        pytest.skip("PATH is its first word")
    venv = make_prefix(tmp_path, "venv")
    tree = tmp_path / "library"
    sources(tree)
    (tree / "backend.py").rename(tree / "toy.py")
    (tree / "backend.py").write_text(BACKEND_OF_A_BUILD_DIRECTORY)
    spkg = Spkg(scripts, venv, "tree")
    spkg.prepare()
    for _ in range(2):
        assert spkg.bash(f"{function} {words}", tree) == 0, spkg.log
    assert names(venv) == ["tree 1.0"]
    lines = (tree / "build/mine/log").read_text().splitlines()
    status = (tree / "build/mine").stat()
    program = venv / "var/lib/sage-wheels/ninja"
    assert lines == [f"{tree} {program} {status.st_dev}-{status.st_ino}"] * 2
    assert os.access(program, os.X_OK)
    assert f'LOCKS = "{spkg.build.parent}/sage-wheels"' in program.read_text()
    assert (spkg.build.parent / f"sage-wheels/in-place/{status.st_dev}-{status.st_ino}.lock").exists()


@pytest.mark.parametrize("isolation", ["--build-isolation", "--no-build-isolation"])
def test_an_absolute_build_directory_stays_after_a_failure(scripts: Scripts, tmp_path: Path, isolation: str) -> None:
    """passagemath#2817: to see why it failed."""
    venv = make_prefix(tmp_path, "venv")
    spkg = Spkg(scripts, venv, "tree")
    spkg.prepare()
    tree, build = spkg.build / "src", tmp_path / "build dir"
    sources(tree)
    (tree / "backend.py").rename(tree / "toy.py")
    failing = BACKEND_OF_A_BUILD_DIRECTORY.replace("    return build(", "    not_there()\n    return build(")
    (tree / "backend.py").write_text(failing)
    script = f'sdh_pip_install {isolation} . --config-settings=build-dir="{build}"'
    assert spkg.bash(script, tree) != 0
    assert (build / "log").read_text().startswith(f"{tree} ")
    assert names(venv) == []
    (tree / "backend.py").write_text(BACKEND_OF_A_BUILD_DIRECTORY)
    assert spkg.bash(script, tree) == 0, spkg.log
    assert names(venv) == ["tree 1.0"]
    assert {line.split()[0] for line in (build / "log").read_text().splitlines()} == {str(tree)}
