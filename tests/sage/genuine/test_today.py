"""A slice of the packages of Sage 11.0.beta1 in its genuine tree, with build/overlay."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from .conftest import GENUINE_TODAY, Sage

pytestmark = GENUINE_TODAY


@pytest.fixture(scope="module")
def sage(today: Sage) -> Sage:
    today.overlay()
    return today


def test_the_slice(sage: Sage) -> None:
    """Wheels, isolated sdists, meson-python without isolation, a package of SAGE_LOCAL that is built against."""
    said = sage.make("meson_python", "pexpect", "cycler", "kiwisolver", "tomli_w", "six")
    assert "error" not in said
    assert sage.python("import pexpect, cycler, kiwisolver, six, mesonpy, tomli_w; print('all')") == "all"
    assert "without isolation, because" not in sage.spkg_log("kiwisolver")
    assert list(sage.root.glob("local/var/lib/sage/wheels/tomli_w-*.whl"))
    listed = sage.run("sage-wheels", "list").stdout
    assert {"package tomli_w", "package six"} <= {
        line.partition("sage-wheels")[2].strip() for line in listed.splitlines()
    }


def test_the_platform_wheel_of_many(sage: Sage) -> None:
    """rpds_py has 56; nothing of it is compiled, and no Python of the prefix is asked."""
    sage.make("rpds_py-no-deps")
    assert ".whl" in "".join(line for line in sage.spkg_log("rpds_py").splitlines() if "rpds_py-" in line)
    assert "building" not in sage.spkg_log("rpds_py")
    assert sage.python("import rpds; print(len(rpds.HashTrieMap()))") == "0"


@pytest.mark.parametrize("shell", ["--sh", "--buildsh"])
def test_the_shells_of_sage_know_the_command(sage: Sage, shell: str) -> None:
    """docs/sage.md says so, and what to type elsewhere."""
    sage.make("six")
    command = [str(sage.root / "sage"), shell, "-c", "sage-wheels list"]
    done = subprocess.run(command, env=sage.environment, capture_output=True, text=True)
    assert " package six\n" in done.stdout, done.stderr
    elsewhere = [str(sage.root / "build/bin/sage-wheels"), "list", "--prefix", "venv"]
    again = subprocess.run(elsewhere, cwd=sage.root, env=sage.environment, capture_output=True, text=True)
    assert again.stdout == done.stdout, again.stderr


def test_clean_leaves_nothing(sage: Sage) -> None:
    sage.make("six", "tomli_w")
    said = sage.make("six-clean", "tomli_w-clean")
    assert "arning" not in said
    assert not [*sage.library.glob("six*"), *sage.library.glob("tomli_w*")]
    for place in ("installed", "scripts", "wheels"):
        assert not list(sage.root.glob(f"local/var/lib/sage/{place}/tomli_w*"))


class Broken:
    """The virtual environment while each of its Pythons, and the one that it was made from, fails."""

    def __init__(self, sage: Sage) -> None:
        self.venv = sage.venv
        self.kept = sage.work / "kept"
        self.ran = sage.work / "ran"

    def __enter__(self) -> Broken:
        shutil.rmtree(self.kept, ignore_errors=True)
        self.ran.unlink(missing_ok=True)
        self.kept.mkdir()
        settings = self.venv / "pyvenv.cfg"
        shutil.copy(settings, self.kept)
        home = self.kept / "home"
        home.mkdir()
        for python in list((self.venv / "bin").glob("python*")):
            python.rename(self.kept / python.name)
            for place in (python, home / python.name):
                place.write_text(f'#!/bin/sh\necho "$0" >>"{self.ran}"\nexit 1\n')
                place.chmod(0o755)
        lines = settings.read_text().splitlines()
        settings.write_text("\n".join(f"home = {home}" if line.startswith("home") else line for line in lines))
        return self

    def __exit__(self, *_: object) -> None:
        for python in self.kept.glob("python*"):
            python.rename(self.venv / "bin" / python.name)
        shutil.copy(self.kept / "pyvenv.cfg", self.venv)
        shutil.rmtree(self.kept)


def test_no_tool_of_the_build_runs_on_the_prefixs_python(sage: Sage) -> None:
    """sagemath/sage#18201, #26083: that may be half installed."""
    sage.make("six", "rpds_py-no-deps", "typing_extensions")
    sage.make("rpds_py-clean", "typing_extensions-clean")
    shutil.rmtree(sage.venv / "var/tmp/sage/build/sage-wheels", ignore_errors=True)
    for place in sage.venv.glob("var/lib/sage-wheels/cache*"):
        shutil.rmtree(place)
    with Broken(sage) as broken:
        sage.make("six-clean")
        for package in ("six", "rpds_py", "typing_extensions"):
            sage.make(f"{package}-no-deps")
            sage.make(f"{package}-no-deps")  # over itself
        # only we have tried it, for byte-code: none of the tools, which go by PATH
        tried = broken.ran.read_text().split() if broken.ran.exists() else []
        assert {each for each in tried if str(sage.venv) in each} == set()
    for module in ("six", "rpds", "typing_extensions"):
        sage.python(f"import {module}")
    said = [line for line in sage.spkg_log("typing_extensions").splitlines() if "has no byte-code" in line]
    assert len(said) <= 1
    sage.make("six-clean")  # not in one make with the next, which would do both at once
    sage.make("six-no-deps")
    assert "has no byte-code" not in sage.spkg_log("six")


@pytest.mark.slow
def test_without_one_file_of_ours_everything_works_or_says_what_to_run(sage: Sage, tmp_path: Path) -> None:
    """As in tests/sage/test_overlay.py, where each script is run by itself."""
    sage.make("six")
    added = json.loads((sage.root / "build/sage-wheels/overlay.json").read_text())["added"]
    environment = {**sage.environment, "V": "0", "MAKE": "make"}
    failed = set()
    for path in ["build/sage-wheels", *added]:
        sage.make("six")
        (sage.root / path).rename(tmp_path / "aside")
        for command in (
            ["./install", "six-clean"],
            ["./install", "six"],
            [str(sage.root / "sage"), "--pip", "--version"],
        ):
            for log in sage.root.glob("logs/pkgs/six-*.log"):  # what earlier ones said would be shown again
                log.unlink()
            done = subprocess.run(
                command, cwd=sage.root / "build/make", env=environment, capture_output=True, text=True, timeout=300
            )
            said = done.stdout + done.stderr
            assert "Traceback" not in said, (path, command, said)
            if done.returncode:
                assert "in part: " in said, (path, command, said)
                assert "build/overlay" in said, (path, command, said)
                failed.add(path)
        (tmp_path / "aside").rename(sage.root / path)
    assert "build/bin/sage-wheels" in failed
    sage.make("six", "six-clean")
