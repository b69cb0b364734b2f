"""Other users of the machine: nothing that they planted is followed, nothing that is made here is theirs to write."""

from __future__ import annotations

import hashlib
import marshal
import os
import stat
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels.building import BuildOptions
from sage_wheels.building.delivery import deliver
from sage_wheels.errors import SageWheelsError, SourceError, UnsafePath, WheelRefused
from sage_wheels.fs import trust
from sage_wheels.store.store import Store
from sage_wheels.wheel import bytecode, bytecode_cache, codes
from sage_wheels.wheel.wheel import Wheel
from support.projects import COPYING, backend_tree
from support.run import install, tool, tool_environment, uninstall
from support.trees import STATE, leftovers, make_prefix, site_packages, snapshot
from support.wheels import make_wheel

pytestmark = pytest.mark.once  # nothing of it depends on the version of Python

SOMEBODY = 12345
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make what belongs to somebody else")


def demo(directory: Path, version: str = "1") -> Path:
    return make_wheel(
        directory,
        "demo",
        version,
        {"demo/__init__.py": f"x = {version}\n", "demo/a.so": "x"},
        data={"scripts/run": "#!python\n", "data/share/demo/x": "x", "headers/h.h": "h"},
        entry_points={"demo": "demo:x"},
        executable=["demo/a.so"],
        modes={"demo/__init__.py": 0o6666},
    )


@pytest.mark.parametrize(
    ("umask", "file", "executable", "directory"),
    [
        (0o000, 0o664, 0o775, 0o775),  # pip and uv: 666 and 777
        (0o002, 0o664, 0o775, 0o775),
        (0o022, 0o644, 0o755, 0o755),
        (0o027, 0o640, 0o751, 0o750),  # pip: what is executable is so for everybody, whatever the umask
        (0o077, 0o600, 0o711, 0o700),
    ],
)
@pytest.mark.parametrize("by", ["api", "command line"])
def test_modes(tmp_path: Path, by: str, umask: int, file: int, executable: int, directory: int) -> None:
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    wheels = [demo(tmp_path, "1"), demo(tmp_path, "2")]
    old = os.umask(umask)
    try:
        for wheel in wheels:
            if by == "api":
                install(prefix, wheel)
            else:
                assert tool("install", "--prefix", prefix, wheel).returncode == 0
        assert os.umask(umask) == umask, "the umask of the process is what it was"
    finally:
        os.umask(old)
    after = snapshot(prefix)
    for path in after.keys() - before.keys():
        kind, mode, _ = after[path]
        is_executable = path.startswith("bin/") or path.endswith(".so")
        if kind == "directory":
            assert mode == directory, path
        elif not path.endswith(".pyc"):
            launcher = executable | 0o555  # pip: everybody may read the script of an entry point, too
            assert mode == (launcher if path == "bin/demo" else executable if is_executable else file), path
    for where, names, files in os.walk(prefix):
        for each in (*names, *files):
            status = os.lstat(os.path.join(where, each))
            assert stat.S_ISLNK(status.st_mode) or not status.st_mode & 0o6002, os.path.join(where, each)
    uninstall(prefix, "demo")
    assert snapshot(prefix) == before


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A directory like /tmp."""
    directory = tmp_path / "shared"
    directory.mkdir()
    directory.chmod(0o1777)
    return directory


@as_root
def test_a_cache_that_somebody_planted(tmp_path: Path, shared: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    (project / "pyproject.toml").write_text('[project]\nname = "demo"\nversion = "1"\n')
    target = tmp_path / "target"
    target.mkdir()
    (shared / "link").symlink_to(target)
    (shared / "directory/build").mkdir(parents=True)
    for name in ("link", "directory"):
        os.chown(shared / name, SOMEBODY, SOMEBODY, follow_symlinks=False)
        before = snapshot(tmp_path)
        with pytest.raises(UnsafePath, match=r"belongs to another user \(uid 12345\).*SAGE_WHEELS_CACHE$"):
            sage_wheels.build([f"{project}/"], tmp_path / "w", BuildOptions(cache_dir=str(shared / name / "cache")))
        assert snapshot(tmp_path) == before


@as_root
@pytest.mark.parametrize("there", ["", ".cache", ".cache/sage-wheels", "a link"])
def test_root_with_the_home_of_somebody_else_keeps_no_bytecode_there(tmp_path: Path, there: str) -> None:
    """As sudo may leave HOME; what root writes there, or deletes in a full cache, could be anywhere."""
    home, target, prefix = tmp_path / "home", tmp_path / "target", make_prefix(tmp_path)
    home.mkdir()
    (target / "bytecode").mkdir(parents=True, mode=0o700)
    if there == "a link":
        (home / ".cache").mkdir()
        (home / ".cache/sage-wheels").symlink_to(target)
    else:
        (home / there).mkdir(parents=True, exist_ok=True)
    for each in (home, *home.rglob("*")):
        os.chown(each, SOMEBODY, SOMEBODY, follow_symlinks=False)
    before = snapshot(home), snapshot(target)
    done = tool("install", "--prefix", prefix, demo(tmp_path), env=tool_environment(HOME=str(home)))
    assert done.returncode == 0, done
    assert list(prefix.rglob("*.pyc"))
    assert (snapshot(home), snapshot(target)) == before


def test_bytecode_that_somebody_planted_where_the_command_runs(tmp_path: Path) -> None:
    """A cache that may not be used is none, and has no name: what it is called is known to everybody."""
    source, prefix = "x = 'good'\n", make_prefix(tmp_path)
    wheel = make_wheel(tmp_path, "demo", "1", {"demo.py": source})
    with Wheel(str(wheel)) as opened:
        name = bytecode_cache.key(opened.record_digest, "0-")
    code = marshal.dumps({"demo.py": bytecode.compile_code(b"x = 'evil'\n", codes.placeholder(source.encode()))})
    (tmp_path / "None").mkdir()
    Store(str(tmp_path / "None")).keep("bytecode", name, {}, data={"codes": code})
    planted = snapshot(tmp_path / "None")
    no_cache = tool_environment(XDG_CACHE_HOME="not/absolute")
    assert tool("install", "--prefix", prefix, wheel, cwd=tmp_path, env=no_cache).returncode == 0
    (compiled,) = prefix.rglob("demo.*.pyc")
    assert b"good" in compiled.read_bytes()
    assert snapshot(tmp_path / "None") == planted


def test_a_link_in_the_place_of_what_a_dead_process_left(tmp_path: Path) -> None:
    prefix, outside = make_prefix(tmp_path), tmp_path / "outside"
    outside.mkdir()
    (outside / "precious").touch()
    install(prefix, demo(tmp_path))
    stage, link = prefix / STATE / "stage/1-1", prefix / "lib/.sage-wheels-1-1"
    stage.mkdir()
    (stage / "beside").write_text(
        "lib/.sage-wheels-1-1\nlib/../../outside/.sage-wheels-1-1\n/outside/.sage-wheels-1-1\n"
    )
    link.symlink_to(outside)
    done = tool("recover", "--prefix", prefix)
    assert done.returncode == 0
    assert f"{stage} could not be emptied (a symbolic link is in the way at " in done.stderr
    assert list(outside.iterdir()) == [outside / "precious"]


BACKEND = f"""{COPYING}
def build_wheel(directory, settings=None, metadata=None):
    with open(os.environ["MARK"], "a") as f:
        f.write("good\\n")
    raise SystemExit
"""


class Building:
    """A project whose backend, a wheel in a wheelhouse, says in `mark` that it ran, and then fails."""

    def __init__(self, directory: Path) -> None:
        self.mark, self.wheels, self.home = directory / "mark", directory / "wheels", directory / "home"
        self.cache = directory / "cache"
        self._out = directory / "out"
        self._tree = directory / "tree"
        self._tree.mkdir()
        (self._tree / "pyproject.toml").write_text(
            '[build-system]\nrequires = ["backend"]\nbuild-backend = "backend"\n[project]\nname = "p"\nversion = "1"\n'
        )
        backend = make_wheel(self.wheels, "backend", "1", {"backend.py": BACKEND})
        self._digest = hashlib.sha256(Path(backend).read_bytes()).hexdigest()

    def memo(self, kind: str) -> Path:
        """The one file with a result of that kind, or with that pattern."""
        if "/" in kind:
            [found] = self.cache.glob(kind)
        else:
            results = [(each, each.read_text()) for each in self.cache.glob("results/*/*")]
            # That of the backend's wheel: a tool outside of the system's directories has a remembered digest, too.
            said = f'"answer":"{self._digest}"' if kind == "digest" else ""
            [found] = [each for each, text in results if f'"kind":"{kind}"' in text and said in text]
        return found

    def build(self, *options: str | Path, **environ: str) -> tuple[str, str]:
        """What the backend that ran has written, and what was said."""
        self.mark.write_text("")
        where = tool_environment(MARK=str(self.mark), HOME=str(self.home), TMPDIR=str(self.mark.parent), **environ)
        line = ["build", "--find-links", self.wheels, "-w", self._out, *options, f"{self._tree}/"]
        done = tool(*line, env=where)
        assert done.returncode == 1
        return self.mark.read_text(), done.stderr


def change_in_place(file: Path) -> None:
    """As its owner could, who may also set the time back: `good` becomes `evil`, and nothing else changes."""
    status = file.stat()
    file.write_bytes(file.read_bytes().replace(b"good", b"evil"))
    os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))


@pytest.fixture
def building(tmp_path: Path) -> Building:
    return Building(tmp_path)


@pytest.mark.parametrize("mode", [0o777, 0o1777, 0o775])
@pytest.mark.parametrize("place", ["", "trees", "results", "build", "wheels"])
def test_a_named_cache_that_is_open_to_others_is_refused(building: Building, mode: int, place: str) -> None:
    (building.cache / place).mkdir(parents=True)
    building.cache.chmod(0o755)
    (building.cache / place).chmod(mode)
    ran, said = building.build("--cache-dir", building.cache)
    assert ran == ""
    assert "may write in" in said
    assert said.endswith("name a directory of your own with --cache-dir or SAGE_WHEELS_CACHE\n")


@as_root
@pytest.mark.parametrize("kind", ["", "trees", "results", "staging", "build"])
def test_a_named_cache_of_somebody_else_is_refused(building: Building, kind: str) -> None:
    assert building.build("--cache-dir", building.cache)[0] == "good\n"
    os.chown(building.cache / kind, SOMEBODY, SOMEBODY)
    ran, said = building.build("--cache-dir", building.cache)
    assert ran == ""
    assert "belongs to another user (uid 12345)" in said
    assert said.endswith("name a directory of your own with --cache-dir or SAGE_WHEELS_CACHE\n")


@as_root
@pytest.mark.parametrize("how", ["owner of a file", "owner of a directory", "mode of a file", "mode of a directory"])
def test_an_image_that_somebody_could_have_changed_is_made_again(building: Building, how: str) -> None:
    assert building.build("--cache-dir", building.cache)[0] == "good\n"
    [source] = building.cache.glob("trees/*/*/tree/lib/*/*/backend.py")
    for file in (source, *source.parent.glob("__pycache__/backend.*")):
        change_in_place(file)
    assert building.build("--cache-dir", building.cache)[0] == "evil\n"  # by ourselves it is not noticed
    path = source if how.endswith("file") else source.parent
    if how.startswith("owner"):
        os.chown(path, SOMEBODY, SOMEBODY)
    else:
        path.chmod(path.stat().st_mode | 0o020)
    assert building.build("--cache-dir", building.cache)[0] == "good\n"


@as_root
@pytest.mark.parametrize("kind", ["choice", "digest", "facts", "trees/*/*/about"])
def test_a_memo_of_somebody_else_is_not_believed(building: Building, kind: str) -> None:
    assert building.build("--cache-dir", building.cache)[0] == "good\n"
    evil = make_wheel(building.mark.parent, "evil", "1", {"backend.py": BACKEND.replace("good", "evil")})
    memo = building.memo(kind)
    if kind == "choice":
        Store(str(building.cache)).keep("choice", memo.name, {"picks": [["backend", "1", str(evil)]]})
        assert building.build("--cache-dir", building.cache)[0] == "evil\n"  # it would be used
    os.chown(memo, SOMEBODY, SOMEBODY, follow_symlinks=False)
    assert building.build("--cache-dir", building.cache)[0] == "good\n"
    memo = building.memo(kind)
    assert memo.lstat().st_uid == 0


@pytest.mark.parametrize("which", ["the user's", "that of build directories"])
def test_a_cache_that_nobody_named_is_not_used_and_that_is_said_once(building: Building, which: str) -> None:
    options: list[str | Path] = []
    if which == "the user's":
        cache = building.home / ".cache/sage-wheels"
    else:
        cache = building.cache
        options = ["--usual-build-dir", cache]
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    ran, said = building.build(*options)
    assert ran == "good\n"
    assert said.count(f"the cache {cache} is not used, because everybody may write in {cache}; delete it") == 1
    assert said.count("is not used") == 1
    assert list(cache.iterdir()) == []


@pytest.mark.parametrize("how", ["variable", "option"])
@pytest.mark.parametrize("what", ["open to others", "a file", "not possible"])
def test_a_cache_that_was_named_and_cannot_be_used_is_an_error(tmp_path: Path, what: str, how: str) -> None:
    """Of each command that would use it."""
    prefix, wheel, tree = make_prefix(tmp_path), demo(tmp_path), tmp_path / "tree"
    demo(tree)
    backend_tree(tree, "demo", "1", COPYING)
    cache = tmp_path / "cache"
    if what == "open to others":
        cache.mkdir()
        cache.chmod(0o777)
    else:
        cache.write_text("")
        cache = cache if what == "a file" else Path("/dev/null/cache")
    options: list[str | Path] = ["--cache-dir", cache] if how == "option" else []
    where = tool_environment(**{} if options else {"SAGE_WHEELS_CACHE": str(cache)})
    before = snapshot(site_packages(prefix))
    for line in (
        ["build", "-w", tmp_path / "out", f"{tree}/"],
        ["build", "-w", tmp_path / "out", f"{tree}/", f"{tree}/."],
        ["install", "--prefix", prefix, wheel],
        ["install", "--prefix", prefix, f"{tree}/"],
        ["cache", "info"],
        ["cache", "gc"],
        ["cache", "clear"],
        ["cache", "explain", f"{tree}/"],
    ):
        done = tool(*line, *options, env=where)
        assert done.returncode != 0, line
        assert str(cache) in done.stderr.splitlines()[-1], line
    assert tool("list", "--prefix", prefix, env=where).returncode == 0
    if not options:
        assert "ERROR: " in tool("pip", "--prefix", prefix, "install", "--no-index", wheel, env=where).stderr
        assert "\ncache: none: " in tool("--version", "--verbose", env=where).stdout
    assert snapshot(site_packages(prefix)) == before
    assert not (tmp_path / "out").exists()


def test_without_any_cache_a_build_has_one_of_its_own(building: Building) -> None:
    """Its log stays where it fails."""
    cache = building.home / ".cache/sage-wheels"
    cache.mkdir(parents=True)
    cache.chmod(0o777)
    ran, said = building.build()
    assert ran == "good\n"
    assert said.count("is not used") == 1
    [own] = building.mark.parent.glob("sage-wheels-cache-*")
    assert own.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in own.iterdir()] == ["build"]
    assert str(own / "build/p/build.log") in said
    assert (own / "build/p/build.log").exists()


def test_a_home_that_is_not_there_is_no_obstacle(tmp_path: Path) -> None:
    """HOME=/homeless-shelter, as package builders set it."""
    tree = tmp_path / "tree"
    wheel = demo(tree)
    backend_tree(tree, "demo", "1", COPYING)
    (tmp_path / "file").touch()
    where = tool_environment(HOME=str(tmp_path / "file/home"), TMPDIR=str(tmp_path))
    done = tool("build", "-w", tmp_path / "out", f"{tree}/", env=where)
    assert done.returncode == 0, done
    assert done.stderr.count("is not used, because it cannot be") == 1
    assert (tmp_path / "out" / wheel.name).exists()
    assert list(tmp_path.glob("sage-wheels-cache-*")) == []


@pytest.mark.parametrize("place", ["", "content"])
def test_bytecode_of_a_cache_that_is_open_to_others_is_not_installed(tmp_path: Path, place: str) -> None:
    home, prefix, wheel = tmp_path / "home", make_prefix(tmp_path), demo(tmp_path)
    cache = home / ".cache/sage-wheels"
    where = tool_environment(HOME=str(home))
    assert "not used" not in tool("install", "--prefix", prefix, wheel, env=where).stderr
    assert list((cache / "content").iterdir())
    (cache / place).chmod(0o777)
    before = snapshot(home)
    done = tool("install", "--reinstall", "--prefix", prefix, wheel, env=where)
    assert done.returncode == 0
    assert done.stderr.count(f"the cache {cache} is not used, because everybody may write in {cache / place}") == 1
    assert list(prefix.rglob("*.pyc"))
    assert snapshot(home) == before
    assert "not used" not in tool("install", "--reinstall", "--no-compile", "--prefix", prefix, wheel, env=where).stderr


@as_root
def test_a_log_that_somebody_planted(tmp_path: Path, shared: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (shared / "log").symlink_to(precious)
    os.chown(shared / "log", SOMEBODY, SOMEBODY, follow_symlinks=False)
    (tmp_path / "pyproject.toml").touch()
    options = BuildOptions(cache_dir=str(tmp_path / "cache"), log=str(shared / "log"))
    with pytest.raises(UnsafePath, match=r"name another --log$"):
        sage_wheels.build([f"{tmp_path}/"], tmp_path / "w", options)
    assert precious.read_text() == "precious"


@as_root
def test_a_prefix_that_somebody_planted(tmp_path: Path, shared: Path) -> None:
    make_prefix(tmp_path, "real")
    (shared / "prefix").symlink_to(tmp_path / "real")
    os.chown(shared / "prefix", SOMEBODY, SOMEBODY, follow_symlinks=False)
    before = snapshot(tmp_path / "real")
    wheel = demo(tmp_path)
    with pytest.raises(UnsafePath, match=r"name a prefix of your own$"):
        install(shared / "prefix", wheel)
    assert snapshot(tmp_path / "real") == before


def test_what_is_ours_is_trusted_wherever_it_is(shared: Path) -> None:
    (shared / "mine").mkdir()
    (shared / "link").symlink_to(shared / "mine")
    for path in ("mine/x", "link/x", "new/x", "mine"):
        trust.check(str(shared / path), "")


def test_a_link_planted_where_a_wheel_is_copied_to(
    tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    wheel = demo(tmp_path)
    precious = tmp_path / "precious"
    precious.write_text("precious")
    (shared / f".{wheel.name}.{os.getpid()}.part").symlink_to(precious)
    real = os.replace

    def elsewhere(source: str, destination: str) -> None:
        if not source.endswith(".part"):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), source, None, destination)
        real(source, destination)

    monkeypatch.setattr(os, "replace", elsewhere)
    assert deliver(str(wheel), str(shared)) == str(shared / wheel.name)
    assert precious.read_text() == "precious"
    assert [path.name for path in shared.iterdir()] == [wheel.name]


@pytest.mark.parametrize("how", ["content", "grown", "cut off", "replaced"])
def test_a_wheel_that_its_owner_changes_while_it_is_installed(tmp_path: Path, how: str) -> None:
    """Root installs what a user has: what was checked is what is written, or nothing is."""
    prefix = make_prefix(tmp_path)
    files = {f"demo/{number}.txt": os.urandom(3000).hex() for number in range(40)}
    wheel = make_wheel(tmp_path / "w", "demo", "1", {"demo/__init__.py": "", **files})
    before = snapshot(prefix)

    def meddle(begun: int, total: int) -> None:
        data = bytearray(wheel.read_bytes())
        if how == "replaced":
            (tmp_path / "w/new").write_bytes(b"evil")
            (tmp_path / "w/new").rename(wheel)
        elif how == "cut off":
            os.truncate(wheel, 200)
        elif how == "grown":
            wheel.write_bytes(b"evil" + data)
        else:
            data[len(data) // 3 : len(data) // 2] = b"evil" * ((len(data) // 2 - len(data) // 3) // 4)
            wheel.write_bytes(data)

    try:
        sage_wheels.install([str(wheel)], prefix, on_progress=meddle)
    except SageWheelsError as error:
        assert isinstance(error, (WheelRefused, SourceError)), repr(error)  # noqa: PT017
        assert how != "replaced"
        assert snapshot(prefix) == before
    else:
        assert how == "replaced", "an open file is what it was"
        installed = site_packages(prefix) / "demo"
        assert {f"demo/{each.name}": each.read_text() for each in installed.glob("*.txt")} == files
    assert leftovers(prefix) == []
