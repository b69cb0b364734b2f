"""Whole builds, with the small backend of conftest.py: in the tree, or from a wheelhouse in an isolated environment."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.building import BuildOptions, BuiltWheel, build_wheel, parse_source, sources_of, wheels_of
from sage_wheels.errors import BuildFailed, SageWheelsError, SourceError, WheelRefused
from sage_wheels.prefix import find_prefix
from sage_wheels.requirements.sources import SourceTree
from support.pythons import make_installation
from support.trees import snapshot

MakeWheel = Callable[..., Path]
MakeProject = Callable[..., Path]
ReadWheel = Callable[[str], dict[str, bytes]]
Build = Callable[..., BuiltWheel]


@pytest.fixture
def build(tmp_path: Path, options: BuildOptions) -> Build:
    """Build a tree into `tmp_path`/dist, with the wheelhouse if there is one."""

    def run(source: object, **more: object) -> BuiltWheel:
        house = tmp_path / "wheelhouse"
        changed = options._replace(find_links=(str(house),) if house.exists() else ())
        changed = changed._replace(**more)  # type: ignore[arg-type]
        return build_wheel(parse_source(str(source)), wheel_dir=tmp_path / "dist", options=changed)

    return run


def sdist_of(tree: Path, to: Path) -> Path:
    """The sdist of a tree that holds nothing but what belongs into it."""
    path = to / f"{tree.name}.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        archive.add(tree, tree.name)
    return path


def build_dirs(tmp_path: Path) -> list[str]:
    return sorted(name for name in os.listdir(tmp_path / "cache" / "build") if not name.endswith(".lock"))


def test_an_in_tree_backend(build: Build, make_project: MakeProject, tmp_path: Path, read_wheel: ReadWheel) -> None:
    tree = make_project()
    built = build(tree)
    assert built.path == str(tmp_path / "dist" / "hello-1.0-py3-none-any.whl")
    assert read_wheel(built.path)["hello.py"] == b"version = '1.0'\nsettings = {}\n"
    assert built.direct_url == {"dir_info": {}, "url": f"file://{tree}"}
    assert list(built.phases) == ["source", "look-up", "environment", "get_requires", "build", "store"]
    assert build_dirs(tmp_path) == []


def test_a_backend_from_the_wheelhouse(build: Build, make_project: MakeProject, wheelhouse: Path) -> None:
    assert Path(build(make_project(requires=["tiny"])).path).exists()


def test_the_source_tree_stays_byte_for_byte(build: Build, make_project: MakeProject) -> None:
    hook = "open('written-by-the-backend', 'w'); open('pyproject.toml', 'a').write('# changed'); os.remove('more.txt')"
    tree = make_project(hook=f"import os\nif hook == 'build_wheel': {hook}", more=["tiny; python_version<'3'"])
    before = snapshot(tree)
    build(tree)
    assert snapshot(tree) == before


def test_an_sdist(build: Build, make_project: MakeProject, tmp_path: Path) -> None:
    sdist = sdist_of(make_project(at=tmp_path / "hello-1.0"), tmp_path)
    built = build(sdist)
    assert built.direct_url is not None
    assert built.direct_url["url"] == f"file://{sdist}"
    assert built.direct_url["archive_info"]["hashes"].keys() == {"sha256"}


def test_the_same_input_gives_the_same_wheel(build: Build, make_project: MakeProject, tmp_path: Path) -> None:
    hook = "import os; content['seen'] = repr([os.environ['SOURCE_DATE_EPOCH'], hash('x'), os.getcwd(), os.umask(0)])"
    tree = make_project(hook=hook)
    first = Path(build(tree).path).read_bytes()
    (tree / "hook.py").touch()
    before = os.umask(0o077)
    try:
        assert Path(build(tree).path).read_bytes() == first
    finally:
        os.umask(before)


def test_requirements_of_the_second_round(
    build: Build, make_project: MakeProject, make_wheel: MakeWheel, wheelhouse: Path, read_wheel: ReadWheel
) -> None:
    make_wheel("helper", "1.0", requires=["deeper>=2"])
    make_wheel("deeper", "2.0")
    hook = "if hook == 'build_wheel':\n import helper, deeper\n content['seen'] = helper.version + deeper.version"
    built = build(make_project(requires=["tiny"], hook=hook, more=["helper"]))
    assert read_wheel(built.path)["seen"] == b"1.02.0"


def test_the_second_round_may_overthrow_a_choice_of_the_first(
    build: Build, make_project: MakeProject, make_wheel: MakeWheel, wheelhouse: Path, read_wheel: ReadWheel
) -> None:
    for version in ("1.0", "2.0"):
        make_wheel("helper", version)
    hook = "import helper; content['seen'] = helper.version"
    built = build(make_project(requires=["tiny", "helper"], hook=hook, more=["helper<2"]))
    assert read_wheel(built.path)["seen"] == b"1.0"


def test_only_what_was_asked_for_is_there(
    build: Build, make_project: MakeProject, make_wheel: MakeWheel, wheelhouse: Path, read_wheel: ReadWheel
) -> None:
    make_wheel("unasked", "1.0")
    hook = (
        "import importlib.metadata as m, json, sys\n"
        "content['seen'] = json.dumps([sorted(d.name for d in m.distributions()), sys.path])"
    )
    names, path = json.loads(read_wheel(build(make_project(requires=["tiny"], hook=hook)).path)["seen"])
    assert names == ["tiny"]
    assert not any("site-packages" in each and "/env/" not in each for each in path)


def test_a_backend_that_writes_into_its_environment_harms_no_later_build(
    build: Build, make_project: MakeProject, make_wheel: MakeWheel, wheelhouse: Path, read_wheel: ReadWheel
) -> None:
    make_wheel("helper", "1.0")
    hook = "import helper; content['seen'] = helper.version; open(helper.__file__, 'w').write('version = 6')"
    tree = make_project(requires=["tiny", "helper"], hook=f"if hook == 'build_wheel':\n {hook}")
    for _ in range(2):
        assert read_wheel(build(tree).path)["seen"] == b"1.0"


def test_programs_of_build_requirements_are_on_the_path(
    build: Build, make_project: MakeProject, make_wheel: MakeWheel, wheelhouse: Path, read_wheel: ReadWheel
) -> None:
    make_wheel(
        "a-tool", "1.0", files={"a_tool.py": "def main(): print('made')"}, entry_points={"a-tool": "a_tool:main"}
    )
    hook = "import subprocess; content['seen'] = subprocess.check_output(['a-tool'], text=True)"
    assert read_wheel(build(make_project(requires=["tiny", "a-tool"], hook=hook)).path)["seen"] == b"made\n"


def test_config_settings_reach_both_hooks(build: Build, make_project: MakeProject, read_wheel: ReadWheel) -> None:
    tree = make_project(hook="import json\nprint(hook, settings)\ncontent['seen'] = json.dumps(settings)")
    built = build(tree, config_settings={"a": "1", "b": ["x", "y"]})
    assert json.loads(read_wheel(built.path)["seen"]) == {"a": "1", "b": ["x", "y"]}
    assert "get_requires_for_build_wheel {'a': '1', 'b': ['x', 'y']}" in Path(built.log or "").read_text()


def test_the_environment_of_the_backend(
    build: Build, make_project: MakeProject, read_wheel: ReadWheel, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name, value in {"PYTHONPATH": str(tmp_path), "PIP_INDEX_URL": "x", "CFLAGS": "-O1", "LC_ALL": "C"}.items():
        monkeypatch.setenv(name, value)
    tree = make_project(hook="import json, os; content['seen'] = json.dumps(dict(os.environ))")
    seen = json.loads(read_wheel(build(tree).path)["seen"])
    assert "PIP_INDEX_URL" not in seen
    assert not seen.get("PYTHONPATH")
    assert (seen["CFLAGS"], seen["LC_ALL"]) == ("-O1", "C")
    assert seen["PATH"].startswith(f"{tmp_path}/cache/build/hello/env/bin:")
    assert seen["VIRTUAL_ENV"] == f"{tmp_path}/cache/build/hello/env"


def test_a_failing_backend(build: Build, make_project: MakeProject, tmp_path: Path) -> None:
    tree = make_project(
        hook="if hook == 'build_wheel':\n for n in range(100): print('line', n)\n raise SystemExit('no compiler')"
    )
    with pytest.raises(BuildFailed) as raised:
        build(tree, log=None)
    log = tmp_path / "cache" / "build" / "hello" / "build.log"
    assert str(raised.value).startswith(
        f"building hello: its build backend failed in build_wheel (the whole log is {log})"
    )
    assert raised.value.details.splitlines()[-1] == "no compiler"
    assert len(raised.value.details.splitlines()) == 20
    assert "line 0" in log.read_text()
    assert not (tmp_path / "dist").exists()
    assert build_dirs(tmp_path) == ["hello"]
    (tree / "hook.py").unlink()
    build(tree)
    assert build_dirs(tmp_path) == []


@pytest.mark.parametrize("end", ["os._exit(0)", "sys.exit(0)"])
@pytest.mark.parametrize("hook", ["get_requires_for_build_wheel", "build_wheel"])
def test_a_backend_that_ends_without_an_answer(build: Build, make_project: MakeProject, hook: str, end: str) -> None:
    program = f"import os, sys\nif hook == '{hook}':\n print('last words', flush=True); {end}"
    with pytest.raises(BuildFailed, match=f"its build backend ended in {hook} without a result") as raised:
        build(make_project(hook=program))
    assert raised.value.details.splitlines()[-1] == "last words"


def test_a_backend_that_is_killed(build: Build, make_project: MakeProject) -> None:
    tree = make_project(hook="import os; os.kill(os.getpid(), 9)")
    with pytest.raises(BuildFailed, match=r"was killed by signal 9 \(SIGKILL\) in get_requires_for_build") as raised:
        build(tree)
    assert "give it more memory" in raised.value.advice
    (tree / "hook.py").write_text("import os; os.kill(os.getpid(), 11)")
    with pytest.raises(BuildFailed, match=r"was killed by signal 11 \(SIGSEGV\)"):
        build(tree)


@pytest.mark.parametrize(
    ("number", "advice"), [("ENOSPC", "--usual-build-dir"), ("EAGAIN", "ulimit -u"), ("EMFILE", "ulimit -n")]
)
def test_a_backend_that_lacks_what_the_system_has(
    build: Build, make_project: MakeProject, number: str, advice: str
) -> None:
    reason = os.strerror(getattr(errno, number))
    program = f"import errno; raise OSError(errno.{number}, {reason!r}, '/a/file')"
    tree = make_project(hook=program)
    with pytest.raises(BuildFailed, match=rf"failed in get_requires_for_build_wheel \({reason}\)") as raised:
        build(tree)
    assert advice in raised.value.advice
    (tree / "hook.py").write_text("print('OSError: [Errno 28] x'); 1/0")
    with pytest.raises(BuildFailed, match="failed in get_requires_for_build_wheel") as raised:
        build(tree)
    assert "correct the error" in raised.value.advice


def test_a_backend_whose_requirements_are_no_list(build: Build, make_project: MakeProject) -> None:
    tree = make_project()
    with open(tree / "backend" / "tiny.py", "a") as f:
        f.write("\ndef get_requires_for_build_wheel(*_): return None\n")
    with pytest.raises(
        BuildFailed, match=r"returned an invalid result in get_requires_for_build_wheel \('NoneType' object"
    ):
        build(tree)


def test_a_backend_that_cannot_make_an_sdist_here(build: Build, make_project: MakeProject) -> None:
    tree = make_project()
    with open(tree / "backend" / "tiny.py", "a") as f:
        f.write("\nclass UnsupportedOperation(Exception): pass\n")
        f.write("\ndef build_sdist(*_): raise UnsupportedOperation('no git')\n")
    with pytest.raises(BuildFailed, match="says that it cannot do build_sdist here") as raised:
        build(tree, sdist_then_wheel=True)
    assert "no git" in raised.value.details


def test_a_failing_get_requires(build: Build, make_project: MakeProject) -> None:
    with pytest.raises(BuildFailed, match="failed in get_requires_for_build_wheel"):
        build(make_project(hook="1/0"))


def test_a_backend_that_is_not_there(build: Build, make_project: MakeProject, prefix: Path) -> None:
    tree = make_project(requires=[])
    with pytest.raises(BuildFailed, match="cannot be imported") as caught:
        build(tree)
    assert "declare" in caught.value.advice
    with pytest.raises(BuildFailed, match="cannot be imported") as caught:
        build(tree, isolation=False, skip_dependency_check=True, prefix=find_prefix(prefix))
    assert "install what build-system.requires names into the prefix" in caught.value.advice


def test_a_backend_that_lies_about_its_wheel(build: Build, make_project: MakeProject) -> None:
    tree = make_project()
    for result in ("'nothing.whl'", "'../../evil.whl'", "None", r"'a\0b'", r"'\ud800'"):
        with open(tree / "backend" / "tiny.py", "a") as f:
            f.write(f"\ndef build_wheel(*_, **__): return {result}\n")
        with pytest.raises(BuildFailed, match="its build backend says that it made"):
            build(tree)


def test_a_backend_that_makes_a_bad_wheel(build: Build, make_project: MakeProject, tmp_path: Path) -> None:
    with open(make_project() / "backend" / "tiny.py", "a") as f:
        f.write("\ndef build_wheel(to, *_, **__):\n n='hello-1.0-py3-none-any.whl'; open(to+'/'+n, 'w'); return n\n")
    with pytest.raises(WheelRefused):
        build(tmp_path / "hello-tree")
    assert not (tmp_path / "dist").exists()


def test_requirements_that_are_not_in_the_wheelhouse(build: Build, make_project: MakeProject, wheelhouse: Path) -> None:
    with pytest.raises(BuildFailed) as raised:
        build(make_project(requires=["tiny>=2", "absent"]))
    assert "the pyproject.toml of hello asks for" in str(raised.value)
    assert "--find-links" in str(raised.value)
    assert "--index" in str(raised.value)


def test_conflicting_requirements_name_both_askers(
    build: Build, make_project: MakeProject, make_wheel: MakeWheel, wheelhouse: Path
) -> None:
    make_wheel("one", "1.0", requires=["shared<2"])
    make_wheel("two", "1.0", requires=["shared>=2"])
    for version in ("1.0", "2.0"):
        make_wheel("shared", version)
    with pytest.raises(BuildFailed, match=r"shared<2 \(asked for by one 1.0\) and shared>=2 \(asked for by two 1.0\)"):
        build(make_project(requires=["tiny", "one", "two"]))


@pytest.mark.parametrize(
    "text", ["not toml", "[build-system]\nrequires = 3", "[build-system]\nrequires = []\nbackend-path = ['x']"]
)
def test_a_bad_pyproject(build: Build, make_project: MakeProject, text: str) -> None:
    tree = make_project()
    (tree / "pyproject.toml").write_text(text)
    # `build` 1.2.2, the oldest that is admitted, takes the last one, and finds no backend
    with pytest.raises(
        (SourceError, BuildFailed), match=r"hello-tree cannot be built|its build backend cannot be imported"
    ):
        build(tree)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"[build-system]\nrequires = []\n# \xe9\n", "it is not UTF-8"),
        (
            b'[build-system]\nrequires = []\nbuild-backend = "b"\nbackend-path = [".."]\n',
            "its backend-path is not accepted (paths must be inside source tree)",
        ),
    ],
)
def test_a_pyproject_that_cannot_be_used(build: Build, tmp_path: Path, text: bytes, reason: str) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree/pyproject.toml").write_bytes(text)
    with pytest.raises(SourceError, match=re.escape(f"tree cannot be built: {reason}; correct its pyproject.toml")):
        build(tmp_path / "tree")


def test_a_bad_pyproject_is_named_by_its_own_path(build: Build, make_project: MakeProject, tmp_path: Path) -> None:
    """Not by that of the copy, which is deleted."""
    tree = make_project()
    (tree / "pyproject.toml").write_text("not toml")
    with pytest.raises(SourceError) as raised:
        build(tree)
    assert str(tree / "pyproject.toml") in str(raised.value)
    assert "src" not in str(raised.value).replace(str(tree), "")


def test_a_wheel_that_is_stored_replaces_an_older_one(build: Build, make_project: MakeProject, tmp_path: Path) -> None:
    tree = make_project()
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / "hello-1.0-py3-none-any.whl").write_text("old")
    assert Path(build(tree).path).stat().st_size > 100
    assert os.listdir(tmp_path / "dist") == ["hello-1.0-py3-none-any.whl"]


def test_phases_are_announced(build: Build, make_project: MakeProject, wheelhouse: Path) -> None:
    announced: list[str] = []
    built = build(make_project(requires=["tiny"]), on_phase=announced.append)
    assert announced == ["source", "look-up", "environment", "get_requires", "build", "store"]
    assert all(seconds >= 0 for seconds in built.phases.values())


def test_sdist_then_wheel(build: Build, make_project: MakeProject, read_wheel: ReadWheel) -> None:
    """The file `extra` is not in the sdist that the backend makes."""
    tree = make_project(hook="import os; content['seen'] = repr(os.path.exists('extra'))")
    (tree / "extra").touch()
    assert read_wheel(build(tree).path)["seen"] == b"True"
    assert read_wheel(build(tree, sdist_then_wheel=True).path)["seen"] == b"False"


def test_editable(build: Build, make_project: MakeProject, read_wheel: ReadWheel) -> None:
    tree = make_project(hook="import os; content['seen'] = os.getcwd()")
    built = build(tree, editable=True)
    assert read_wheel(built.path)["seen"].decode() == str(tree)
    assert built.direct_url == {"dir_info": {"editable": True}, "url": f"file://{tree}"}


@pytest.mark.parametrize("item", ["hello", "hello[more]", "hello[more] ; python_version > '3'"])
def test_what_is_to_be_editable_is_a_directory_if_there_is_one(
    make_project: MakeProject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, item: str
) -> None:
    """As for pip, which takes the same word for a requirement without -e."""
    make_project(at=tmp_path / "hello")
    monkeypatch.chdir(tmp_path)
    [source] = sources_of([item], BuildOptions(editable=True))
    assert isinstance(source, SourceTree)
    assert source.path == str(tmp_path / "hello")


def test_editable_where_the_backend_cannot(build: Build, make_project: MakeProject) -> None:
    tree = make_project()
    with open(tree / "backend" / "tiny.py", "a") as f:
        f.write("\ndel build_editable\n")
    with pytest.raises(BuildFailed, match="has no build_editable"):
        build(tree, editable=True)


def test_only_a_tree_can_be_editable(build: Build, make_project: MakeProject, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="only a source tree"):
        build(sdist_of(make_project(at=tmp_path / "hello-1.0"), tmp_path), editable=True)


@pytest.mark.skipif(shutil.which("python3") is None, reason="needs a Python by name")
def test_another_interpreter_by_name(build: Build, make_project: MakeProject, read_wheel: ReadWheel) -> None:
    tree = make_project(hook="import sys; content['seen'] = str(sys.version_info[:2])")
    command = ["python3", "-c", "import sys; print(sys.version_info[:2])"]
    version = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    assert read_wheel(build(tree, python="python3").path)["seen"].decode() == version


def test_an_interpreter_that_is_none(build: Build, make_project: MakeProject) -> None:
    tree = make_project()
    with pytest.raises(SageWheelsError, match="gives no answer"):
        build(tree, python="/bin/false")
    with pytest.raises(SageWheelsError, match="cannot be run"):
        build(tree, python="/no/such/python")


# Not isolated


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "prefix"], check=True)
    return tmp_path / "prefix"


def put_backend_into(prefix: Path, wheelhouse: Path) -> None:
    (site_packages,) = prefix.glob("lib/python*/site-packages")
    shutil.unpack_archive(wheelhouse / "tiny-1.0-py3-none-any.whl", site_packages, "zip")


def test_modules_of_the_project_are_not_taken_for_those_of_python(
    build: Build, make_project: MakeProject, wheelhouse: Path, prefix: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_backend_into(prefix, wheelhouse)
    tree = make_project(requires=["tiny>=1"])
    for name in ("json", "select", "signal"):
        (tree / f"{name}.py").write_text("raise SystemExit('that of the project')\n")
    monkeypatch.chdir(tree)
    build(tree, isolation=False, prefix=find_prefix(prefix))


def test_without_isolation(
    build: Build, make_project: MakeProject, wheelhouse: Path, prefix: Path, read_wheel: ReadWheel
) -> None:
    put_backend_into(prefix, wheelhouse)
    tree = make_project(requires=["tiny>=1"], hook="import sys; content['seen'] = sys.prefix")
    built = build(tree, isolation=False, prefix=find_prefix(prefix))
    assert read_wheel(built.path)["seen"].decode() == str(prefix)


@pytest.mark.parametrize(("own", "is_on_path"), [("python", False), ("python3.x", False), ("python", True)])
def test_without_isolation_the_interpreter_has_the_name_by_which_others_call_it(
    build: Build,
    make_project: MakeProject,
    wheelhouse: Path,
    tmp_path: Path,
    read_wheel: ReadWheel,
    monkeypatch: pytest.MonkeyPatch,
    own: str,
    is_on_path: bool,
) -> None:
    """pip's own script names that with which the environment was made; `python3 -m build` finds python3 on PATH.

    SciPy, for example, writes the path into the wheel.
    """
    own = own.replace("3.x", f"3.{sys.version_info[1]}")
    base = Path(sys.executable).resolve()
    where = tmp_path / "base"
    where.mkdir()
    (where / own).symlink_to(base)
    root = tmp_path / "prefix"
    subprocess.run([where / own, "-m", "venv", "--without-pip", root], check=True)
    if is_on_path:
        monkeypatch.setenv("PATH", f"{root}/bin:{os.environ['PATH']}")
    put_backend_into(root, wheelhouse)
    tree = make_project(requires=["tiny>=1"], hook="import sys; content['seen'] = sys.executable")
    built = build(tree, isolation=False, prefix=find_prefix(root))
    assert read_wheel(built.path)["seen"].decode() == f"{root}/bin/{'python3' if is_on_path else own}"


def test_without_isolation_what_is_missing_is_named(
    build: Build, make_project: MakeProject, wheelhouse: Path, prefix: Path
) -> None:
    tree = make_project(requires=["tiny>=2", "absent"], more=["second"])
    where = find_prefix(prefix)
    with pytest.raises(BuildFailed, match=r"asks for absent; tiny>=2, which") as raised:
        build(tree, isolation=False, prefix=where)
    assert "--skip-dependency-check" in str(raised.value)
    put_backend_into(prefix, wheelhouse)
    with pytest.raises(BuildFailed, match=r"asks for absent; tiny>=2, there is 1.0, which"):
        build(tree, isolation=False, prefix=where)
    build(tree, isolation=False, prefix=where, skip_dependency_check=True)


def test_without_isolation_the_second_round_is_checked_too(
    build: Build, make_project: MakeProject, wheelhouse: Path, prefix: Path
) -> None:
    put_backend_into(prefix, wheelhouse)
    with pytest.raises(BuildFailed, match="get_requires_for_build_wheel of hello asks for second"):
        build(make_project(requires=["tiny"], more=["second"]), isolation=False, prefix=find_prefix(prefix))


@pytest.mark.parametrize("value", [None, "", "1"], ids=["unset", "empty", "set"])
@pytest.mark.parametrize("kind", ["installation", "sees-the-system"])
def test_without_isolation_nothing_of_the_users_own_is_seen(
    kind: str,
    value: str | None,
    build: Build,
    make_project: MakeProject,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    read_wheel: ReadWheel,
) -> None:
    python, root = make_installation(tmp_path / "installation"), tmp_path / "installation"
    (system,) = root.glob("lib/python*/site-packages")
    if kind == "installation":  # Debian's Python has its own packages elsewhere
        system = Path(find_prefix(root).path(find_prefix(root).scheme.purelib))
        system.mkdir(parents=True, exist_ok=True)
    (system / "of_the_system.py").touch()
    if kind == "sees-the-system":
        root = tmp_path / "prefix"
        subprocess.run([python, "-m", "venv", "--without-pip", "--system-site-packages", root], check=True)
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path / "user"))
    program = "import site; print(site.getusersitepackages())"
    mine = Path(subprocess.run([python, "-c", program], capture_output=True, check=True, text=True).stdout.strip())
    info = mine / "of_mine-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: of-mine\nVersion: 1.0\n")
    (mine / "of_mine.py").touch()
    if value is not None:
        monkeypatch.setenv("PYTHONNOUSERSITE", value)
    find = "importlib.util.find_spec(each)"
    hook = f"import importlib.util\nfor each in ('of_mine', 'of_the_system'): content[each] = str(bool({find}))"
    built = build(make_project(hook=hook), isolation=False, prefix=find_prefix(root))
    seen = read_wheel(built.path)
    assert (seen["of_mine"], seen["of_the_system"]) == (b"False", b"True")
    with pytest.raises(BuildFailed, match="asks for of-mine, which"):
        build(make_project("asks", requires=["of-mine"]), isolation=False, prefix=find_prefix(root))


def test_fallback_says_what_to_declare(
    build: Build, make_project: MakeProject, make_wheel: MakeWheel, wheelhouse: Path, prefix: Path
) -> None:
    put_backend_into(prefix, wheelhouse)
    (site_packages,) = prefix.glob("lib/python*/site-packages")
    (site_packages / "undeclared.py").touch()
    notes: list[str] = []
    tree = make_project(requires=["tiny"], hook="import undeclared")
    built = build(tree, fallback_no_isolation=True, prefix=find_prefix(prefix), on_note=notes.append)
    assert built.notes == tuple(notes)
    assert "built without isolation" in notes[0]
    assert "declare the project that has the module undeclared in build-system.requires" in notes[0]


def test_fallback_says_what_the_wheelhouse_lacks(
    build: Build, make_project: MakeProject, wheelhouse: Path, prefix: Path
) -> None:
    put_backend_into(prefix, wheelhouse)
    tree = make_project(requires=["tiny", "absent"])
    built = build(tree, fallback_no_isolation=True, skip_dependency_check=True, prefix=find_prefix(prefix))
    assert "put a wheel of absent into the wheelhouse" in built.notes[0]


def test_fallback_after_a_backend_that_ended_without_an_answer(
    build: Build, make_project: MakeProject, prefix: Path
) -> None:
    tree = make_project(hook="import os, sys\nif sys.prefix.endswith('/build/hello/env'): os._exit(0)")
    built = build(tree, fallback_no_isolation=True, prefix=find_prefix(prefix))
    assert "ended in get_requires_for_build_wheel without a result" in built.notes[0]


def test_no_fallback_for_a_wheel_without_name(
    build: Build, make_project: MakeProject, prefix: Path, tmp_path: Path
) -> None:
    """It would be built a second time, and refused again."""
    ran = tmp_path / "ran"
    tree = make_project(hook=f"if hook == 'build_wheel': open({str(ran)!r}, 'a').write('x')")
    declared = (tree / "pyproject.toml").read_text()
    (tree / "pyproject.toml").write_text(declared.partition("[project]")[0])
    with (tree / "backend" / "tiny.py").open("a") as f:
        f.write("_project = lambda: ['UNKNOWN', '0.0.0']\n")
    with pytest.raises(BuildFailed, match=r"made UNKNOWN 0\.0\.0"):
        build(tree, fallback_no_isolation=True, prefix=find_prefix(prefix))
    assert ran.read_text() == "x"


def test_fallback_that_fails_too(build: Build, make_project: MakeProject, prefix: Path) -> None:
    with pytest.raises(BuildFailed, match="cannot be imported"):
        build(make_project(requires=[]), fallback_no_isolation=True, prefix=find_prefix(prefix))


def test_a_wheel_for_another_platform_is_refused(
    build: Build, make_project: MakeProject, prefix: Path, tmp_path: Path
) -> None:
    tree = make_project()
    backend = tree / "backend" / "tiny.py"
    backend.write_text(backend.read_text().replace("py3-none-any", "cp37-cp37m-win32"))
    with pytest.raises(WheelRefused, match="is for cp37-cp37m-win32"):
        build(tree, prefix=find_prefix(prefix))
    assert not (tmp_path / "dist").exists()


# Several at once, and killed


BUILD = """
import sys
from sage_wheels.building import BuildOptions, build_wheel, parse_source
tree, dist, cache, house = sys.argv[1:]
options = BuildOptions(cache_dir=cache, find_links=(house,), on_note=lambda text: print(text, file=sys.stderr))
print(build_wheel(parse_source(tree), wheel_dir=dist, options=options).path)
"""


def start(tree: Path, tmp_path: Path) -> subprocess.Popen[str]:
    arguments = [tree, tmp_path / "dist", tmp_path / "cache", tmp_path / "wheelhouse"]
    return subprocess.Popen(
        [sys.executable, "-c", BUILD, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def test_processes_that_build_the_same_package(make_project: MakeProject, wheelhouse: Path, tmp_path: Path) -> None:
    tree = make_project(requires=["tiny"])
    running = [start(tree, tmp_path) for _ in range(4)]
    answers = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * 4, answers
    assert {answer for answer, _ in answers} == {f"{tmp_path}/dist/hello-1.0-py3-none-any.whl\n"}
    assert os.listdir(tmp_path / "dist") == ["hello-1.0-py3-none-any.whl"]
    assert build_dirs(tmp_path) == []


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_a_killed_builder(make_project: MakeProject, wheelhouse: Path, tmp_path: Path, how: signal.Signals) -> None:
    marker = tmp_path / "in-the-hook"
    hook = f"import os, time\nif not os.path.exists({str(marker)!r}):\n open({str(marker)!r}, 'w'); time.sleep(1000)"
    tree = make_project(requires=["tiny"], hook=hook)
    killed = start(tree, tmp_path)
    wait_for(marker)
    killed.send_signal(how)
    killed.communicate()
    assert killed.returncode in (-how, 130, 1)
    if how == signal.SIGINT:
        assert build_dirs(tmp_path) == []
    assert not (tmp_path / "dist").exists()
    again = start(tree, tmp_path)
    assert again.communicate()[1] == ""
    assert again.returncode == 0
    assert build_dirs(tmp_path) == []


def test_a_wheelhouse_that_is_written_while_it_is_read(
    build: Build,
    make_project: MakeProject,
    make_wheel: MakeWheel,
    wheelhouse: Path,
    tmp_path: Path,
    read_wheel: ReadWheel,
) -> None:
    """A wheel is copied in slowly by somebody who does not rename, removed, and copied in again."""
    make_wheel("helper", "1.0")
    newer = make_wheel("helper", "2.0", files={"helper.py": "version = '2.0'", "x": "0123456789" * 10_000}, to=tmp_path)
    content = newer.read_bytes()
    destination = wheelhouse / newer.name
    done = threading.Event()

    def write() -> None:
        while not done.is_set():
            with open(destination, "wb", buffering=0) as f:
                for start in range(0, len(content), 200):
                    f.write(content[start : start + 200])
            destination.unlink()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        tree = make_project(requires=["tiny", "helper"], hook="import helper; content['seen'] = helper.version")
        seen = {read_wheel(build(tree).path)["seen"] for _ in range(10)}
    finally:
        done.set()
        writer.join()
    assert seen <= {b"1.0", b"2.0"}


def test_a_wheel_that_goes_while_it_is_built_with(
    build: Build, make_project: MakeProject, make_wheel: MakeWheel, wheelhouse: Path, read_wheel: ReadWheel
) -> None:
    helper = make_wheel("helper", "1.0")
    removes_it = "import helper, pathlib; content['seen'] = 'it'\n"
    removes_it += f"pathlib.Path({str(wheelhouse / helper.name)!r}).unlink(missing_ok=True)\n"
    made = build(make_project(requires=["tiny", "helper"], hook=removes_it))
    assert read_wheel(made.path)["seen"] == b"it"


# What an installation asks for


def test_wheels_are_taken_as_they_are(make_wheel: MakeWheel) -> None:
    wheel = make_wheel("a", "1.0")
    with wheels_of([str(wheel)], None) as found:  # type: ignore[arg-type]
        assert [each.path for each in found] == [str(wheel)]


def test_what_is_built_for_an_installation_goes_afterwards(
    make_project: MakeProject, make_wheel: MakeWheel, options: BuildOptions, prefix: Path
) -> None:
    wheel, tree = make_wheel("a", "1.0"), make_project()
    with wheels_of([str(wheel), str(tree)], find_prefix(prefix), options) as found:
        first, second, direct_url = found[0].path, found[1].path, found[1].direct_url
        assert first == str(wheel)
        assert Path(second).exists()
        assert direct_url == {"dir_info": {}, "url": f"file://{tree}"}
    assert not Path(second).exists()
    assert wheel.exists()


def test_nothing_is_built_if_one_item_is_no_source(
    make_project: MakeProject, options: BuildOptions, prefix: Path, tmp_path: Path
) -> None:
    with (
        pytest.raises(SourceError),
        wheels_of([str(make_project()), "./nowhere"], find_prefix(prefix), options),
    ):
        pass
    assert not (tmp_path / "cache").exists()
