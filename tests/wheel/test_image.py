"""`sage_wheels.wheel.image`, seen by what stands in the prefix afterwards."""

from __future__ import annotations

import json
import marshal
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import CodeType
from typing import Any

import pytest

from sage_wheels.errors import WheelRefused
from sage_wheels.installed import record
from sage_wheels.prefix import find_prefix
from sage_wheels.transaction.commit import CommitOptions
from sage_wheels.transaction.install import InstallOptions
from sage_wheels.transaction.install import install as install_requests
from sage_wheels.wheel.image import Request
from sage_wheels.wheel.wheel import Wheel
from support.pythons import Python, other_pythons
from support.run import install, python
from support.trees import leftovers, make_prefix, site_packages, snapshot
from support.wheels import make_wheel, record_row

VERSION = "{}.{}".format(*sys.version_info)
DIST_INFO = "pkg-1.dist-info"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


@pytest.fixture(params=[0o022, 0o077, 0o002, 0o027], ids=lambda mask: f"umask {mask:03o}")
def umask(request: pytest.FixtureRequest) -> Iterator[int]:
    old = os.umask(request.param)
    yield request.param
    os.umask(old)


def rows(prefix: Path, dist_info: str = DIST_INFO) -> dict[str, record.Row]:
    data = (site_packages(prefix) / dist_info / "RECORD").read_bytes()
    return {row.path: row for row in record.parse(data)}


def test_five_schemes(tmp_path: Path, prefix: Path) -> None:
    data = {"scripts/s": "1", "data/share/d": "2", "headers/h.h": "3", "platlib/p.py": "", "purelib/q/__init__.py": ""}
    install(prefix, make_wheel(tmp_path, "Some.Pkg", "1", {"root.py": ""}, data=data), compile_bytecode=False)
    library = site_packages(prefix)
    for path in (
        prefix / "bin/s",
        prefix / "share/d",
        prefix / f"include/site/python{VERSION}/some-pkg/h.h",
        library / "p.py",
        library / "q/__init__.py",
        library / "root.py",
    ):
        assert path.is_file(), path
    assert {path for path in rows(prefix, "Some_Pkg-1.dist-info") if ".dist-info/" not in path} == {
        *("../../../bin/s", "../../../share/d", f"../../../include/site/python{VERSION}/some-pkg/h.h"),
        *("p.py", "q/__init__.py", "root.py"),
    }


def test_modes_are_what_the_umask_and_the_wheel_say(tmp_path: Path, prefix: Path, umask: int) -> None:
    files = {"pkg/__init__.py": "", "pkg/run.sh": "#!/bin/sh\n", "pkg/odd": "", "pkg/set": ""}
    path = make_wheel(
        tmp_path,
        "pkg",
        "1",
        files,
        data={"scripts/plain": "#!/bin/sh\n"},
        entry_points={"tool": "pkg:main"},
        executable=["pkg/run.sh"],
        modes={"pkg/odd": 0o666, "pkg/set": 0o6755},
    )
    install(prefix, path)
    library = site_packages(prefix)
    plain, executable = 0o666 & ~umask, (0o777 & ~umask) | 0o111
    expected = {
        library / "pkg/__init__.py": plain,
        library / "pkg/odd": plain,
        library / f"pkg/__pycache__/__init__.{sys.implementation.cache_tag}.pyc": plain,
        library / DIST_INFO / "RECORD": plain,
        library / DIST_INFO / "INSTALLER": plain,
        library / DIST_INFO / "METADATA": plain,
        library / "pkg/run.sh": executable,
        library / "pkg/set": executable,
        prefix / "bin/plain": executable,
        prefix / "bin/tool": executable | 0o555,
        library / "pkg": 0o777 & ~umask,
        library / DIST_INFO: 0o777 & ~umask,
    }
    assert {each: oct(stat.S_IMODE(each.stat().st_mode)) for each in expected} == {
        each: oct(mode) for each, mode in expected.items()
    }


def test_record_lists_everything_with_hash_and_size(tmp_path: Path, prefix: Path) -> None:
    files = {"pkg/__init__.py": "x = 1\n", 'pkg/a,"b.txt': "b", "pkg/\N{LINE SEPARATOR}.txt": "c"}
    data = {"scripts/s": "#!python\nprint()\n"}
    before = snapshot(prefix)
    install(prefix, make_wheel(tmp_path, "pkg", "1", files, data=data, entry_points={"tool": "pkg:main"}))
    new = {path for path, (kind, _, _) in snapshot(prefix).items() if kind == "file"} - before.keys()
    library = site_packages(prefix)
    listed = {os.path.relpath(library / path, prefix): row for path, row in rows(prefix).items()}
    assert listed.keys() == new
    for listed_path, row in listed.items():
        if listed_path.endswith((".pyc", "/RECORD")):
            assert (row.digest, row.size) == ("", None), listed_path
        else:
            content = (prefix / listed_path).read_bytes()
            assert (row.digest, row.size) == (record.digest_of(content), len(content)), listed_path


def test_installer_and_requested(tmp_path: Path, prefix: Path) -> None:
    own = {"INSTALLER": "evil\n", "REQUESTED": "x"}
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"pkg.py": ""}, dist_info_files=own))
    dist_info = site_packages(prefix) / DIST_INFO
    assert (dist_info / "INSTALLER").read_text() == "sage-wheels\n"
    assert (dist_info / "REQUESTED").read_bytes() == b""


@pytest.mark.parametrize(
    "direct_url", [None, {"url": "file:///w/pkg.whl", "archive_info": {"hashes": {"sha256": "00"}}}]
)
@pytest.mark.parametrize("requested", [True, False])
def test_direct_url_is_what_was_asked_for(
    tmp_path: Path, prefix: Path, direct_url: dict[str, Any] | None, requested: bool
) -> None:
    wheel = make_wheel(tmp_path, "pkg", "1", {"pkg.py": ""})
    with Wheel(str(wheel)) as opened:
        request = Request(opened, direct_url, requested)
        install_requests(find_prefix(prefix), [request], InstallOptions(), CommitOptions())
    dist_info = site_packages(prefix) / DIST_INFO
    assert (dist_info / "REQUESTED").exists() == requested
    origin = dist_info / "direct_url.json"
    assert (json.loads(origin.read_text()) if origin.exists() else None) == direct_url


def test_a_wheel_named_by_its_path_says_so(tmp_path: Path, prefix: Path) -> None:
    """PEP 610, as pip does it for a local archive."""
    wheel = make_wheel(tmp_path, "pkg", "1", {"pkg.py": ""})
    install(prefix, wheel)
    origin = json.loads((site_packages(prefix) / DIST_INFO / "direct_url.json").read_text())
    assert origin["url"] == wheel.as_uri()
    assert "archive_info" in origin


LONG = "a directory with spaces/" + "and a very long name " * 6


@pytest.mark.parametrize("name", ["plain", "with space", "ünïcode", LONG], ids=["plain", "space", "unicode", "long"])
def test_scripts_run_from_any_prefix(tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    prefix = make_prefix(tmp_path, name)
    program = "import sys; print(sys.prefix, sys.argv[1:])\n"
    wheel = make_wheel(
        tmp_path,
        "pkg",
        "1",
        {"pkg.py": f"def main():\n    {program}    return 7\n"},
        data={"scripts/own": f"#!python\n{program}", "scripts/shell": "#!/bin/sh\necho shell\n"},
        entry_points={"entry": "pkg:main"},
    )
    install(prefix, wheel)
    for script, status in (("own", 0), ("entry", 7)):
        done = subprocess.run([prefix / "bin" / script, "a b", "'"], capture_output=True, text=True)
        assert (done.returncode, done.stdout, done.stderr) == (status, f"{prefix} ['a b', \"'\"]\n", "")
    assert subprocess.run([prefix / "bin/shell"], capture_output=True).stdout == b"shell\n"


@pytest.mark.parametrize(
    ("first", "rewritten"),
    [("#!python", True), ("#!pythonw", True), ("#!/usr/bin/python", False), ("#! python", False), ("", False)],
)
def test_only_a_shebang_of_python_is_rewritten(tmp_path: Path, prefix: Path, first: str, rewritten: bool) -> None:
    text = f"{first}\nprint('hello')\n"
    install(prefix, make_wheel(tmp_path, "pkg", "1", {}, data={"scripts/s": text}))
    installed = (prefix / "bin/s").read_text()
    assert installed == (f"#!{prefix}/bin/python\nprint('hello')\n" if rewritten else text)
    row = rows(prefix)["../../../bin/s"]
    assert row.digest == record.digest_of(installed.encode())


def test_a_script_larger_than_one_chunk(tmp_path: Path, prefix: Path) -> None:
    text = "#!python\nimport zlib, sys\n" + "# filler é\n" * 250_000 + "print('end')\n"
    install(prefix, make_wheel(tmp_path, "pkg", "1", {}, data={"scripts/s": text}))
    installed = (prefix / "bin/s").read_bytes()
    assert installed == f"#!{prefix}/bin/python\n".encode() + text.encode().partition(b"\n")[2]
    assert rows(prefix)["../../../bin/s"].digest == record.digest_of(installed)
    assert subprocess.run([prefix / "bin/s"], capture_output=True).stdout == b"end\n"


def code_objects(path: Path) -> Iterator[CodeType]:
    todo = [marshal.loads(path.read_bytes()[16:])]
    while todo:
        code = todo.pop()
        yield code
        todo += [each for each in code.co_consts if isinstance(each, CodeType)]


SOURCE = "class C:\n    def f(self):\n        return lambda: [x for x in ()]\n"


@pytest.mark.parametrize("name", ["prefix", "ünïcode", "x" * 200], ids=["plain", "unicode", "long"])
def test_bytecode_speaks_of_the_final_paths(tmp_path: Path, name: str) -> None:
    prefix = make_prefix(tmp_path, name)
    data = {"data/share/tool.py": SOURCE, "scripts/s.py": SOURCE}
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"pkg/__init__.py": SOURCE, "mod.py": SOURCE}, data=data))
    found = sorted(prefix.rglob("*.pyc"))
    assert len(found) == 4
    for path in found:
        source = path.parent.parent / f"{path.name.split('.')[0]}.py"
        codes = list(code_objects(path))
        assert len(codes) >= 4
        assert {code.co_filename for code in codes} == {str(source)}
        header = path.read_bytes()[4:16]
        status = source.stat()
        assert [int.from_bytes(header[n : n + 4], "little") for n in (0, 4, 8)] == [
            *(0, int(status.st_mtime) & 0xFFFFFFFF, status.st_size),
        ]


def test_the_same_wheel_in_another_prefix_speaks_of_that(tmp_path: Path) -> None:
    """A cache of byte-code, if there is one, carries no path over."""
    wheel = make_wheel(tmp_path, "pkg", "1", {"pkg/__init__.py": SOURCE, "pkg/a.py": SOURCE + "# a\n"})
    for name in ("one", "another with a longer name", "o"):
        prefix = make_prefix(tmp_path, name)
        install(prefix, wheel)
        library = site_packages(prefix)
        for path in library.rglob("*.pyc"):
            names = {code.co_filename for code in code_objects(path)}
            assert names == {str(library / f"pkg/{path.name.split('.')[0]}.py")}


def test_imports_write_no_bytecode_anew(tmp_path: Path, prefix: Path) -> None:
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"pkg/__init__.py": "import pkg.a\n", "pkg/a.py": SOURCE}))
    before = snapshot(prefix)
    subprocess.run([prefix / "bin/python", "-I", "-c", "import pkg"], check=True)
    assert snapshot(prefix) == before


@pytest.mark.skipif(not other_pythons(), reason="no Python of another version here")
@pytest.mark.parametrize("other", other_pythons(), ids=lambda each: "{}.{}".format(*each.version))
def test_bytecode_for_another_python(tmp_path: Path, other: Python) -> None:
    prefix = tmp_path / "p"
    subprocess.run([other.executable, "-I", "-m", "venv", "--without-pip", str(prefix)], check=True)
    files = {"pkg/__init__.py": "import pkg.a\n", "pkg/a.py": "x = 1\n", "pkg/bad.py": "x = = 1\n"}
    report = install(prefix, make_wheel(tmp_path, "pkg", "1", files))
    assert report.not_compiled == ()
    library = prefix / "lib/python{}.{}/site-packages".format(*other.version)
    tag = "cpython-{}{}".format(*other.version)
    assert sorted(os.listdir(library / "pkg/__pycache__")) == [f"__init__.{tag}.pyc", f"a.{tag}.pyc"]
    listed = {row.path for row in record.parse((library / DIST_INFO / "RECORD").read_bytes())}
    assert {path for path in listed if path.endswith(".pyc")} == {
        f"pkg/__pycache__/{name}.{tag}.pyc" for name in ("__init__", "a")
    }
    before = snapshot(prefix)
    program = "import pkg.a; print(pkg.a.x, pkg.a.__loader__.get_code('pkg.a').co_filename)"
    assert python(prefix, program) == f"1 {library}/pkg/a.py"
    subprocess.run([prefix / "bin/python", "-I", "-c", program], check=True, capture_output=True)
    assert snapshot(prefix) == before


@pytest.mark.parametrize(
    "other", [None, *other_pythons()], ids=lambda each: "{}.{}".format(*each.version) if each else "own"
)
def test_a_shared_file_is_listed_with_its_bytecode_by_each_of_its_wheels(tmp_path: Path, other: Python | None) -> None:
    """In one call as in one call each; and its scripts, too."""
    files = {"ns/__init__.py": "import os\n"}
    scripts = {"scripts/tool": "#!python\n", "scripts/sh": "#!/bin/sh\n"}
    wheels = [
        make_wheel(tmp_path, name, "1", {**files, **more}, data=scripts, entry_points={"t": "ns:f"})
        for name, more in (("one", {"ns/one.py": ""}), ("two", {}), ("three", {"ns/three.py": ""}))
    ]
    found = []
    for calls in ([wheels], [[wheel] for wheel in wheels]):
        prefix = tmp_path / "prefix"
        if other:
            subprocess.run([other.executable, "-I", "-m", "venv", "--without-pip", str(prefix)], check=True)
        else:
            make_prefix(tmp_path, prefix.name)
        for call in calls:
            assert install(prefix, *call).not_compiled == ()
        listed = {path.parent.name: path.read_bytes() for path in (prefix / "lib").rglob("RECORD")}
        assert len(listed) == 3
        assert all(b"ns/__pycache__/__init__.cpython-" in each for each in listed.values())
        found.append(listed)
        shutil.rmtree(prefix)
    assert found[0] == found[1]


@pytest.mark.parametrize("program", [None, "#!/bin/sh\nexit 1\n", "garbage", "#!/bin/sh\necho '[]'\n"])
def test_a_target_that_cannot_run_gets_its_files_and_says_what_is_missing(
    tmp_path: Path, prefix: Path, program: str | None
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    for each in (prefix / "bin").iterdir():
        each.unlink()
    if program:
        (home / "python3.99").write_text(program)
        (home / "python3.99").chmod(0o755)
    (prefix / "pyvenv.cfg").write_text(f"home = {home}\nversion = 3.99.0\n")
    files = {"pkg/__init__.py": "", "pkg/a.py": "", "mod.py": "", "pkg/data.txt": ""}
    report = install(prefix, make_wheel(tmp_path, "pkg", "1", files, entry_points={"t": "pkg:f"}))
    assert report.not_compiled == (("pkg", 3),)
    library = prefix / "lib/python3.99/site-packages"
    assert (library / "pkg/a.py").exists()
    assert (prefix / "bin/t").exists()
    assert not list(prefix.rglob("__pycache__"))
    listed = record.parse((library / DIST_INFO / "RECORD").read_bytes())
    assert not [row for row in listed if row.path.endswith(".pyc")]


def test_bytecode_that_a_wheel_brings_stays_where_none_can_be_made(tmp_path: Path, prefix: Path) -> None:
    """Of another source than those that could not be compiled."""
    for each in (prefix / "bin").iterdir():
        each.unlink()
    (prefix / "pyvenv.cfg").write_text(f"home = {tmp_path}\nversion = 3.99.0\n")
    member = "pkg/__pycache__/other.cpython-312.pyc"
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"pkg/a.py": "", member: b"junk"}))
    assert (prefix / "lib/python3.99/site-packages" / member).read_bytes() == b"junk"


def test_nothing_is_compiled_if_that_is_not_wanted(tmp_path: Path, prefix: Path) -> None:
    report = install(prefix, make_wheel(tmp_path, "pkg", "1", {"pkg/__init__.py": ""}), compile_bytecode=False)
    assert report.not_compiled == ()
    assert not list(prefix.rglob("__pycache__"))


def test_pycache_members_of_a_wheel_are_like_any_other(tmp_path: Path, prefix: Path) -> None:
    member = f"pkg/__pycache__/other.{sys.implementation.cache_tag}.pyc"
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"pkg/__init__.py": "", member: b"junk"}))
    assert (site_packages(prefix) / member).read_bytes() == b"junk"
    assert rows(prefix)[member].size == 4


@pytest.mark.parametrize("algorithm", ["sha224", "sha384", "sha512", "sha3_256", "blake2b"])
@pytest.mark.parametrize("right", [True, False])
def test_other_hashes_are_checked_too(tmp_path: Path, prefix: Path, algorithm: str, right: bool) -> None:
    import hashlib

    content = b"x" if right else b"y"
    row = f"pkg.py,{record.encode(algorithm, hashlib.new(algorithm, content).digest())},1"
    wheel = make_wheel(tmp_path, "pkg", "1", {"pkg.py": "x"}, rows={"pkg.py": row})
    if right:
        install(prefix, wheel)
        assert rows(prefix)["pkg.py"].digest.startswith(f"{algorithm}=")
    else:
        with pytest.raises(WheelRefused, match=r"the content of 'pkg\.py' does not have the hash in its RECORD"):
            install(prefix, wheel)


def test_a_wrong_hash_anywhere_in_a_large_wheel(tmp_path: Path, prefix: Path) -> None:
    """Large enough for several processes."""
    files: dict[str, bytes | str] = {f"pkg/f{n}.bin": os.urandom(1 << 19) for n in range(12)}
    before = snapshot(prefix)
    wheel = make_wheel(tmp_path, "pkg", "1", files, rows={"pkg/f7.bin": record_row("pkg/f7.bin", bytes(1 << 19))})
    with pytest.raises(WheelRefused, match=r"'pkg/f7\.bin' does not have the hash"):
        install(prefix, wheel)
    assert snapshot(prefix) == before
    assert leftovers(prefix) == []


def test_a_data_directory_whose_name_is_spelt_otherwise(tmp_path: Path, prefix: Path) -> None:
    """Its files go where its schemes say, as with pip, and what a scheme must not bring is refused there, too."""
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"Pkg-1.0.data/scripts/tool": "#!python\n", "a.py": ""}))
    assert (prefix / "bin/tool").read_text() == f"#!{prefix}/bin/python\n"
    assert not (site_packages(prefix) / "Pkg-1.0.data").exists()
    with pytest.raises(WheelRefused, match="would replace the interpreter"):
        install(prefix, make_wheel(tmp_path, "two", "1", {"other.data/scripts/python": "#!python\n"}))
    with pytest.raises(WheelRefused, match="two of its members have the same destination"):
        install(prefix, make_wheel(tmp_path, "two", "2", {"other.data/purelib/b.py": "x", "b.py": "y"}))


def test_two_members_for_one_place(tmp_path: Path, prefix: Path) -> None:
    wheel = make_wheel(tmp_path, "pkg", "1", {"pkg/a": "x"}, data={"purelib/pkg/a": "y"})
    with pytest.raises(WheelRefused, match="two of its members have the same destination"):
        install(prefix, wheel)


def test_a_file_where_another_scheme_has_a_directory(tmp_path: Path, prefix: Path) -> None:
    wheel = make_wheel(tmp_path, "pkg", "1", {"pkg/a": "x"}, data={"purelib/pkg": "y"})
    before = snapshot(prefix)
    with pytest.raises(WheelRefused, match=r"it makes lib/.*/pkg both a file and a directory"):
        install(prefix, wheel)
    assert snapshot(prefix) == before
    assert leftovers(prefix) == []
