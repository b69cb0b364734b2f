"""Inputs outside of the source that a real compiler or CMake reads: each is changed, and a wheel shows the change.

Most are from reports about other caches: an object or a wheel was taken although a file that it depends on had changed.
Promise 8.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.building import parse_source
from sage_wheels.building.inputs import absolute, directories, interpreter, machine
from sage_wheels.building.project import explain
from support.inputs import Project

pytestmark = [
    pytest.mark.skipif(not all(map(shutil.which, ("cc", "make", "ar"))), reason="needs a C compiler, make and ar"),
    pytest.mark.once,
]
needs_cmake = pytest.mark.skipif(not shutil.which("cmake"), reason="needs CMake")
OF_MAKE = """
import ctypes, subprocess
done = subprocess.run(["make", "answer.so"], capture_output=True, text=True)
about["v"] = ctypes.CDLL("./answer.so").answer() if done.returncode == 0 else done.stderr
"""
OF_CMAKE = """
import ctypes, subprocess
for command in (["cmake", "-S", ".", "-B", "made"], ["cmake", "--build", "made"]):
    subprocess.run(command, check=True)
about["v"] = ctypes.CDLL("./made/libanswer.so").answer()
"""
OF_SETUP = f"""
import runpy
os.environ["MORE"] = "-I" + runpy.run_path("setup.py")["INCLUDE"]
{OF_MAKE}
"""
SOURCE = """
#ifndef ANSWER
#include <answer.h>
#endif
int answer(void) { return ANSWER; }
"""
OF_LIBRARY = "int other(void);\nint answer(void) { return other(); }\n"
MAKEFILE = "answer.so: answer.c\n\t$(CC) $(CFLAGS) $(MORE) -shared -fPIC -o $@ answer.c $(LIBS)\n"
CMAKE = "cmake_minimum_required(VERSION 3.15)\nproject(x C)\n%s\nadd_library(answer SHARED answer.c)\n"


class Elsewhere(Project):
    """A project that compiles, and a header `answer.h` in the directory `where`."""

    def __init__(self, top: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(top, monkeypatch)
        self.options = self.options._replace(cache_system=None)
        self.write(SOURCE)
        self.hook(OF_MAKE)
        self.where = self.tree.parent / "common"

    def write(self, source: str, makefile: str = MAKEFILE) -> None:
        (self.tree / "answer.c").write_text(source)
        (self.tree / "Makefile").write_text(makefile)

    def answers(self, number: int, name: str = "answer.h") -> None:
        self.where.mkdir(parents=True, exist_ok=True)
        (self.where / name).write_text(f"#define ANSWER {number}\n")

    def says(self, source: Path | None = None) -> tuple[str, bool]:
        """What the wheel says, and whether it came from the store."""
        built = self.build(source)
        return self.about_of(built).rpartition("'v': ")[2].rstrip("}"), built.is_stored

    def check(self, change: Callable[[], object], source: Path | None = None) -> None:
        """Before `change` the wheel says 1, after it 2, each time built once; and it is said what has changed."""
        assert [self.says(source), self.says(source)] == [("1", False), ("1", True)]
        change()
        assert explain(parse_source(str(source or self.tree)), self.options).differences
        assert [self.says(source), self.says(source)] == [("2", False), ("2", True)]

    def check_header(self, name: str = "answer.h", source: Path | None = None) -> None:
        self.check(lambda: self.answers(2, name), source)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Elsewhere:
    made = Elsewhere(tmp_path, monkeypatch)
    made.answers(1)
    return made


@pytest.mark.parametrize("option", ["-I../common", "-isystem../common", "-iquote ../common -I ../common", "-I.."])
def test_an_option_in_a_makefile(project: Elsewhere, option: str) -> None:
    if option == "-I..":
        project.where = project.tree.parent
        project.answers(1)
    project.write(SOURCE, MAKEFILE.replace("$(MORE)", option))
    project.check_header()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CFLAGS", "-O1 -I../common"),
        ("CFLAGS", "-I .."),
        ("CFLAGS", "-DX=1 -include ../common/answer.h"),
        ("CPATH", "../common"),
        ("CPATH", "/nowhere:.."),
    ],
)
def test_a_variable(project: Elsewhere, monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    """The backend runs in the copy, above which are links to what is above the tree."""
    if value.endswith(".."):
        project.where = project.tree.parent
        project.answers(1)
    monkeypatch.setenv(name, value)
    project.check_header()


@pytest.mark.parametrize(
    "path",
    [
        "os.path.join('..', 'common')",
        'os.path.join(os.pardir, "common")',
        "os.path.join(os.path.dirname(os.getcwd()), 'common', '.')",
        "os.path.dirname(os.getcwd()) + '/' + (lambda common: 'com' + 'mon')(0)\n# from common import x",
    ],
)
def test_a_directory_above_that_a_build_file_names(project: Elsewhere, path: str) -> None:
    (project.tree / "setup.py").write_text(f"import os\nINCLUDE = {path}\n")
    project.hook(OF_SETUP)
    project.check_header()
    (project.tree.parent / "docs").mkdir()  # which it does not name
    assert project.says() == ("2", True)
    project.answers(3)
    told = explain(parse_source(str(project.tree)), project.options).differences
    assert told == ["what is in ../common/ was changed"]


@needs_cmake
@pytest.mark.parametrize(
    "above",
    [
        "get_filename_component(TOP ${CMAKE_CURRENT_SOURCE_DIR} DIRECTORY)",
        'get_filename_component(TOP "${CMAKE_CURRENT_LIST_DIR}" PATH)',
        "cmake_path(GET CMAKE_CURRENT_SOURCE_DIR PARENT_PATH TOP)",
    ],
)
def test_a_directory_above_that_cmake_computes(project: Elsewhere, above: str) -> None:
    (project.tree / "CMakeLists.txt").write_text(
        CMAKE.replace("3.15", "3.20") % f"{above}\ninclude_directories(${{TOP}}/common)"
    )
    project.hook(OF_CMAKE)
    project.check_header()


@needs_cmake
def test_a_package_of_cmake_beside_a_program(project: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """find_package() looks beside each `bin` on PATH."""
    root = project.top / "opt" / "foo"
    project.where = root / "include"
    project.answers(1)
    (root / "bin").mkdir()
    (root / "lib" / "cmake" / "Foo").mkdir(parents=True)
    (root / "lib" / "cmake" / "Foo" / "FooConfig.cmake").write_text(
        'get_filename_component(Foo_TOP "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)\n'
    )
    (project.tree / "CMakeLists.txt").write_text(
        CMAKE % "find_package(Foo REQUIRED)\ninclude_directories(${Foo_TOP}/include)"
    )
    project.hook(OF_CMAKE)
    monkeypatch.setenv("PATH", f"{root / 'bin'}:{os.environ['PATH']}")
    project.check_header()


@pytest.mark.parametrize("option", ["--include-directory={}", "--include-directory {}", "-idirafter {}", "-Wp,-I{}"])
def test_an_option_for_headers(project: Elsewhere, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    monkeypatch.setenv("CFLAGS", option.format(project.where))
    project.check_header()


@pytest.mark.parametrize(
    "option",
    [
        "-L{} -lother",
        "--library-directory={} -lother",
        "-Wl,--library-path={} -lother",
        "-Wl,--library-path,{} -lother",
        "-Wl,-L,{} -lother",
        "-Wl,--whole-archive,{}/libother.a,--no-whole-archive",
    ],
)
def test_an_option_for_libraries(project: Elsewhere, monkeypatch: pytest.MonkeyPatch, option: str) -> None:
    def library(answer: int) -> None:
        (project.where / "other.c").write_text(f"int other(void) {{ return {answer}; }}\n")
        for command in (["cc", "-fPIC", "-c", "other.c"], ["ar", "rc", "libother.a", "other.o"]):
            subprocess.run(command, check=True, cwd=project.where)

    library(1)
    project.write(OF_LIBRARY)
    monkeypatch.setenv("LIBS", option.format(project.where))
    project.check(lambda: library(2))


@pytest.mark.parametrize(
    "option", ["-L native=/x/y", "-L dependency=/x/y", "-C link-arg=-L/x/y", "-fprofile-use=/x/y", "-F/x/y"]
)
def test_other_options_with_a_directory(option: str) -> None:
    assert directories.named({"FLAGS": f"-O2 {option}"}, [], []).whole == {"/x/y"}


@pytest.mark.parametrize("is_compiled", [False, True])
def test_what_a_header_of_an_option_includes(
    project: Elsewhere, monkeypatch: pytest.MonkeyPatch, is_compiled: bool
) -> None:
    (project.where / "config.h").write_text('#include "answer.h"\n')
    monkeypatch.setenv("CFLAGS", f"-include {project.where}/config.h")
    if not is_compiled:
        project.check_header()
        return

    def change() -> None:
        project.answers(2, "other.h")
        subprocess.run(
            ["cc", "-shared", "-fPIC", "other.h", "-o", "config.h.gch"], check=True, cwd=project.where
        )  # the compiler takes it instead of config.h

    project.check(change)


@needs_cmake
def test_what_a_toolchain_file_includes(project: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    (project.where / "own.cmake").write_text("include(${CMAKE_CURRENT_LIST_DIR}/common.cmake)\n")

    def answer(number: int) -> None:
        (project.where / "common.cmake").write_text(f"add_compile_definitions(ANSWER={number})\n")

    answer(1)
    (project.tree / "CMakeLists.txt").write_text(CMAKE % "")
    project.hook(OF_CMAKE)
    monkeypatch.setenv("CMAKE_TOOLCHAIN_FILE", f"{project.where}/own.cmake")
    project.check(lambda: answer(2))


@pytest.mark.parametrize("name", [".cargo/config.toml", "rust-toolchain"])
def test_the_settings_of_cargo_above_a_package(project: Elsewhere, name: str) -> None:
    (project.tree / "Cargo.toml").write_text('[package]\nname = "x"\n')
    settings = project.tree.parent / name
    settings.parent.mkdir(exist_ok=True)
    settings.write_text("1")
    project.hook(f"about['v'] = int(open('../{name}').read())")
    project.check(lambda: settings.write_text("2"))


@pytest.mark.parametrize(("source", "made"), [("x.pxd", "x.c"), ("x.pxi", "x.c"), ("y.y", "y.tab.c"), ("y.l", "y.c")])
def test_which_is_newer(project: Elsewhere, source: str, made: str) -> None:
    """Cython and make generate again what is older than its source, whatever the content."""
    for name in {"x.pyx", source, made}:
        (project.tree / name).touch()
        os.utime(project.tree / name, (1000, 2000 if name == made else 1000))
    project.hook(f"about['v'] = 1 + (os.stat({source!r}).st_mtime > os.stat({made!r}).st_mtime)")
    project.check(lambda: os.utime(project.tree / source, (1000, 3000)))


def test_the_options_of_the_interpreter(project: Elsewhere, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Python may have been configured with -I and -L; setuptools passes them on to each compiler."""
    facts = interpreter.facts
    monkeypatch.setattr(interpreter, "facts", lambda *given: {**facts(*given), "options": f"cc -I{project.where}"})
    project.hook(f"os.environ['MORE'] = '-I{project.where}'\n{OF_MAKE}")
    project.check_header()


def test_what_the_package_manager_keeps_is_not_looked_through(
    project: Elsewhere, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The interpreter's options may name /usr/lib, with tens of thousands of files; the list of packages tells them."""
    facts, tree, looked_at = interpreter.facts, machine.tree, []

    def look(top: str, *more: Any) -> str:
        looked_at.append(top)
        return tree(top, *more)

    monkeypatch.setattr(
        interpreter,
        "facts",
        lambda *given: {**facts(*given), "options": f"-I/usr/include -L/usr/lib -I{project.where}"},
    )
    monkeypatch.setattr(machine, "tree", look)
    project.build()
    assert str(project.where) in looked_at
    assert not any(map(directories.is_managed, looked_at))


def absolute_in(project: Elsewhere, how: str) -> None:
    """Let the tree name `where` by its absolute path."""
    where = project.where
    if how == "include":
        project.write(f'#include "{where}/answer.h"\nint answer(void) {{ return ANSWER; }}\n')
    elif how == "make":
        project.write(SOURCE, MAKEFILE.replace("$(MORE)", f"-I{where}"))
    elif how == "cmake":
        (project.tree / "CMakeLists.txt").write_text(CMAKE % f"include_directories({where})")
        project.hook(OF_CMAKE)
    else:
        (project.tree / "setup.py").write_text(f"INCLUDE = '{where.parent}' + '/include'\n")
        project.hook(OF_SETUP)


@pytest.mark.parametrize("is_sdist", [False, True])
@pytest.mark.parametrize("how", ["include", "make", pytest.param("cmake", marks=needs_cmake), "setup"])
def test_an_absolute_path(project: Elsewhere, how: str, is_sdist: bool) -> None:
    project.where = project.top / "opt" / "include"
    project.answers(1)
    absolute_in(project, how)
    source = None
    if is_sdist:
        source = project.top / "hello-1.0.tar.gz"
        with tarfile.open(source, "w:gz") as archive:
            archive.add(project.tree, "hello-1.0")
    project.check_header(source=source)


@pytest.mark.parametrize("home", ["$(HOME)", "${HOME}"])
def test_a_path_in_the_home(project: Elsewhere, home: str) -> None:
    project.where = project.home / "opt"
    project.answers(1)
    project.write(SOURCE, MAKEFILE.replace("$(MORE)", f"-I{home}/opt"))
    project.check_header()


def test_the_bytes_of_a_file_that_an_assembler_reads(project: Elsewhere) -> None:
    data = project.where / "answer.bin"
    data.write_bytes(b"\1")
    project.write(
        f'__asm__(".data\\n.globl of_file\\nof_file: .incbin \\"{data}\\"\\n.text\\n");\n'
        '__attribute__((visibility("hidden"))) extern char of_file;\nint answer(void) { return of_file; }\n'
    )
    project.check(lambda: data.write_bytes(b"\2"))


def test_absolute_paths_that_do_not_count(project: Elsewhere) -> None:
    """What is in the tree, what it is in, what a program opens when it runs, and what is not there."""
    log = project.where / "log.h"
    log.touch()
    project.write(f'#define ANSWER 1\nchar *path = "{log}";\n{SOURCE}')
    (project.tree / "setup.py").write_text(
        f"A = ['{project.tree}/made', '{project.top}', '/nowhere/at-all', 'https://example.org/opt/x']\n"
    )
    assert project.says() == ("1", False)
    log.write_text("x")
    (project.top / "new").touch()
    assert project.says() == ("1", True)


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        (
            "Makefile",
            "all:\n\tcc -I/opt/a/b -L$(TOP)/c/d /opt/e/f.a # http://g.h/i/j k/l/m\n",
            {"/opt/a/b", "/opt/e/f.a"},
        ),
        ("CMakeLists.txt", "x(/opt/a/b ${TOP}/c/d)\nset(E /usr/lib/f /usr/local/g/h /proc/x/y)", {"/opt/a/b"}),
        ("pyproject.toml", 'requires = ["x @ file:///opt/a/b.whl", "y @ https://c.d/e/f.whl"]', {"/opt/a/b.whl"}),
        ("setup.py", "x = expanduser('~/a/b'); y = 'c~/d'", {"~/a/b"}),
        ("Makefile", "x: $(HOME)/a ${HOME}/b $(HOMES)/c $HOME/d\n", {"~/a", "~/b"}),
        ("x.cmake", "include_directories($ENV{HOME}/a/b)", {"~/a/b"}),
        ("x.pyx", "cdef extern from '/opt/a.h':\n    pass\n", {"/opt/a.h"}),
        ("x.rs", 'const A: &str = include_str!("/opt/a.txt"); open("/opt/b.txt")', {"/opt/a.txt"}),
        ("README.md", "See /opt/a/b", set()),
    ],
)
def test_which_absolute_paths_are_named(name: str, text: str, expected: set[str]) -> None:
    assert set(absolute.named_in(name, text.encode())) == expected


def test_graphics_processors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An extension of CUDA is compiled for those of this machine."""
    monkeypatch.setattr(machine, "_GRAPHICS", str(tmp_path))
    none = machine.processor()
    information = tmp_path / "0000:01:00.0" / "information"
    information.parent.mkdir()
    information.write_text("Model: \t NVIDIA A100\nIRQ: 1\n")
    one = machine.processor()
    information.write_text("Model: \t NVIDIA A100\nIRQ: 2\n")
    assert none != one == machine.processor()


def test_files_that_are_named_beside_a_file_end(tmp_path: Path) -> None:
    """Two files may include each other, and a directory may have any number of files."""
    (tmp_path / "a.h").write_text('#include "b.h"\n')
    (tmp_path / "b.h").write_text('#include "a.h"\n#include "c.h"\n')
    (tmp_path / "c.h").write_text("".join(f'#include "x{number}.h"\n' for number in range(1000)))
    found = machine.named_files({"CFLAGS": f"-include {tmp_path}/a.h"}, [], [], {})
    assert set(found) == {f"{tmp_path}/{name}.h" for name in "abc"}
