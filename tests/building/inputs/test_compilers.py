"""Inputs that a real compiler sees: each is changed, and a wheel shows the change. Promise 8."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.building.inputs import machine
from sage_wheels.store.store import Store
from support.inputs import Project
from support.run import tool_environment
from support.sandboxes import no_sandbox

pytestmark = [
    pytest.mark.skipif(not all(map(shutil.which, ("cc", "make", "ar"))), reason="needs a C compiler, make and ar"),
    pytest.mark.once,
]
# The wheel has what the compiled function returns.
HOOK = """
import ctypes, subprocess
done = subprocess.run(["make", "answer.so"], capture_output=True, text=True)
about["v"] = ctypes.CDLL("./answer.so").answer() if done.returncode == 0 else "nothing was compiled"
"""
SOURCE = """
#ifndef ANSWER
#define ANSWER 1
#endif
int answer(void) { return ANSWER; }
"""
MAKEFILE = "answer.so: answer.c\n\t$(CC) $(CFLAGS) $(MORE) -shared -fPIC -o $@ answer.c $(LIBS)\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    made = Project(tmp_path, monkeypatch)
    made.options = made.options._replace(cache_system=None)
    made.hook(HOOK)
    write(made, SOURCE)
    return made


def write(project: Project, source: str, makefile: str = MAKEFILE) -> None:
    (project.tree / "answer.c").write_text(source)
    (project.tree / "Makefile").write_text(makefile)


def answers(project: Project, **more: Any) -> tuple[str, bool]:
    """What was compiled, and whether it came from the store."""
    built = project.build(**more)
    text = project.about_of(built)
    return text.rpartition("'v': ")[2].rstrip("}"), built.is_stored


def check_changes(project: Project, change: Any, before: str = "1", after: str = "2") -> None:
    """Before `change` the wheel says the one, after it the other, each time built once."""
    assert [answers(project), answers(project)] == [(before, False), (before, True)]
    change()
    assert [answers(project), answers(project)] == [(after, False), (after, True)]


def test_flags(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    check_changes(project, lambda: monkeypatch.setenv("CFLAGS", "-DANSWER=2"))


def test_definitions_for_make(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """`make CFLAGS=...` sets MAKEFLAGS for what it starts, this tool included."""
    check_changes(project, lambda: monkeypatch.setenv("MAKEFLAGS", " -- CFLAGS=-DANSWER=2"))
    monkeypatch.setenv("MAKEFLAGS", " -j3 -- CFLAGS=-DANSWER=2")
    assert answers(project) == ("2", True)


def test_a_header(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    include = project.top / "include"
    include.mkdir()
    monkeypatch.setenv("CPATH", str(include))
    write(project, "#include <of-a-test.h>\nint answer(void) { return ANSWER; }\n")
    (include / "of-a-test.h").write_text("#define ANSWER 1\n")
    check_changes(project, lambda: (include / "of-a-test.h").write_text("#define ANSWER 2\n"))


def test_a_header_above_the_tree(project: Project) -> None:
    """Without git, only the source says that it needs what is beside the tree; what it names may need more there."""
    core = project.tree.parent / "core"
    core.mkdir()
    (core / "answer.h").write_text('#include "deep.h"\n')
    (core / "deep.h").write_text('#include "../more/last.h"\n')
    (core.parent / "more").mkdir()
    (core.parent / "more" / "last.h").write_text("#define ANSWER 1\n")
    write(project, f'#include "../core/answer.h"\n{SOURCE}')
    check_changes(project, lambda: (core.parent / "more" / "last.h").write_text("#define ANSWER 2\n"))
    (core / "deep.h").write_text("#define ANSWER 3\n")
    assert [answers(project), answers(project)] == [("3", False), ("3", True)]


@pytest.mark.parametrize("is_directory", [False, True])
def test_a_header_that_a_link_leads_to(project: Project, monkeypatch: pytest.MonkeyPatch, is_directory: bool) -> None:
    """As in /usr/local of Homebrew and stow, whose files are elsewhere."""
    there, include = project.top / "package" / "a", project.top / "include"
    for each in (there, include):
        each.mkdir(parents=True)
    (there / "of-a-test.h").write_text("#define ANSWER 1\n")
    (there / "again").symlink_to(include)  # links in a circle
    name = "a" if is_directory else "of-a-test.h"
    (include / name).symlink_to(there if is_directory else there / "of-a-test.h")
    monkeypatch.setenv("CPATH", str(include))
    header = "a/of-a-test.h" if is_directory else "of-a-test.h"
    write(project, f"#include <{header}>\nint answer(void) {{ return ANSWER; }}\n")
    check_changes(project, lambda: (there / "of-a-test.h").write_text("#define ANSWER 2\n"))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MAKEFLAGS", " -- CFLAGS=-I{}"),
        ("MAKEFLAGS", " -- CFLAGS=-O0\\ -I{}\\ -I/nowhere"),
        ("CFLAGS", "-I'{}'"),
        ("CFLAGS", "'-I{}'"),
        ("CFLAGS", "-Wp,-I{},-P"),
        ("CFLAGS", "-I'{} with a blank'"),
        ("CFLAGS", "-I{}\\ with\\ a\\ blank"),
    ],
)
def test_a_directory_that_an_option_names(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    include = project.top / ("include with a blank" if "blank" in value else "include")
    include.mkdir()
    monkeypatch.setenv(name, value.format(project.top / "include"))
    write(project, "#include <of-a-test.h>\nint answer(void) { return ANSWER; }\n")
    (include / "of-a-test.h").write_text("#define ANSWER 1\n")
    check_changes(project, lambda: (include / "of-a-test.h").write_text("#define ANSWER 2\n"))


def test_a_directory_in_a_definition_in_a_setting(project: Project) -> None:
    """As `-C setup-args=-Dc_args=-I/somewhere` for meson-python."""
    include = project.top / "include"
    include.mkdir()
    project.hook(HOOK.replace('"answer.so"]', '"answer.so", "CFLAGS=" + about["settings"]["args"].partition("=")[2]]'))
    write(project, "#include <of-a-test.h>\nint answer(void) { return ANSWER; }\n")
    told = {"config_settings": {"args": f"-Dc_args=-I{include}"}}
    for answer in ("1", "2"):
        (include / "of-a-test.h").write_text(f"#define ANSWER {answer}\n")
        assert [answers(project, **told), answers(project, **told)] == [(answer, False), (answer, True)]


def test_a_library(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    where = project.top / "lib"
    where.mkdir()
    monkeypatch.setenv("LIBRARY_PATH", str(where))

    def make(number: int) -> None:
        (where / "number.c").write_text(f"int number(void) {{ return {number}; }}\n")
        subprocess.run(["cc", "-fPIC", "-c", "-o", "number.o", "number.c"], cwd=where, check=True)
        subprocess.run(["ar", "rc", "libnumber.a", "number.o"], cwd=where, check=True)

    write(project, "int number(void);\nint answer(void) { return number(); }\n", f"LIBS = -lnumber\n{MAKEFILE}")
    make(1)
    check_changes(project, lambda: make(2))


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="needs pkg-config")
def test_what_pkg_config_says(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    where = project.top / "pkgconfig"
    where.mkdir()
    monkeypatch.setenv("PKG_CONFIG_PATH", str(where))
    about = "Name: number\nDescription: number\nVersion: 1\nCflags: -DANSWER={}\n"
    write(project, SOURCE, f"MORE = $(shell pkg-config --cflags number)\n{MAKEFILE}")
    (where / "number.pc").write_text(about.format(1))
    check_changes(project, lambda: (where / "number.pc").write_text(about.format(2)))


@pytest.mark.skipif(not shutil.which("pkg-config"), reason="needs pkg-config")
@pytest.mark.parametrize("how", ["variable", "setting", "home", "root"])
def test_a_header_that_pkg_config_names(project: Project, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    where = project.home / ".local" / "lib" / "pkgconfig" if how == "home" else project.top / "lib" / "pkgconfig"
    include = project.top / "elsewhere" / "include" / "deep"
    for each in (where, include):
        each.mkdir(parents=True)
    told: dict[str, Any] = {}
    if how == "setting":
        told = {"config_settings": {"setup-args": f"-Dpkg_config_path={where}"}}
    elif how != "home":
        monkeypatch.setenv("PKG_CONFIG_PATH", str(where))
    there: Path | str = include.parent.parent
    if how == "root":
        monkeypatch.setenv("PKG_CONFIG_SYSROOT_DIR", str(project.top))
        there = "/elsewhere"
    about = "prefix={}\nincludedir=${{prefix}}/include\nName: number\nDescription: number\nVersion: 1\n"
    (where / "number.pc").write_text(about.format(there) + "Cflags: -I${includedir}\n")
    asked = f"PKG_CONFIG_PATH={where} pkg-config --cflags number"
    write(project, "#include <deep/x.h>\nint answer(void) { return ANSWER; }\n", f"MORE = $(shell {asked})\n{MAKEFILE}")
    for answer in ("1", "2"):
        (include / "x.h").write_text(f"#define ANSWER {answer}\n")
        assert [answers(project, **told), answers(project, **told)] == [(answer, False), (answer, True)]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("cmake.define.CMAKE_PREFIX_PATH", "/nowhere;{}"),
        ("cmake.define.Number_DIR", "{}"),
        ("cmake.args", "-DNumber_ROOT:PATH={}"),
        ("setup-args", "-Dcmake_prefix_path={}"),
        ("--build-option", "build_ext --include-dirs=/nowhere:{}"),
        ("--global-option", "-I/nowhere:{}"),
        ("cmake.define.CMAKE_C_FLAGS", "'-O2 -I{}'"),
        ("", "-DCMAKE_PREFIX_PATH={}"),
    ],
)
def test_a_directory_that_a_setting_names(
    project: Project, monkeypatch: pytest.MonkeyPatch, key: str, value: str
) -> None:
    """Or the variable CMAKE_ARGS."""
    place = project.top / "place"
    place.mkdir()
    told = {"config_settings": {key: value.format(place)}} if key else {}
    if not key:
        monkeypatch.setenv("CMAKE_ARGS", value.format(place))
    write(project, "#include <x.h>\nint answer(void) { return ANSWER; }\n", f"MORE = -I{place}\n{MAKEFILE}")
    for answer in ("1", "2"):
        (place / "x.h").write_text(f"#define ANSWER {answer}\n")
        assert [answers(project, **told), answers(project, **told)] == [(answer, False), (answer, True)]


def test_a_directory_that_the_users_settings_name(project: Project) -> None:
    place = project.top / "place"
    place.mkdir()
    (project.home / ".pydistutils.cfg").write_text(f"[build_ext]\ninclude_dirs = {place}\n")
    write(project, "#include <x.h>\nint answer(void) { return ANSWER; }\n", f"MORE = -I{place}\n{MAKEFILE}")
    (place / "x.h").write_text("#define ANSWER 1\n")
    check_changes(project, lambda: (place / "x.h").write_text("#define ANSWER 2\n"))


@pytest.mark.parametrize("options", ["{}", "-Wl,--no-undefined {}", "@{}.txt"])
def test_a_library_among_options(project: Project, monkeypatch: pytest.MonkeyPatch, options: str) -> None:
    library = project.top / "libdeep.a"
    (project.top / "libdeep.a.txt").write_text(str(library))

    def install(value: int) -> None:
        source = project.top / "deep.c"
        source.write_text(f"int deep(void) {{ return {value}; }}\n")
        subprocess.run(["cc", "-fPIC", "-c", source, "-o", source.with_suffix(".o")], check=True)
        library.unlink(missing_ok=True)
        subprocess.run(["ar", "rcs", library, source.with_suffix(".o")], check=True)
        (project.top / "libdeep.a.txt").write_text(f"{library} -L/nowhere{value}")

    monkeypatch.setenv("LIBS", options.format(library))
    write(project, "int deep(void);\nint answer(void) { return deep(); }\n")
    install(1)
    check_changes(project, lambda: install(2))


@pytest.mark.parametrize("how", ["path", "variable"])
def test_a_program_that_says_how_to_compile(project: Project, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    """As pg_config and llvm-config, which no package manager has put there."""
    directory = project.top / "pg" / "bin"
    directory.mkdir(parents=True)
    program = directory / "pg_config"

    def install(version: int) -> None:
        program.write_text(f"#!/bin/sh\n[ \"$1\" = --version ] && echo 'pg {version}' || echo -DANSWER={version}\n")
        program.chmod(0o755)

    if how == "path":
        monkeypatch.setenv("PATH", f"{directory}:{os.environ['PATH']}")
    else:
        monkeypatch.setenv("PG_CONFIG", str(program))
    write(project, SOURCE, f"MORE = $(shell {program} --cflags)\n{MAKEFILE}")
    install(1)
    check_changes(project, lambda: install(2))


def test_which_package_a_program_is_of(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """PATH may choose between the pg_config of two packages, and no list of packages says which one it has chosen."""
    places = [*Path("/usr/lib").glob("postgresql/*/bin/pg_config"), *Path("/usr/lib").glob("llvm-*/bin/llvm-config")]
    if not places:
        pytest.skip("no package has a pg_config or llvm-config outside of /usr/bin")
    store = Store(str(tmp_path / "store"))

    def seen(path: str) -> dict[str, str]:
        return machine.system({"PATH": path, "HOME": str(tmp_path)}, [], [], {}, store)

    first = str(places[0].parent)
    assert seen(f"{first}:/nowhere") != seen("/nowhere")
    if Path("/usr/bin", places[0].name).exists():
        assert seen(f"{first}:/usr/bin") != seen(f"/usr/bin:{first}") == seen("/usr/bin")


def test_what_update_alternatives_has_chosen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen, store = tmp_path / "alternatives", Store(str(tmp_path / "cache"))
    monkeypatch.setattr(machine, "_ALTERNATIVES", str(chosen))

    def seen() -> str | None:
        return machine.system({}, [], [], {}, store).get("alternatives")

    def choose(name: str, target: str) -> None:
        (tmp_path / "new").symlink_to(target)
        (tmp_path / "new").rename(chosen / name)

    assert seen() is None
    chosen.mkdir()
    (chosen / "README").touch()
    choose("editor", "/usr/bin/vim.basic")
    choose("mpicc.1.gz", "/usr/share/man/man1/mpicc.openmpi.1.gz")
    assert seen() is None
    for name, target in {
        "mpicc": "/usr/bin/mpicc.openmpi",
        "mpi": "/usr/lib/x86_64-linux-gnu/openmpi/include",
        "libblas.so-x86_64-linux-gnu": "/usr/lib/x86_64-linux-gnu/blas/libblas.so",
    }.items():
        before = seen()
        os.utime(chosen, ns=(0, 0))  # so that its time is another one soon afterwards
        choose(name, target)
        assert seen() not in (before, None)
        assert seen() == seen()


def test_settings_that_a_variable_names(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """As $MPLSETUPCFG for matplotlib."""
    settings = project.top / "setup.cfg"
    monkeypatch.setenv("OF_A_TEST", str(settings))
    write(project, SOURCE, f"MORE = $(shell cat $(OF_A_TEST))\n{MAKEFILE}")
    settings.write_text("-DANSWER=1")
    check_changes(project, lambda: settings.write_text("-DANSWER=2"))


def test_programs_and_settings_that_do_not_count(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of an activated environment, of an interpreter, and of what is passed only."""
    environment, others = project.top / "venv" / "bin", project.top / "bin"
    monkeypatch.setenv("PATH", f"{environment}:{others}:{os.environ['PATH']}")
    monkeypatch.setenv("CCACHE_CONFIGPATH", str(project.top / "ccache.conf"))
    assert answers(project) == ("1", False)
    for each in (environment, others):
        each.mkdir(parents=True)
    for each in (environment / "numpy-config", others / "python3-config", others / "other"):
        each.write_text("#!/bin/sh\n")
        each.chmod(0o755)
    (environment.parent / "pyvenv.cfg").touch()
    (project.top / "ccache.conf").write_text("max_size = 5G\n")
    assert answers(project) == ("1", True)


def compiler(project: Project, name: str, answer: int) -> None:
    """A compiler of its own version, which compiles another answer."""
    path = project.tools / name
    path.unlink(missing_ok=True)
    real = shutil.which("cc")
    path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo "cc {answer}.0" || exec {real} -DANSWER={answer} "$@"\n')
    path.chmod(0o755)


def test_another_compiler_on_the_path(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{project.tools}:{os.environ['PATH']}")
    check_changes(project, lambda: compiler(project, "cc", 2))
    compiler(project, "cc", 3)  # a new version of it
    assert [answers(project), answers(project)] == [("3", False), ("3", True)]


def test_a_compiler_that_a_variable_names(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler(project, "my-cc", 2)
    check_changes(project, lambda: monkeypatch.setenv("CC", f"{project.tools}/my-cc -g"))
    compiler(project, "my-cc", 3)
    assert [answers(project), answers(project)] == [("3", False), ("3", True)]


def test_no_compiler_also_gives_a_wheel(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = project.top / "few"
    tools.mkdir()
    for name in ("make", "sh"):
        (tools / name).symlink_to(str(shutil.which(name)))
    before = os.environ["PATH"]
    assert answers(project) == ("1", False)
    monkeypatch.setenv("PATH", str(tools))
    nothing = "'nothing was compiled'"
    assert [answers(project), answers(project)] == [(nothing, False), (nothing, True)]
    monkeypatch.setenv("PATH", before)
    assert answers(project) == ("1", True)


def test_an_edited_source(project: Project) -> None:
    check_changes(project, lambda: write(project, "int answer(void) { return 2; }\n"))


def test_what_a_compiler_does_not_see(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    assert answers(project) == ("1", False)
    monkeypatch.setenv("CCACHE_DIR", str(project.top / "ccache"))
    monkeypatch.setenv("TMPDIR", str(project.top))
    (project.top / "include").mkdir()
    (project.top / "include" / "of-a-test.h").touch()  # which no variable names
    assert answers(project) == ("1", True)


# What is of the system cannot be changed by a test, but it can be another one for a process.
@pytest.mark.skipif(bool(no_sandbox()), reason=no_sandbox() or "there are sandboxes")
@pytest.mark.parametrize("what", ["/usr/local", "/proc/cpuinfo", "/var/lib/dpkg/status", "nothing"])
def test_what_is_of_the_system(project: Project, what: str) -> None:
    """A header in /usr/local, the processor and the installed packages; and, the other way, anything else."""
    if what.startswith("/var") and not os.path.exists(what):
        pytest.skip(f"there is no {what} here")
    write(project, "#if __has_include(<of-a-test.h>)\n#include <of-a-test.h>\n#endif\n" + SOURCE)
    other = project.top / "other"
    changed = ["--ro-bind", str(other), what]
    if what == "/usr/local":
        (other / "include").mkdir(parents=True)
        (other / "include" / "of-a-test.h").write_text("#define ANSWER 2\n")
        changed[2] = "/usr/local/include"
        changed[1] = str(other / "include")
    elif what == "nothing":
        other.mkdir()
        changed[2] = "/mnt"
    else:
        text = Path(what).read_text(errors="replace")
        other.write_text(text.replace("flags", "flags of-a-test").replace("\nVersion: 1", "\nVersion: 91"))

    program = f"""
from sage_wheels.building.inputs import machine
from sage_wheels.store.store import Store
from support.inputs import Project
from sage_wheels.building import *
options = BuildOptions(cache_dir={project.options.cache_dir!r}, find_links={project.options.find_links!r})
built = build_wheel(parse_source({str(project.tree)!r}), wheel_dir={str(project.top / "dist")!r}, options=options)
print(Project.about_of(built).rpartition("'v': ")[2].rstrip("}}"), built.is_stored)
"""
    tests = str(Path(__file__).parents[2])
    environ = tool_environment()
    environ["PYTHONPATH"] += f":{tests}"

    def run(*binds: str) -> str:
        command = ["bwrap", "--dev-bind", "/", "/", *binds, "--", sys.executable, "-c", program]
        return subprocess.run(command, check=True, capture_output=True, text=True, env=environ).stdout.strip()

    assert [run(), run()] == ["1 False", "1 True"]
    after = "2" if what == "/usr/local" else "1"
    assert [run(*changed), run(*changed)] == [f"{after} {what == 'nothing'}", f"{after} True"]
    assert run() == "1 True"
