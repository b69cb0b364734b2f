"""The rules of tarfile's data filter, for Pythons that have none, compared with the real one where that is."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import subprocess
import sys
import tarfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from support.modules import loaded
from support.trees import make_prefix


@pytest.fixture
def tool(checkout: Path) -> Iterator[ModuleType]:
    with loaded(checkout / "build/lib/bootstrap_tool.py") as module:
        yield module


def member(name: str, kind: bytes = tarfile.REGTYPE, to: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, to, mode
    info.uid = info.gid = 12345
    return info


MEMBERS = [
    member("top", tarfile.DIRTYPE, mode=0o777),
    member("top/file", mode=0o666),
    member("top/script", mode=0o4775),
    member("top/odd", mode=0o011),
    member("/absolute"),
    member("../up"),
    member("top/../../up"),
    member("top/inside", tarfile.SYMTYPE, "file"),
    member("top/outside", tarfile.SYMTYPE, "../../outside"),
    member("top/rooted", tarfile.SYMTYPE, "/etc/passwd"),
    member("top/hard", tarfile.LNKTYPE, "top/file"),
    member("top/hard-out", tarfile.LNKTYPE, "../outside"),
    member("top/pipe", tarfile.FIFOTYPE),
    member("top/up", tarfile.SYMTYPE, ".."),
    member("top/up/beside"),
]


def by_data_filter(members: Iterable[tarfile.TarInfo], destination: str) -> Iterator[tarfile.TarInfo]:
    for each in members:
        with contextlib.suppress(tarfile.FilterError):
            yield tarfile.data_filter(each, destination)


def extracted(root: Path) -> dict[str, object]:
    found: dict[str, object] = {}
    for path in sorted(root.rglob("*")):
        status = path.lstat()
        mode = 0 if path.is_symlink() else status.st_mode
        found[str(path.relative_to(root))] = (mode, os.readlink(path) if path.is_symlink() else "", status.st_uid)
    return found


def test_what_it_lets_through_is_what_the_data_filter_lets_through(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not hasattr(tarfile, "data_filter"):
        pytest.skip("this Python has no data filter to compare with")
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as archive:
        for each in MEMBERS:
            archive.addfile(each)
    for name in ("real", "ours"):
        (tmp_path / name / "tree").mkdir(parents=True)
        data.seek(0)
        monkeypatch.chdir(tmp_path / name / "tree")
        with tarfile.open(fileobj=data) as archive:
            choose = tool.harmless if name == "ours" else by_data_filter
            archive.extractall(".", choose(archive, str(tmp_path / name / "tree")), filter="fully_trusted")
    assert extracted(tmp_path / "ours") == extracted(tmp_path / "real")
    assert "tree/top/file" in extracted(tmp_path / "ours")
    assert "outside" not in extracted(tmp_path / "ours")


@pytest.mark.skipif(os.geteuid() != 0 or not shutil.which("strace"), reason="needs root and strace")
def test_root_asks_for_each_owner_once(tmp_path: Path, checkout: Path) -> None:
    with tarfile.open(tmp_path / "many.tar", "w") as archive:
        for number in range(20):
            info = member(f"top/{number}")
            info.uname, info.gname = "nobody-of-this-name", "no-group-of-this-name"
            archive.addfile(info)
    program = """if True:
        import runpy, sys, tarfile
        tool = runpy.run_path(sys.argv[1])
        tool["remember_owners"]()
        tarfile.open(sys.argv[2]).extractall(sys.argv[3])
    """
    arguments = [str(checkout / "build/lib/bootstrap_tool.py"), str(tmp_path / "many.tar"), str(tmp_path / "out")]
    trace = ["strace", "-f", "-qq", "-o", str(tmp_path / "trace"), "-e", "trace=openat"]
    subprocess.run([*trace, sys.executable, "-I", "-W", "ignore", "-c", program, *arguments], check=True)
    opened = (tmp_path / "trace").read_text()
    assert opened.count('"/etc/passwd"') <= 1
    assert opened.count('"/etc/group"') <= 1
    assert {(path.stat().st_uid, path.stat().st_gid) for path in (tmp_path / "out/top").iterdir()} == {(12345, 12345)}


def test_the_virtual_environment_is_known_without_sage_venv(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """sage-spkg calls `sage-package download` before it reads this file."""
    monkeypatch.delenv("SAGE_VENV", raising=False)
    monkeypatch.setenv("SAGE_LOCAL", "/a tree/local")
    assert tool.virtual_environment(str(tmp_path)) == ""
    file = tmp_path / "src/bin/sage-src-env-config"
    file.parent.mkdir(parents=True)
    file.write_text('# SAGE_VENV\nexport SAGE_VENV="${SAGE_LOCAL}/var/lib/sage/venv-python3.13"\nexport X=1\n')
    assert tool.virtual_environment(str(tmp_path)) == "/a tree/local/var/lib/sage/venv-python3.13"
    monkeypatch.delenv("SAGE_LOCAL")
    assert tool.virtual_environment(str(tmp_path)) == ""
    monkeypatch.setenv("SAGE_VENV", "/venv")
    assert tool.virtual_environment(str(tmp_path)) == "/venv"


@pytest.mark.parametrize("arguments", [(), ("3.13",)])
def test_the_genuine_choice_of_a_tarball_gets_what_it_takes(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """10.10 gives it a version, 11.0 nothing."""

    class Package:
        tarballs_info = ({"tarball": "pkg-1.0.tar.gz"}, {"tarball": "pkg-1.0-cp313-cp313-win32.whl"})

        def _substitute_variables(self, text: str) -> str:
            return text

        def find_tarball_for_platform(self, *given: str) -> object:
            return ("genuine", *given)

    module = ModuleType("sage_bootstrap.package")
    module.__dict__["Package"] = Package
    monkeypatch.setitem(sys.modules, "sage_bootstrap", ModuleType("sage_bootstrap"))
    monkeypatch.setitem(sys.modules, "sage_bootstrap.package", module)
    tool.choose_by_tags(str(tmp_path), "")
    assert Package().find_tarball_for_platform(*arguments) == ("genuine", *arguments)


@pytest.mark.parametrize(
    ("given", "chosen"), [(["of-the-prefix"], True), (["of-the-prefix", "x"], False), (["x"], False), ([], False)]
)
def test_passagemath_is_told_the_best_of_many_wheels(
    tool: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: list[str], chosen: bool
) -> None:
    """If it is told no tags, it downloads all files of the package, and then stops."""
    make_prefix(tmp_path, "venv")
    best = f"pkg-1.0-cp3{sys.version_info[1]}-none-any.whl"
    files = ["pkg-1.0-cp399-none-any.whl", "pkg-1.0-py3-none-any.whl", best, "pkg-1.0.tar.gz"]
    told = []

    class Package:
        def __init__(self, name: str) -> None:
            self.name = name

        def tarballs(self) -> dict[str, object]:
            return {
                f"[{each}]": SimpleNamespace(filename=each) for each in (files if self.name == "pkg" else files[3:])
            }

    class Application:
        def download(self, package_name: str, allow_upstream: bool = False, tags: Iterable[str] = ()) -> None:
            told.append((package_name, allow_upstream, list(tags)))

    monkeypatch.setitem(sys.modules, "sage_bootstrap", ModuleType("sage_bootstrap"))
    for name, value in (("package", Package), ("app", Application)):
        module = ModuleType(f"sage_bootstrap.{name}")
        module.__dict__[value.__name__] = value
        monkeypatch.setitem(sys.modules, module.__name__, module)
    tool.know_tags(str(tmp_path), str(tmp_path / "venv"))
    Application().download("pkg", allow_upstream=True, tags=given)
    Application().download("one", tags=given)
    assert told == [("pkg", True, [f"[{best}]"] if chosen else given), ("one", False, [] if chosen else given)]


@pytest.mark.parametrize(
    "words",
    [
        *(["six"], ["--allow-upstream", "six"], ["--", "six"]),
        ["--allow-upstream", "--tags", "of-the-prefix", "--", "six"],  # passagemath
    ],
)
def test_a_file_that_is_there_is_answered_without_a_python(tmp_path: Path, checkout: Path, words: list[str]) -> None:
    """The second one is how sage-spkg calls it."""
    package, upstream = tmp_path / "build/pkgs/six", tmp_path / "upstream"
    for directory in (package, upstream, tmp_path / "build/bin", tmp_path / "build/lib"):
        directory.mkdir(parents=True)
    file = upstream / "six-1.17.0.whl"
    file.write_bytes(b"a wheel")
    digest = hashlib.sha256(b"a wheel").hexdigest()
    (package / "package-version.txt").write_text("1.17.0\n")
    (package / "checksums.ini").write_text(f"tarball=six-VERSION.whl\nsha256={digest}\n")
    script = tmp_path / "build/bin/sage-package"
    shutil.copy(checkout / "build/bin/sage-bootstrap-tool", script)
    (tmp_path / "build/lib/system-python.sh").write_text("remembered_python() { false; }\nno_system_python() { :; }\n")
    command = [str(script), "download", *words]
    environment = {"PATH": os.environ["PATH"], "SAGE_ROOT": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, f"{file}\n")
    file.write_bytes(b"another one")
    assert subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 1


class Tree:
    """A tree in which no Python can be found."""

    def __init__(self, root: Path, checkout: Path) -> None:
        self.root = root
        for directory in ("build/bin", "build/lib", "build/sage_bootstrap", "build/pkgs"):
            (root / directory).mkdir(parents=True)
        for name, source in (
            ("sage-package", "sage-bootstrap-tool"),
            ("sage-build-num-threads", "sage-build-num-threads"),
        ):
            shutil.copy(checkout / "build/bin" / source, root / "build/bin" / name)
        no_python = "remembered_python() { false; }\nno_system_python() { echo none >&2; }\n"
        (root / "build/lib/system-python.sh").write_text(no_python)
        (root / "build/lib/bootstrap_tool.py").touch()
        self.app = root / "build/sage_bootstrap/app.py"
        self.app.write_text("p = ['path', 'version_with_patchlevel', 'type', 'source', 'trees', 'purl']\n")

    def package(self, name: str, **files: str) -> None:
        directory = self.root / "build/pkgs" / name
        directory.mkdir()
        for file, text in {"type": "standard", **files}.items():
            (directory / file.replace("__", "-").replace("_txt", ".txt").replace("_ini", ".ini")).write_text(
                f"{text.rstrip()}\n"
            )

    def run(self, *words: str, **environment: str) -> str | None:
        """What is said without a Python; None if one is looked for."""
        script = self.root / "build/bin" / words[0]
        env = {"PATH": os.environ["PATH"], "SAGE_ROOT": str(self.root), **environment}
        done = subprocess.run([script, *words[1:]], env=env, capture_output=True, text=True, check=False)
        return None if done.returncode else done.stdout


@pytest.fixture
def bare(tmp_path: Path, checkout: Path) -> Tree:
    return Tree(tmp_path / "a tree", checkout)


WHEEL = {"checksums_ini": "tarball=X-VERSION.whl\nsha256=1\n", "version_requirements_txt": "# a\n\nA_Name >=1\n"}
PROPERTIES: list[tuple[dict[str, str], tuple[str, str, str, str]]] = [
    ({**WHEEL, "package__version_txt": "1.0.p2\n"}, ("1.0.p2", "wheel", "SAGE_VENV", "pkg:pypi/a-name")),
    ({"package__version_txt": "3", "checksums_ini": "tarball=x.tar"}, ("3", "normal", "SAGE_LOCAL", "pkg:generic/a-b")),
    ({"requirements_txt": "own\n", "trees_txt": "SAGE_LOCAL\n"}, ("none", "pip", "SAGE_LOCAL", "pkg:pypi/own")),
    ({"spkg__install": ""}, ("none", "script", "SAGE_LOCAL", "pkg:generic/a-b")),
    ({}, ("none", "none", "SAGE_LOCAL", "pkg:generic/a-b")),
]


@pytest.mark.parametrize(("files", "expected"), PROPERTIES)
def test_properties_are_answered_without_a_python(
    bare: Tree, files: dict[str, str], expected: tuple[str, str, str, str]
) -> None:
    bare.package("a_b", **files)
    version, source, trees, purl = expected
    said = bare.run("sage-package", "properties", "--format=shell", "a_b")
    assert said == (
        f"path_a_b='{bare.root}/build/pkgs/a_b'\nversion_with_patchlevel_a_b='{version}'\ntype_a_b='standard'\n"
        f"source_a_b='{source}'\ntrees_a_b='{trees}'\npurl_a_b='{purl}'\n"
    )


@pytest.mark.parametrize(
    "files",
    [
        {"type": "mine"},
        {"package__version_txt": "1.0\n2.0\n"},
        {"checksums_ini": "tarball=x.whl\ntarball=x.tar.gz\n"},
        {"requirements_txt": "it>=1\n"},
        {"trees_txt": "${SAGE_VENV}\n"},
    ],
)
def test_properties_of_what_is_unusual_are_left_to_the_genuine_code(bare: Tree, files: dict[str, str]) -> None:
    bare.package("a_b", **files)
    assert bare.run("sage-package", "properties", "--format=shell", "a_b") is None
    bare.package("b")
    assert bare.run("sage-package", "properties", "--format=shell", "b")
    assert bare.run("sage-package", "properties", "b") is None
    assert bare.run("sage-package", "properties", "--format=shell", ":all:") is None
    bare.app.write_text("p = ['path', 'description']\n")
    assert bare.run("sage-package", "properties", "--format=shell", "b") is None


@pytest.mark.parametrize("words", [["download"], ["properties", "--format=shell"]])
def test_what_is_no_package_is_left_to_the_genuine_code_without_a_word(bare: Tree, words: list[str]) -> None:
    script = bare.root / "build/bin/sage-package"
    env = {"PATH": os.environ["PATH"], "SAGE_ROOT": str(bare.root)}
    done = subprocess.run([script, *words, "nosuch"], env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "none\n")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, "1 4 4"),
        ({"MAKE": "make -j3"}, "3 3 4"),
        ({"MAKE": "make", "MAKEFLAGS": "w -j5 --jobserver-auth=3,4"}, "5 5 4"),
        ({"MAKE": "make -j2 -k -j6", "MAKEFLAGS": "j5"}, "6 6 4"),
        ({"SAGE_NUM_THREADS": "0"}, "4 4 4"),
        ({"SAGE_NUM_THREADS": "7", "MAKE": "make -j2", "SAGE_NUM_THREADS_PARALLEL": "9"}, "7 9 4"),
        ({"SAGE_NUM_CORES": "1"}, "1 2 1"),
        ({"SAGE_NUM_CORES": "16", "SAGE_NUM_THREADS": "0"}, "8 8 16"),
        ({"MAKE": "make -j"}, None),
        ({"MAKE": "make -j 3"}, None),
        ({"MAKE": "make -j3 -l2.5"}, None),
        ({"MAKE": "make --jobs=3"}, None),
        ({"SAGE_NUM_THREADS": "many"}, None),
        ({"SAGE_NUM_CORES": "0"}, None),
    ],
)
def test_the_number_of_threads_is_told_without_a_python(
    bare: Tree, environment: dict[str, str], expected: str | None
) -> None:
    """None where it is left to the genuine script."""
    said = bare.run("sage-build-num-threads", **{"SAGE_NUM_CORES": "4", **environment})
    assert said == (expected and f"{expected}\n")
