"""Each input of a build: change it, and the build runs again; change anything else, and the store has the wheel.

Promise 8.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

import sage_wheels
from sage_wheels.building import BuiltWheel, build_wheel, parse_source
from sage_wheels.building.environment.interpreter import find_building
from sage_wheels.building.inputs import interpreter
from sage_wheels.building.project import explain
from sage_wheels.errors import UsageError
from sage_wheels.prefix import find_prefix
from sage_wheels.store.store import Store
from support.inputs import BACKEND, Project

pytestmark = pytest.mark.once  # nothing of it depends on the version of Python

_ODD = (
    '{"files": [], "facts": {"implementation": "cpython", "version": "3", "platform": "x", "libc": "", '
    '"byteorder": "little", "configuration": "another one", "compilers": ""}}'
)
Build = Callable[..., BuiltWheel]
needs_git = pytest.mark.skipif(not shutil.which("git"), reason="needs git")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Project:
    return Project(tmp_path, monkeypatch)


def sdist(project: Project, name: str = "hello-1.0") -> Path:
    path = project.top / f"{name}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(project.tree, "hello-1.0")
    return path


def test_the_second_time_nothing_is_built(project: Project) -> None:
    ran = project.top / "ran"
    project.hook(f"open({str(ran)!r}, 'a').write('x')")
    first = project.build()
    data = Path(first.path).read_bytes()
    Path(first.path).unlink()
    project.notes.clear()
    second = project.build()
    assert (first.is_stored, second.is_stored) == (False, True)
    assert ran.read_text() == "x"
    assert Path(second.path).read_bytes() == data
    [note] = project.notes
    assert note.startswith("hello comes from the store; its build had taken ")


def test_rebuild_builds_and_replaces(project: Project) -> None:
    """A hidden input: the store cannot know of it, so one must be able to replace what it has."""
    hidden = project.top / "hidden"
    hidden.write_text("one")
    project.hook(f"about['hidden'] = open({str(hidden)!r}).read()")
    assert "one" in project.about()
    hidden.write_text("two")
    assert "one" in project.about()
    assert "two" in project.about(rebuild=True)
    assert "two" in project.about()


_DAMAGING = """
_whole = build_wheel

def build_wheel(directory, config_settings=None, metadata_directory=None):
    name = _whole(directory, config_settings, metadata_directory)
    with zipfile.ZipFile(f"{directory}/{name}") as archive:
        files = {member: archive.read(member) for member in archive.namelist()}
    with zipfile.ZipFile(f"{directory}/{name}", "w", zipfile.ZIP_DEFLATED) as archive:
        for member, data in files.items():
            archive.writestr(member, data)
    with open(f"{directory}/{name}", "r+b") as f:
        f.seek(30 + len("hello.py") + 1)  # in the first member, after its header
        f.write(b"\\xff" * 8)
    return name
"""


def test_a_wheel_that_cannot_be_searched_is_not_kept(project: Project) -> None:
    """Whoever installs it is told that it is damaged."""
    project.wheel("tiny", BACKEND + _DAMAGING)
    project.hook("about['x'] = list(range(1000))")
    assert not project.is_stored()
    assert not project.is_stored()


@pytest.mark.parametrize("name", ["kept", "{wheel_tag}", "SKBUILD_BUILD_DIR"])
def test_a_build_directory_that_is_kept(project: Project, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The result depends on what earlier builds left there; one in the copy is new each time."""
    kept: dict[str, Any] = {"config_settings": {"build-dir": str(project.top / name)}}
    if name.isupper():
        monkeypatch.setenv(name, str(project.top / "kept"))
        kept = {}
    assert [project.is_stored(**kept), project.is_stored(**kept)] == [False, False]
    monkeypatch.delenv("SKBUILD_BUILD_DIR", raising=False)
    new: dict[str, Any] = {"config_settings": {"build-dir": "build"}}
    assert [project.is_stored(**new), project.is_stored(**new)] == [False, True]


def test_without_the_store_nothing_is_taken_and_nothing_is_kept(project: Project) -> None:
    assert not project.is_stored(store=False)
    assert not project.is_stored()
    assert not project.is_stored(store=False)
    assert project.is_stored()


def test_an_sdist_is_not_unpacked(project: Project) -> None:
    source = sdist(project)
    assert not project.is_stored(source)
    built = project.build(source)
    assert built.is_stored
    assert project.is_stored(Path(shutil.copy(source, project.top / "hello-2.tar.gz")))  # the content counts
    project.hook("about['x'] = 1")
    assert "'x': 1" in project.about(sdist(project))


def change(project: Project, what: str) -> None:
    tree = project.tree
    if what == "content":
        (tree / "data.txt").write_text("two")
    elif what == "a new file":
        (tree / "new.txt").touch()
    elif what == "a new directory":
        (tree / "new").mkdir()
    elif what == "a name":
        (tree / "data.txt").rename(tree / "other.txt")
    elif what == "a mode":
        (tree / "data.txt").chmod(0o755)
    elif what == "the text of a link":
        (tree / "link").unlink()
        (tree / "link").symlink_to("./data.txt")
    elif what == "what a link that leads outside leads to":
        (project.top / "outside.txt").write_text("two")
    elif what == "the mode of what a link that leads outside leads to":
        (project.top / "outside.txt").chmod(0o755)
    elif what == "what is in a directory that a link leads to":
        (project.top / "outside" / "deep" / "x").write_text("two")
    elif what == "the order of .pyx and .c":
        os.utime(tree / "fast.pyx", (4000, 4000))
    elif what == "a file above that its build reads":
        (tree.parent / "VERSION").write_text("2")
    elif what == "a file further up that its build names":
        (tree.parent.parent / "COMMON").write_text("2")
    else:
        raise AssertionError(what)


@pytest.mark.parametrize(
    "what",
    [
        "content",
        "a new file",
        "a new directory",
        "a name",
        "a mode",
        "the text of a link",
        "what a link that leads outside leads to",
        "the mode of what a link that leads outside leads to",
        "what is in a directory that a link leads to",
        "the order of .pyx and .c",
        "a file above that its build reads",
        "a file further up that its build names",
    ],
)
def test_the_source(project: Project, what: str) -> None:
    tree = project.tree
    (tree / "data.txt").write_text("one")
    (tree / "link").symlink_to("data.txt")
    (project.top / "outside.txt").write_text("one")
    (project.top / "outside" / "deep").mkdir(parents=True)
    (project.top / "outside" / "deep" / "x").write_text("one")
    (tree / "out").symlink_to(project.top / "outside.txt")
    (tree / "outdir").symlink_to("../../outside")
    (tree / "setup.py").write_text("open('../VERSION'); open('../../COMMON')")
    (tree.parent / "VERSION").write_text("1")
    (tree.parent.parent / "COMMON").write_text("1")
    for name, time in (("fast.pyx", 2000), ("fast.c", 3000)):
        (tree / name).touch()
        os.utime(tree / name, (time, time))
    assert not project.is_stored()
    assert project.is_stored()
    change(project, what)
    assert not project.is_stored()
    assert project.is_stored()


def test_what_is_not_source(project: Project) -> None:
    """Times of other files, the place of the tree, and what stands beside it if nothing speaks of that."""
    (project.tree / "data.txt").write_text("one")
    assert not project.is_stored()
    os.utime(project.tree / "data.txt", (1, 1))
    (project.tree.parent / "other").mkdir()
    (project.tree.parent / "VERSION").write_text("1")
    assert project.is_stored()
    elsewhere = project.top / "elsewhere" / "hello"
    shutil.copytree(project.tree, elsewhere)
    assert project.is_stored(elsewhere)


@pytest.mark.parametrize("is_repository", [False, pytest.param(True, marks=needs_git)])
def test_what_tools_keep_in_the_tree(project: Project, is_repository: bool) -> None:
    """The wheel of the last build, in the tree itself or in a directory there; caches; a virtual environment."""
    if is_repository:
        git(project.tree, "init", "-q")
        git(project.tree, "add", "-A")
        git(project.tree, "commit", "-q", "-m", "first")
    source = parse_source(str(project.tree))
    stored = [
        build_wheel(source, wheel_dir=project.tree / each, options=project.options).is_stored
        for each in ("", "", "dist", "dist")
    ]
    assert stored == [False, True, True, True]
    for name in ("__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", "venv"):
        (project.tree / name).mkdir()
        (project.tree / name / "pyvenv.cfg").touch()
    assert project.is_stored()
    (project.tree / "other").touch()
    assert not project.is_stored()


@pytest.mark.parametrize(
    "text",
    [
        "HERE = Path(__file__).resolve().parent\nROOT = HERE.parent\n",
        "here = os.path.dirname(os.path.abspath(__file__))\nopen(os.path.dirname(here) + '/VERSION')\n",
        "root = Path.cwd().parent\n",
        "root = os.path.dirname(os.getcwd())\n",
    ],
)
def test_a_build_file_that_looks_above(project: Project, text: str) -> None:
    version = project.tree.parent / "VERSION"
    version.write_text("1")
    (project.tree / "setup.py").write_text(text)
    assert [project.is_stored(), project.is_stored()] == [False, True]
    version.write_text("2")
    assert [project.is_stored(), project.is_stored()] == [False, True]


def test_a_build_file_that_does_not_look_above(project: Project) -> None:
    (project.tree / "setup.py").write_text(
        "HERE = Path(__file__)\nopen(HERE.parent / 'x')\nhere = dirname(__file__)\nmakedirs(dirname(target))\n"
    )
    assert [project.is_stored(), project.is_stored()] == [False, True]
    (project.tree.parent / "VERSION").write_text("2")
    assert project.is_stored()


def test_a_package_in_a_workspace_of_cargo(project: Project) -> None:
    """The other packages of a workspace are named only in the file above: `core = { workspace = true }`."""
    top = project.tree.parent
    (project.tree / "Cargo.toml").write_text("[package]\nversion.workspace = true\n")
    (top / "core").mkdir()
    (top / "core" / "lib.rs").write_text("1")
    (top / "target").mkdir()
    (top / "Cargo.toml").write_text("[package]\n")
    assert [project.is_stored(), project.is_stored()] == [False, True]
    (top / "core" / "lib.rs").write_text("2")
    assert project.is_stored()  # no workspace
    (top / "Cargo.toml").write_text('[workspace]\nmembers = ["core"]\n')
    for path in ("Cargo.toml", "core/lib.rs", "core/new.rs", "Cargo.lock"):
        assert [project.is_stored(), project.is_stored()] == [False, True], path
        with (top / path).open("a") as f:
            f.write("# changed\n")
    assert [project.is_stored(), project.is_stored()] == [False, True]
    (top / "target" / "made").write_text("what cargo has made")
    assert project.is_stored()


def test_what_to_leave_out(project: Project) -> None:
    """As hatchling does, the backend searches a .gitignore in the tree and in all directories above."""
    project.hook(
        "from pathlib import Path\n"
        "found = [each / '.gitignore' for each in (Path.cwd(), *Path.cwd().parents)]\n"
        "about['v'] = next(each.read_text() for each in found if each.is_file())"
    )
    usual: dict[str, Any] = {"usual_build_dir": str(project.home / "builds")}
    for far in (project.home, project.tree.parent.parent, project.tree.parent, project.tree):
        (far / ".gitignore").write_text(f"{far.name} 1")
        assert (f"{far.name} 1" in project.about(**usual)) == (far != project.home)
        (far / ".gitignore").write_text(f"{far.name} 2")
        assert (f"{far.name} 2" in project.about(**usual)) == (far != project.home)
        assert project.is_stored(**usual)
    (project.tree.parent / ".gitignore").write_text("hidden by that of the tree")
    assert project.is_stored(**usual)


def test_a_backend_that_a_link_leads_to(project: Project) -> None:
    """Its import writes byte-code beside it, which is no source."""
    beside = project.tree.parent / "backends"
    beside.mkdir()
    (beside / "own.py").write_text(f"{BACKEND}\n")
    (project.tree / "backends").symlink_to("../backends")
    (project.tree / "pyproject.toml").write_text(
        '[build-system]\nrequires = []\nbuild-backend = "own"\nbackend-path = ["backends"]\n'
    )
    assert [project.is_stored(), project.is_stored()] == [False, True]
    assert list(beside.glob("__pycache__/own.*"))
    (beside / "own.py").write_text(f"{BACKEND}\n# changed\n")
    assert [project.is_stored(), project.is_stored()] == [False, True]


def git(tree: Path, *arguments: str) -> None:
    who = {"GIT_AUTHOR_NAME": "x", "GIT_AUTHOR_EMAIL": "x@y", "GIT_COMMITTER_NAME": "x", "GIT_COMMITTER_EMAIL": "x@y"}
    when = {"GIT_AUTHOR_DATE": "2020-01-01T00:00Z", "GIT_COMMITTER_DATE": "2020-01-01T00:00Z"}
    environ = {**os.environ, **who, **when, "GIT_CONFIG_GLOBAL": os.devnull}
    subprocess.run(["git", "-C", tree, *arguments], check=True, env=environ, capture_output=True)


@needs_git
@pytest.mark.parametrize("references", ["files", "reftable"])
@pytest.mark.parametrize("part", [".", "hello"])
def test_the_repository(project: Project, part: str, references: str) -> None:
    top = project.tree if part == "." else project.tree.parent
    (top / "other.txt").write_text("one")
    try:
        git(top, "init", "-q", "-b", "main", *(["--ref-format=reftable"] if references == "reftable" else []))
    except subprocess.CalledProcessError:
        pytest.skip("this git knows no reftables (2.45)")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "first")
    assert not project.is_stored()
    assert project.is_stored()
    git(top, "gc", "-q")
    os.utime(project.tree / "hook.py", (5, 5))
    git(top, "status")
    assert project.is_stored()  # nothing was changed but the files of git
    for command in (
        ("tag", "v1.0"),
        ("commit", "-q", "--allow-empty", "-m", "second"),
        ("config", "core.abbrev", "12"),
        ("checkout", "-q", "-b", "branch"),
        ("checkout", "-q", "main"),
    ):
        git(top, *command)
        assert not project.is_stored(), command
        assert project.is_stored(), command
    (top / "other.txt").write_text("two")
    assert not project.is_stored()
    (top / "other.txt").write_text("three")
    assert not project.is_stored()
    git(top, "add", "-A")
    assert not project.is_stored()
    assert project.is_stored()


@needs_git
def test_what_is_not_committed_outside_of_the_tree(project: Project) -> None:
    top = project.tree.parent
    (top / "kept.log").touch()
    git(top, "init", "-q")
    git(top, "add", "-A")
    git(top, "commit", "-q", "-m", "first")
    info = top / ".git" / "info"
    info.mkdir(exist_ok=True)
    (top / "new").write_text("one")
    (top / "link").symlink_to("one")
    (top / "kept.log").write_text("one")
    assert [project.is_stored(), project.is_stored()] == [False, True]
    (top / "build.log").write_text("of this build, perhaps")
    assert not project.is_stored()  # git says that there is a new file
    (top / "build.log").write_text("more of it")
    assert project.is_stored()
    for path, text in (("new", "two"), ("kept.log", "two"), (".git/info/attributes", "x"), (".git/info/exclude", "x")):
        (top / path).write_text(text)
        assert [project.is_stored(), project.is_stored()] == [False, True], path
    (top / "new").chmod(0o755)
    assert [project.is_stored(), project.is_stored()] == [False, True]
    (top / "link").unlink()
    (top / "link").symlink_to("two")
    assert [project.is_stored(), project.is_stored()] == [False, True]


def test_the_wheels_of_the_environment(project: Project) -> None:
    (project.tree / "more.txt").write_text("tool")
    assert not project.is_stored()
    assert project.is_stored()
    project.wheel("unrelated", "x = 1")
    assert project.is_stored()
    project.wheel("tool", "x = 2\n")  # the same name, another content: one that only the backend asks for
    assert not project.is_stored()
    assert project.is_stored()
    project.wheel("tool", "x = 2\n", "1.1")
    assert not project.is_stored()
    assert project.is_stored()
    project.wheel("tiny", BACKEND + "\n")
    assert not project.is_stored()
    assert project.is_stored()


def test_who_is_told_what_a_build_requires_may_end_it_before_it_begins(project: Project) -> None:
    """What a backend asked for is known from the store: nothing is started to be told again."""
    (project.tree / "more.txt").write_text("tool")
    phases: list[str] = []

    def refuse(lines: set[str]) -> None:
        if "tool" in lines:
            raise UsageError("not yet")

    for expected in ("get_requires", "look-up"):
        with pytest.raises(UsageError, match="not yet"):
            project.build(on_requires=refuse, on_phase=phases.append)
        assert phases[-1] == expected
        project.build()


def test_a_hit_unpacks_nothing_and_starts_nothing(project: Project) -> None:
    source = sdist(project)
    assert not project.is_stored(source)
    for name in ("images", "trees"):
        shutil.rmtree(project.top / "cache" / name, ignore_errors=True)
    program = (
        "import sys\n"
        "from sage_wheels.building import *\n"
        "started = []\n"
        "sys.addaudithook(lambda event, arguments: started.append(arguments) if 'Popen' in event else None)\n"
        f"options = BuildOptions(cache_dir={str(project.top / 'cache')!r}, find_links=({str(project.house)!r},))\n"
        "options = options._replace(cache_system='tests')\n"
        f"source = parse_source({str(source)!r})\n"
        f"built = build_wheel(source, wheel_dir={str(project.top / 'dist')!r}, options=options)\n"
        "print(built.is_stored, started, 'build' in sys.modules, 'resolvelib' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "True [] False False\n"
    assert not list((project.top / "cache").glob("images/*"))


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({}, {"a": "1"}),
        ({"a": "1"}, {"a": "2"}),
        ({"a": "1", "b": "2"}, {"b": "2", "a": "1"}),
        ({"a": ["1", "2"]}, {"a": ["2", "1"]}),
    ],
)
def test_the_settings(project: Project, before: Mapping[str, object], after: Mapping[str, object]) -> None:
    assert not project.is_stored(config_settings=before)
    assert project.is_stored(config_settings=before)
    assert repr(after) in project.about(config_settings=after)
    assert project.is_stored(config_settings=after)


def test_an_sdist_on_the_way(project: Project) -> None:
    assert not project.is_stored()
    assert not project.is_stored(sdist_then_wheel=True)
    assert project.is_stored(sdist_then_wheel=True)


def test_the_subdirectory(project: Project) -> None:
    for name in ("one", "two"):
        shutil.copytree(project.tree, project.top / "both" / name)
    both = project.top / "both"

    def is_stored(name: str) -> bool:
        source = parse_source(f"hello @ file://{both}#subdirectory={name}")
        return build_wheel(source, wheel_dir=project.top / "dist", options=project.options).is_stored

    assert [is_stored("one"), is_stored("one"), is_stored("two"), is_stored("two")] == [False, True, False, True]


@pytest.mark.parametrize(
    "name", ["CFLAGS", "SOURCE_DATE_EPOCH", "LC_ALL", "ANYTHING", "PYTHONHASHSEED", "CCACHE_COMPILER"]
)
def test_a_variable(project: Project, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    project.hook(f"about['v'] = os.environ.get({name!r})")
    monkeypatch.setenv(name, "1")
    assert not project.is_stored()
    assert project.is_stored()
    monkeypatch.setenv(name, "2")
    assert "'v': '2'" in project.about()
    assert project.is_stored()


@pytest.mark.parametrize(
    "name",
    [
        "TMPDIR",
        "XDG_RUNTIME_DIR",
        "TERM",
        "CCACHE_DIR",
        "https_proxy",
        "SAGE_WHEELS_X",
        "TEMP",
        "OMP_NUM_THREADS",
        "GIT_SSL_CAINFO",
        "SCCACHE_DIR",
        "DISTCC_HOSTS",
        "CARGO_MAKEFLAGS",
        "RPM_BUILD_NCPUS",
        "NIX_BUILD_CORES",
        "CTEST_PARALLEL_LEVEL",
        "NO_COLOR",
        "CARGO_TERM_COLOR",
        "GCC_COLORS",
        "RUST_LOG",
    ],
)
def test_a_variable_that_passes_and_is_no_input(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str, tmp_path: Path
) -> None:
    project.hook(f"about['v'] = os.environ.get({name!r})")
    for number in (1, 2):
        (tmp_path / str(number)).mkdir()
    monkeypatch.setenv(name, str(tmp_path / "1"))
    assert "1'" in project.about()
    monkeypatch.setenv(name, str(tmp_path / "2"))
    assert project.is_stored()


@pytest.mark.parametrize(
    "name",
    [
        "GITHUB_TOKEN",
        "MY_SECRET",
        "DB_PASSWORD",
        "AWS_ACCESS_KEY_ID",
        "CI",
        "GITLAB_CI",
        "USER",
        "SSH_AUTH_SOCK",
        "PWD",
        "GIO_LAUNCHED_DESKTOP_FILE_PID",
        "SHELL_SESSION_ID",
        "PYENV_DIR",
        "bamboo_buildNumber",
        "BUILD_VCS_NUMBER",
        "CACHE_SERVICE_HOST",
        "CACHE_PORT_6379_TCP_ADDR",
    ],
)
def test_a_variable_that_does_not_reach_the_backend(
    project: Project, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    project.hook("about['v'] = 'known to it' in str(os.environ)")
    monkeypatch.setenv(name, "known to it")
    assert "'v': False" in project.about()
    monkeypatch.setenv(name, "something else")
    assert project.is_stored()


def test_nothing_reaches_the_backend_that_is_not_keyed(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it is called: set a variable, and either the backend does not see it or the build runs again."""
    project.hook("about['v'] = 'planted value' in str(os.environ)")
    assert not project.is_stored()
    free = {"HOME", "TMPDIR", "TERM", "PATH", "XDG_CACHE_HOME", "SAGE_WHEELS_CACHE"}
    for name in sorted({*os.environ, "Q", "LD_PRELOAD_X", "MAKE", "CONDA_PREFIX", "CI_X", "A_TOKEN"} - free):
        with monkeypatch.context() as patch:
            patch.setenv(name, "planted value")
            assert project.is_stored() or "'v': True" in project.about(), name


def test_the_flags_of_make(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MAKEFLAGS", " -j4 --jobserver-auth=998,999")
    assert not project.is_stored()
    monkeypatch.setenv("MAKEFLAGS", " -j8 --jobserver-auth=fifo:/tmp/x --sync-mutex=fnm:/tmp/y")
    assert project.is_stored()
    monkeypatch.delenv("MAKEFLAGS")
    assert project.is_stored()
    monkeypatch.setenv("MAKEFLAGS", " -j8 -- CFLAGS=-O0")
    assert not project.is_stored()
    monkeypatch.setenv("MAKEFLAGS", "k -j2 -- CFLAGS=-O0")
    assert project.is_stored()
    monkeypatch.setenv("MAKEFLAGS", "Bk -j2 -- CFLAGS=-O0")
    assert not project.is_stored()
    for definitions in ("X=-j5", "X=-j6", "X=a\\ -l1", "X=a\\ -l2", "X=--jobserver-auth=1"):
        monkeypatch.setenv("MAKEFLAGS", f" -j2 -- {definitions}")
        assert not project.is_stored(), definitions
        monkeypatch.setenv("MAKEFLAGS", f" -j3 -- {definitions}")
        assert project.is_stored(), definitions


def test_the_tools_on_the_path(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", f"{project.tools}:{os.environ['PATH']}")
    assert not project.is_stored()
    project.program("swig", "SWIG 4.0")  # which hides another one, or is there now
    assert not project.is_stored()
    assert project.is_stored()
    project.program("swig", "SWIG 4.1")
    assert not project.is_stored()
    project.program("unknown-to-us", "1")
    assert project.is_stored()
    (project.tools / "swig").unlink()
    assert project.is_stored()  # as in the beginning
    monkeypatch.setenv("PATH", f"{os.environ['PATH']}:/nowhere")
    assert project.is_stored()


def test_a_tool_that_a_variable_names(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    project.program("my-cc", "my-cc 1")
    monkeypatch.setenv("CC", f"{project.tools}/my-cc -m64")
    assert not project.is_stored()
    assert project.is_stored()
    project.program("my-cc", "my-cc 2")
    assert not project.is_stored()


@pytest.mark.parametrize("name", [".pydistutils.cfg", ".cargo/config.toml"])
def test_the_settings_in_the_home(project: Project, name: str) -> None:
    assert not project.is_stored()
    (project.home / name).parent.mkdir(exist_ok=True)
    for text in ("one", "two"):
        (project.home / name).write_text(text)
        assert not project.is_stored()
        assert project.is_stored()
    (project.home / "unrelated").touch()
    assert project.is_stored()


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("XDG_CONFIG_HOME", "git/config"),
        ("XDG_DATA_HOME", "meson/cross/file"),
        ("CARGO_HOME", "config.toml"),
        ("DIST_EXTRA_CONFIG", ""),
        ("GIT_CONFIG_GLOBAL", ""),
        ("CMAKE_TOOLCHAIN_FILE", ""),
        ("CFLAGS", "-include {}"),
        ("CMAKE_ARGS", "-DCMAKE_TOOLCHAIN_FILE:FILEPATH={}"),
        ("a setting", "--cross-file={}"),
    ],
)
def test_settings_that_are_elsewhere(
    project: Project, monkeypatch: pytest.MonkeyPatch, variable: str, name: str
) -> None:
    """A variable names their directory, or the file itself; or an option in a variable or a setting does."""
    more: dict[str, Any] = {}
    file = project.top / "elsewhere" / ("file" if name == "" or "{}" in name else name)
    file.parent.mkdir(parents=True)
    if variable == "a setting":
        more["config_settings"] = {"setup-args": name.format(file)}
    else:
        elsewhere = str(project.top / "elsewhere")
        monkeypatch.setenv(variable, name.format(file) if "{}" in name else elsewhere if name else str(file))
    for text in ("", "[one]\n", "[three]\n"):
        file.write_text(text)
        assert not project.is_stored(**more)
        assert project.is_stored(**more)


@pytest.mark.parametrize("name", ["cache_cpu", "cache_system"])
def test_what_the_caller_vouches_for(project: Project, name: str) -> None:
    def is_stored(text: str) -> bool:
        more: dict[str, Any] = {name: text}
        return project.is_stored(**more)

    assert not project.is_stored()
    assert not is_stored("one")
    assert is_stored("one")
    assert not is_stored("two")


@pytest.mark.parametrize(
    "how", ["CPATH", "PKG_CONFIG_PATH", "CMAKE_PREFIX_PATH", "CFLAGS", "--sysroot", "Foo_ROOT", "a setting"]
)
def test_directories_that_are_compiled_against(project: Project, monkeypatch: pytest.MonkeyPatch, how: str) -> None:
    include = project.top / "include"
    include.mkdir()
    more: dict[str, Any] = {"cache_system": None}
    if how == "a setting":
        more["config_settings"] = {"x": f"-I{include}"}
    else:
        values = {"CFLAGS": f"-I{include}", "--sysroot": f"--sysroot={project.top}", "Foo_ROOT": str(project.top)}
        monkeypatch.setenv("CXXFLAGS" if how == "--sysroot" else how, values.get(how, str(include)))
    assert not project.is_stored(**more)
    assert project.is_stored(**more)
    (include / "x.h").write_text("one")
    assert not project.is_stored(**more)
    (include / "x.h").write_text("three")
    assert not project.is_stored(**more)
    assert project.is_stored(**more)
    (include / "x.h").write_text("fifty-five")
    more["cache_system"] = "x"
    assert not project.is_stored(**more)
    (include / "x.h").write_text("six")
    assert project.is_stored(**more)


def test_the_prefix_and_named_paths_stand_for_themselves(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Two trees of Sage that differ in their place only share what does not speak of it."""

    def there(number: int) -> dict[str, Any]:
        sage_root = tmp_path / f"sage{number}"
        (sage_root / "local").mkdir(parents=True, exist_ok=True)
        monkeypatch.setenv("SAGE_LOCAL", f"{sage_root}/local")
        monkeypatch.setenv("LIBS", f"-L{sage_root}/local/lib")
        return {"cache_system": None, "cache_paths": (("SAGE_LOCAL", f"{sage_root}/local"),)}

    assert not project.is_stored(**there(1))
    assert project.is_stored(**there(2))
    project.hook("about['v'] = os.environ['SAGE_LOCAL']")
    assert str(tmp_path / "sage1") in project.about(**there(1))
    assert project.is_stored(**there(1))
    assert str(tmp_path / "sage2") in project.about(**there(2))
    assert project.is_stored(**there(2))
    assert project.is_stored(**there(1))


@pytest.mark.parametrize(("tool", "is_told"), [("meson", True), ("gcc", False)])
def test_tools_that_packages_of_the_prefix_install(
    project: Project, monkeypatch: pytest.MonkeyPatch, tool: str, is_told: bool
) -> None:
    """`--cache-system` says whether meson is there; it does not speak of compilers."""
    monkeypatch.setenv("PATH", f"{project.tools}:{os.environ['PATH']}")
    told: dict[str, Any] = {"cache_paths": (("LOCAL", str(project.tools.parent)),)}
    untold = {**told, "cache_system": None}
    for options in (told, untold):
        assert [project.is_stored(**options), project.is_stored(**options)] == [False, True]
    project.program(tool, "77.7")
    assert project.is_stored(**told) == is_told
    assert not project.is_stored(**untold)


def test_what_only_looks_like_a_named_path(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name in braces, and a path that ends in the same way, each where the other place has it differently."""
    project.hook("about['v'] = os.environ['V'].replace('/', '|')")
    for value, path in (
        ("{top}/x", "/opt/one"),
        ("/opt/one/x", "/opt/one"),
        ("/a/opt/one/x", "/opt/one"),
        ("/a/opt/two/x", "/opt/two"),
    ):
        monkeypatch.setenv("V", value)
        told: dict[str, Any] = {"cache_paths": (("top", path),)}
        assert [project.is_stored(**told), project.is_stored(**told)] == [False, True], value


def test_a_wheel_that_speaks_of_where_it_was_built(project: Project, tmp_path: Path) -> None:
    project.hook("about['v'] = os.getcwd()")
    assert not project.is_stored()
    assert project.is_stored()
    elsewhere = str(tmp_path / "build-here")
    assert elsewhere in project.about(usual_build_dir=elsewhere)
    assert project.is_stored(usual_build_dir=elsewhere)
    assert project.is_stored()
    project.hook("about['v'] = 'nothing of it'")
    assert not project.is_stored()
    assert project.is_stored(usual_build_dir=elsewhere)


def test_why_a_wheel_that_speaks_of_another_place_is_not_taken(project: Project) -> None:
    project.hook("about['v'] = os.getcwd()")
    assert [project.is_stored(), project.is_stored()] == [False, True]
    elsewhere = project.options._replace(usual_build_dir=str(project.top / "elsewhere"))
    explained = explain(parse_source(str(project.tree)), elsewhere)
    assert not explained.is_stored
    assert explained.differences == ["its wheel contains the path of the build directory, which was another one"]


def test_an_sdist_after_its_tree_is_explained_in_one_line(project: Project) -> None:
    assert not project.is_stored()
    told = explain(parse_source(str(sdist(project))), project.options).differences
    assert told == ["the source was a tree, is an sdist"]
    assert not project.is_stored(sdist(project))
    told = explain(parse_source(str(project.tree)), project.options).differences
    assert told == ["the source was an sdist, is a tree"]


def test_a_wheel_with_a_path_without_its_links(project: Project, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
    link = tmp_path / "link"
    link.symlink_to("one")
    project.hook("about['v'] = os.getcwd()")
    told: dict[str, Any] = {"usual_build_dir": str(link / "build")}
    assert "/one/build" in project.about(**told)
    assert project.is_stored(**told)
    assert not project.is_stored(usual_build_dir=str(tmp_path / "another"))
    link.unlink()
    link.symlink_to("two")
    assert "/two/build" in project.about(**told)


def test_what_is_never_kept(project: Project, tmp_path: Path) -> None:
    project.wheel("tiny", f"{BACKEND}\nbuild_editable = build_wheel\n")
    for option in ("editable", "in_place"):
        for _ in range(2):
            log = tmp_path / "log"
            log.unlink(missing_ok=True)
            more: dict[str, Any] = {option: True, "log": str(log)}
            assert not project.is_stored(**more)
            assert "--- hello is not kept in the store: " in log.read_text()


def test_the_holes_of_a_sparse_file_are_not_read(project: Project) -> None:
    """To read a tebibyte takes longer than anybody waits."""
    sparse = project.tree / "disk.img"
    for text, is_known in (("one", False), ("one", True), ("two", False), ("one", True)):
        with open(sparse, "r+b" if sparse.exists() else "wb") as f:
            f.truncate(1 << 40)
            f.seek(1 << 39)
            f.write(text.encode())
            if os.fstat(f.fileno()).st_blocks * 512 > 1 << 30:
                pytest.skip("this file system has no holes")
        assert project.is_stored() == is_known, text


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_what_cannot_be_read_is_not_kept(project: Project) -> None:
    (project.tree / "secret").write_text("x")
    (project.tree / "secret").chmod(0)
    assert not project.is_stored()
    assert not project.is_stored()


def test_the_store_may_go_at_any_time(project: Project) -> None:
    assert not project.is_stored()
    for each in ("results", "content"):
        shutil.rmtree(project.top / "cache" / each)
        assert not project.is_stored()
        assert project.is_stored()


def test_a_damaged_store_is_mended(project: Project) -> None:
    assert not project.is_stored()
    cache = project.top / "cache"
    for path in [path for name in ("results", "content") for path in (cache / name).rglob("*") if path.is_file()]:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] + bytes([whole[len(whole) // 2] ^ 1]) + whole[len(whole) // 2 + 1 :])
    first = project.build()
    assert not first.is_stored
    assert project.is_stored()


def test_a_build_that_changes_its_environment_is_not_kept(project: Project) -> None:
    """The next one would be built with what this one has left."""
    project.hook("import tiny; f = open(tiny.__file__, 'a'); f.write('# changed'); f.close()")
    clean = project.build(find_links=(str(project.house),))
    log = project.top / "log"
    again = project.build(log=str(log))
    reflinks = clean.is_stored or again.is_stored
    assert reflinks or "its backend has changed files of its build environment" in log.read_text()
    project.hook("about['v'] = open(__import__('tiny').__file__).read().count('# changed')")
    assert "'v': 0" in project.about()


@pytest.mark.parametrize("hook", ["", "about['v'] = os.getcwd()"])
def test_what_is_reproducible(project: Project, hook: str) -> None:
    project.hook(hook)
    for _ in range(2):
        [note] = project.build(verify_store=True).notes
        assert note.startswith("hello is not reproducible" if hook else "hello is reproducible")
        assert ("differs in hello.py" in note) == bool(hook)


def test_without_isolation_everything_that_could_be_imported(project: Project, tmp_path: Path) -> None:
    """By RECORD and stat; with --cache-declared only what is declared counts, and another distribution may change."""
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    prefix = find_prefix(str(venv))
    sage_wheels.install([str(each) for each in project.house.glob("*.whl")], prefix)

    def is_stored(**more: Any) -> bool:
        return project.is_stored(isolation=False, prefix=prefix, **more)

    assert [is_stored(), is_stored()] == [False, True]
    assert [is_stored(cache_declared=True), is_stored(cache_declared=True)] == [False, True]  # for who says it, too
    [library] = (venv / "lib").glob("python*/site-packages")
    for change in (library / "module.py", library / "tiny.py"):
        change.write_text(change.read_text() + "\n" if change.exists() else "")
        assert [is_stored(), is_stored(), is_stored(cache_declared=True)] == [False, True, True], change
    (library / "__pycache__" / "module.pyc").write_text("x")  # of which source is what counts
    assert is_stored()
    project.wheel("tool", "x = 2\n", "2.0")
    sage_wheels.install([str(project.house / "tool-2.0-py3-none-any.whl")], prefix)
    assert [is_stored(), is_stored(), is_stored(cache_declared=True)] == [False, True, True]
    project.wheel("tiny", f"{BACKEND}\n", "2.0")
    sage_wheels.install([str(project.house / "tiny-2.0-py3-none-any.whl")], prefix)
    assert [is_stored(cache_declared=True), is_stored(cache_declared=True)] == [False, True]
    assert [is_stored(), is_stored()] == [False, True]
    [record] = library.glob("tool-2.0.dist-info/RECORD")
    whole = record.read_bytes()
    record.unlink()
    assert [is_stored(), is_stored()] == [False, False]
    assert is_stored(cache_declared=True)
    record.write_bytes(whole)
    assert [is_stored(), is_stored()] == [False, True]
    (library / "__editable__.other-1.0.pth").write_text("import __editable___other_1_0_finder\n")
    (library / "__editable___other_1_0_finder.py").touch()
    assert [is_stored(), is_stored()] == [False, False]  # its modules are somewhere else


def test_the_interpreter(project: Project, tmp_path: Path) -> None:
    """Another Python of this machine, if there is one; and one of the same version that is configured otherwise."""
    assert not project.is_stored()
    ours = os.path.realpath(sys.executable)
    for other in ("/usr/bin/python3", "/usr/local/bin/python3"):
        if os.access(other, os.X_OK) and os.path.realpath(other) != ours:
            assert not project.is_stored(python=other)
            assert project.is_stored(python=other)
    building = find_building(None, None, str(tmp_path / "cache"))
    store = Store(str(tmp_path / "cache"))
    facts = interpreter.facts(building, store)
    assert facts == interpreter.facts(building, store)
    assert (facts["implementation"], facts["tag"]) == (sys.implementation.name, building.facts.tags[0])
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\nexec {building.executable} -X utf8 "$@"\n')
    program.chmod(0o755)
    wrapped = building._replace(executable=str(program))
    assert interpreter.facts(wrapped, store) == facts
    program.unlink()
    program.write_text(f"#!/bin/sh\necho '{_ODD}'\n")  # what it says now, with a new stat
    program.chmod(0o755)
    assert interpreter.facts(wrapped, store)["configuration"] == "another one"
