"""The Sage library of Sage 11.0.beta1, reduced to a few modules, with build/overlay: built in place by meson."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import GENUINE_TODAY, Sage

pytestmark = GENUINE_TODAY

NOTHING = "ninja: no work to do."
AGAIN = "is configured again: "


class Library:
    """The Sage library in a tree."""

    def __init__(self, sage: Sage) -> None:
        self.sage = sage
        self.build = sage.root / "build/sage-distro"
        self.source = sage.root / "src/sage/cpython"

    def make(self, editable: bool) -> str:
        """`make sagelib`; the log of it."""
        self.sage.make("sagelib-no-deps", SAGE_EDITABLE="yes" if editable else "no")
        return self.sage.spkg_log("sagelib")

    def start(self, editable: bool) -> subprocess.Popen[str]:
        environment = {**self.sage.environment, "V": "0", "MAKE": "make -j2"}
        environment["SAGE_EDITABLE"] = "yes" if editable else "no"
        return subprocess.Popen(
            ["./install", "sagelib-no-deps"],
            cwd=self.sage.root / "build/make",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def kill_while_it_compiles(self, editable: bool) -> None:
        process = self.start(editable)
        log = self.build / ".ninja_log"
        deadline = time.monotonic() + 300
        while not (log.exists() and log.read_text().count("\n") > 2):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline, "it does not begin to compile"
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()

    def sage_b(self) -> subprocess.CompletedProcess[str]:
        command = [str(self.sage.root / "sage"), "-b"]
        return subprocess.run(
            command, env=self.sage.environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )

    def edit(self, value: str) -> None:
        """Let string.pyx, which is compiled, say `value`."""
        path = self.source / "string.pyx"
        text = re.sub(r"\n\ntrial_value = .*\n", "", path.read_text())
        path.write_text(f"{text}\n\ntrial_value = {value!r}\n")

    def value(self) -> str:
        return self.sage.python("import sage.cpython.string as s; print(s.trial_value)")

    def place(self) -> Path:
        """Where a compiled module comes from."""
        return Path(self.sage.python("import sage.cpython.string as s; print(s.__file__)"))


@pytest.fixture(scope="module")
def library(today: Sage) -> Iterator[Library]:
    today.overlay()
    today.make("meson_python", "pkgconfig", "platformdirs", "setuptools")
    [cython] = (today.work / "wheels").glob("cython-*.whl")
    done = today.run("sage-wheels", "install", f"--prefix={today.venv}", cython)
    assert done.returncode == 0, done.stdout
    jupyter = today.venv / "bin/jupyter"  # 20 packages would bring it
    jupyter.write_text("#!/bin/sh\n")
    jupyter.chmod(0o755)
    library = Library(today)
    edited = library.source / "string.pyx"
    genuine = edited.read_bytes()
    yield library
    edited.write_bytes(genuine)


@pytest.fixture(
    scope="module",
    params=[pytest.param(True, marks=pytest.mark.slow), pytest.param(False, marks=pytest.mark.slow)],
    ids=["editable", "regular"],
)
def editable(request: pytest.FixtureRequest) -> bool:
    kind: bool = request.param
    return kind


def test_in_place(library: Library) -> None:
    """The short one of these."""
    library.make(editable=False)
    assert library.place().is_relative_to(library.sage.library)
    library.edit("in place")
    assert NOTHING not in library.make(editable=False)
    assert library.value() == "in place"
    assert NOTHING in library.make(editable=False)
    library.sage.make("sagelib-clean")
    assert not list(library.sage.library.glob("*sage*"))


class TestOneKind:
    """In this order."""

    def test_from_nothing(self, library: Library, editable: bool) -> None:
        library.make(editable)
        assert library.place().is_relative_to(library.build if editable else library.sage.library)

    def test_again_nothing_is_compiled(self, library: Library, editable: bool) -> None:
        said = library.make(editable)
        assert NOTHING in said
        assert AGAIN not in said

    def test_an_edit(self, library: Library, editable: bool) -> None:
        library.edit("one")
        done = library.sage_b()
        assert done.returncode == 0, done.stdout
        assert NOTHING not in done.stdout
        assert NOTHING in library.sage_b().stdout
        assert NOTHING in library.make(editable)
        assert library.value() == "one"
        library.edit("two")
        assert NOTHING not in library.make(editable)
        assert library.value() == "two"

    def test_sage_config_is_what_meson_has_made(self, library: Library, editable: bool) -> None:
        config = Path(library.sage.python("import sage.config; print(sage.config.__file__)"))
        assert config.read_bytes() == (library.build / "src/sage/config.py").read_bytes()
        assert f'"{library.sage.root}' in config.read_text(), "MESON_SOURCE_ROOT, or EDITABLE_SRC before 11.0"

    def test_imports_beside_builds(self, library: Library, editable: bool) -> None:
        """sagemath/sage#41065: each import of an editable library starts ninja."""
        program = "import sage.cpython.string; print('it')"
        python = str(library.sage.venv / "bin/python3")
        make = library.start(editable)
        (library.sage.root / "meson.build").touch()
        imports = [library.sage.start(python, "-I", "-B", "-c", program) for _ in range(8)]
        build = library.sage.start(library.sage.root / "sage", "-b")
        document = library.sage.start("make", "-C", library.sage.root / "src/doc", "doc-html")
        for each in (make, *imports, build, document):
            said = each.communicate(timeout=600)[0]
            assert each.returncode == 0, said
            assert "already using this build directory" not in said
        for each in imports:
            assert each.returncode == 0
        assert (library.build / "src/index.html").exists()

    def test_a_killed_build(self, library: Library, editable: bool) -> None:
        shutil.rmtree(library.build)
        library.kill_while_it_compiles(editable)
        library.edit("after the kill")
        library.make(editable)
        assert library.value() == "after the kill"
        assert NOTHING in library.make(editable)

    def test_a_meson_that_was_killed_while_it_configured(self, library: Library, editable: bool) -> None:
        """sagemath/sage#41804: it leaves that file empty, and fails for ever."""
        (library.build / "meson-private/cmd_line.txt").write_text("")
        said = library.make(editable)
        assert said.count(f"sage-wheels: {library.build} {AGAIN}") == 1
        assert NOTHING in said
        assert AGAIN not in library.make(editable)

    def test_uninstalling_keeps_the_build_directory(self, library: Library, editable: bool) -> None:
        library.sage.make("sagelib-uninstall")
        assert library.build.is_dir()
        assert not list(library.sage.library.glob("*sage*"))
        assert NOTHING in library.make(editable)
        library.sage.make("sagelib-clean")
        assert not list(library.sage.library.glob("*sage*"))


@pytest.mark.slow
def test_from_editable_to_regular_and_back(library: Library) -> None:
    for editable in (True, False, True):
        library.make(editable)
        assert library.place().is_relative_to(library.build if editable else library.sage.library)
        loaders = list(library.sage.library.glob("*editable*"))
        assert bool(loaders) == editable, loaders


@pytest.mark.slow
def test_the_top_makefile_cleans_the_build_directory(library: Library) -> None:
    library.make(editable=False)
    subprocess.run(
        ["make", "sagelib-clean"], cwd=library.sage.root, env=library.sage.environment, check=True, capture_output=True
    )
    assert not library.build.exists()
    library.make(editable=True)
    assert library.place().is_relative_to(library.build)
