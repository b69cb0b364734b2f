"""PyPA's `installer`, and gpep517 with it, install into `PrefixDestination`, and read from `VerifiedWheel`.

Their own functions run, with the one name `SchemeDictionaryDestination` replaced.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import io
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import installer
import installer.__main__
import installer.destinations
import pytest
from installer.records import Hash, RecordEntry
from installer.sources import WheelFile
from installer.utils import Scheme

import sage_wheels
from sage_wheels import PrefixDestination, VerifiedWheel
from sage_wheels.prefix import find_prefix, lock
from sage_wheels.transaction.stage import LOCK, STAGES
from support.run import install, names, python, tool, tool_environment
from support.trees import difference, leftovers, make_prefix, set_aside, site_packages, snapshot
from support.wheels import make_wheel


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


def pkg(tmp_path: Path, version: str = "1", **more: Any) -> Path:
    files = {"pkg/__init__.py": f"v = {version!r}\ndef main(): print(v)\n", f"pkg/only_{version}.py": ""}
    data = {"scripts/tool": "#!python\nimport pkg; print(pkg.v)\n", "data/share/pkg": "x", "headers/pkg.h": "int x;\n"}
    usual = {"data": data, "entry_points": {"main": "pkg:main"}, "executable": ["scripts/tool"]}
    return make_wheel(tmp_path / "wheels", "pkg", version, files, **{**usual, **more})


def with_installer(wheel: Path, prefix: Path, **metadata: bytes) -> None:
    with WheelFile.open(wheel) as source:
        installer.install(source, PrefixDestination(prefix), metadata)


def replacement(prefix: Path) -> type[PrefixDestination]:
    """What stands in the place of `SchemeDictionaryDestination`, whose arguments it takes."""

    class Replacement(PrefixDestination):
        def __init__(self, *_: Any, **__: Any) -> None:
            super().__init__(prefix)

    return Replacement


def with_main_of_installer(wheel: Path, prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(installer.__main__, "SchemeDictionaryDestination", replacement(prefix))
    main = installer.__main__._main  # noqa: SLF001  what `python -m installer` calls
    main([str(wheel)])


def with_gpep517(wheel: Path, prefix: Path, monkeypatch: pytest.MonkeyPatch, directory: Path) -> None:
    monkeypatch.syspath_prepend(str(directory))
    monkeypatch.setattr(installer.destinations, "SchemeDictionaryDestination", replacement(prefix))
    module = importlib.import_module("gpep517.install")
    arguments = argparse.Namespace(
        prefix=None,
        interpreter=sys.executable,
        optimize=[0, 1],
        destdir=Path("/nowhere"),
        overwrite=False,
        symlink_pyc=False,
        symlink_to=None,
        verify_tags=True,
    )
    module.install_wheel_impl(arguments, wheel)


@pytest.fixture(scope="session")
def gpep517(tmp_path_factory: pytest.TempPathFactory, index_environment: dict[str, str]) -> Path:
    """A directory with gpep517, fetched from the index."""
    directory = tmp_path_factory.mktemp("gpep517")
    command = [sys.executable, "-m", "uv", "pip", "install", "-q", "--no-deps", "--target", str(directory), "gpep517"]
    environment = {**index_environment, **_for_uv(index_environment)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"gpep517 could not be fetched: {done.stderr[-300:]}")
    return directory


def _for_uv(environment: dict[str, str]) -> dict[str, str]:
    index = environment.get("PIP_INDEX_URL")
    return {"UV_DEFAULT_INDEX": index} if index else {}


def assert_as_we_install(wheel: Path, prefix: Path, tmp_path: Path, *, but: frozenset[str] = frozenset()) -> None:
    """`prefix` has what `sage_wheels.install` makes of `wheel`, but for what tells who has installed it."""
    (tmp_path / "ours").mkdir()
    ours = make_prefix(tmp_path / "ours")
    install(ours, wheel)
    told = {"REQUESTED", "RECORD", "direct_url.json", *but}
    here, there = ({path for path in files_of(each) if os.path.basename(path) not in told} for each in (prefix, ours))
    assert here == there
    for path in here:
        mine, theirs = (prefix / path).read_bytes(), (ours / path).read_bytes()
        if not path.endswith(".pyc"):
            assert mine.replace(str(prefix).encode(), str(ours).encode()) == theirs, path
        assert (prefix / path).stat().st_mode == (ours / path).stat().st_mode, path


def files_of(root: Path) -> set[str]:
    found = {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and not path.is_symlink()}
    return {path for path in found if not path.startswith(("var/", "bin/python"))}


def test_installer_installs_what_we_install(tmp_path: Path, prefix: Path) -> None:
    with_installer(pkg(tmp_path), prefix)
    assert_as_we_install(pkg(tmp_path), prefix, tmp_path)
    assert python(prefix, "import pkg; pkg.main()") == "1"
    assert subprocess.run([prefix / "bin/main"], capture_output=True, text=True, check=True).stdout == "1\n"
    assert subprocess.run([prefix / "bin/tool"], capture_output=True, text=True, check=True).stdout == "1\n"
    assert sage_wheels.verify("pkg", prefix) == []
    assert leftovers(prefix) == []


def test_the_main_function_of_installer(tmp_path: Path, prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with_main_of_installer(pkg(tmp_path), prefix, monkeypatch)
    with_main_of_installer(pkg(tmp_path, "2"), prefix, monkeypatch)
    assert_as_we_install(pkg(tmp_path, "2"), prefix, tmp_path)
    assert leftovers(prefix) == []


@pytest.mark.network
def test_gpep517(tmp_path: Path, prefix: Path, monkeypatch: pytest.MonkeyPatch, gpep517: Path) -> None:
    with_gpep517(pkg(tmp_path), prefix, monkeypatch, gpep517)
    with_gpep517(pkg(tmp_path, "2"), prefix, monkeypatch, gpep517)
    assert_as_we_install(pkg(tmp_path, "2"), prefix, tmp_path)
    assert leftovers(prefix) == []


def test_the_old_version_is_replaced_and_an_edited_file_kept(tmp_path: Path, prefix: Path) -> None:
    install(prefix, pkg(tmp_path))
    (site_packages(prefix) / "pkg/__init__.py").write_text("edited\n")
    with WheelFile.open(pkg(tmp_path, "2")) as source:
        destination = PrefixDestination(prefix)
        assert destination.report is None
        installer.install(source, destination, {})
    assert destination.report is not None
    assert [tuple(each) for each in destination.report.changes] == [("pkg", "1", "2")]
    assert list(set_aside(prefix).values()) == [b"edited\n"]
    assert names(prefix) == ["pkg 2"]


def test_the_metadata_of_the_frontend_is_kept(tmp_path: Path, prefix: Path) -> None:
    metadata = {
        "INSTALLER": b"a frontend\n",
        "REQUESTED": b"",
        "direct_url.json": b'{"url": "file:///x", "dir_info": {}}',
    }
    with_installer(pkg(tmp_path), prefix, **metadata)
    there = site_packages(prefix) / "pkg-1.dist-info"
    assert {name: (there / name).read_bytes() for name in metadata} == metadata
    assert sage_wheels.verify("pkg", prefix) == []


def test_without_metadata_of_a_frontend_the_installer_is_named(tmp_path: Path, prefix: Path) -> None:
    with_installer(pkg(tmp_path), prefix)
    there = site_packages(prefix) / "pkg-1.dist-info"
    assert (there / "INSTALLER").read_text() == "sage-wheels\n"
    assert not (there / "REQUESTED").exists()


def test_the_verified_wheel_gives_what_the_wheel_file_of_installer_gives(tmp_path: Path) -> None:
    wheel = pkg(tmp_path)
    with WheelFile.open(wheel) as theirs, VerifiedWheel.open(wheel) as ours:
        contents = [
            sorted((each, stream.read(), executable) for each, stream, executable in source.get_contents())
            for source in (theirs, ours)
        ]
        assert contents[0] == contents[1]
        assert len(contents[0]) == 9
        for name in ("distribution", "version", "dist_info_dir", "data_dir"):
            assert getattr(ours, name) == getattr(theirs, name)
        assert sorted(ours.dist_info_filenames) == sorted(theirs.dist_info_filenames)
        assert ours.read_dist_info("METADATA") == theirs.read_dist_info("METADATA")
        ours.validate_record()
        with pytest.raises(KeyError, match=r"has no pkg-1\.dist-info/nothing"):
            ours.read_dist_info("nothing")


def test_the_verified_wheel_is_installed_by_installer(tmp_path: Path, prefix: Path) -> None:
    with VerifiedWheel.open(pkg(tmp_path)) as source:
        installer.install(source, PrefixDestination(prefix), {})
    assert_as_we_install(pkg(tmp_path), prefix, tmp_path)


def test_a_large_member_of_the_verified_wheel(tmp_path: Path) -> None:
    data = os.urandom(1 << 20) * 9
    with VerifiedWheel.open(make_wheel(tmp_path, "pkg", "1", {"pkg/data": data})) as source:
        found = {each[0]: stream.read() for each, stream, _ in source.get_contents() if each[0] == "pkg/data"}
    assert found == {"pkg/data": data}


def test_a_wrong_hash_is_refused_before_the_content_is_given(tmp_path: Path, prefix: Path) -> None:
    wheel = make_wheel(tmp_path, "pkg", "1", {"a.py": "x"}, rows={"a.py": f"a.py,sha256={'A' * 43},1"})
    with VerifiedWheel.open(wheel) as source:
        with pytest.raises(source.validation_error, match="does not have the hash in its RECORD") as caught:
            source.validate_record()
        assert isinstance(caught.value, ValueError)
        assert isinstance(caught.value, sage_wheels.WheelRefused)
        source.validate_record(validate_contents=False)
        with pytest.raises(sage_wheels.WheelRefused, match="does not have the hash in its RECORD"):
            installer.install(source, PrefixDestination(prefix), {})
    assert names(prefix) == []


def written(
    prefix: Path, files: dict[tuple[str, str], bytes], commit_options: sage_wheels.CommitOptions | None = None
) -> tuple[PrefixDestination, list[Any]]:
    """A destination with `files`, by scheme and path, and what is to stand in RECORD."""
    destination = PrefixDestination(prefix, commit_options=commit_options)
    records: list[Any] = []
    for (scheme, path), content in files.items():
        entry = destination.write_file(Scheme(scheme), path, io.BytesIO(content), False)
        records.append((Scheme(scheme), entry))
    records.append((Scheme("purelib"), RecordEntry("pkg-1.dist-info/RECORD", None, None)))
    return destination, records


USUAL = {
    ("purelib", "pkg.py"): b"",
    ("purelib", "pkg-1.dist-info/METADATA"): b"Metadata-Version: 2.1\nName: pkg\nVersion: 1\n",
    ("purelib", "pkg-1.dist-info/WHEEL"): b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
}


def finish(prefix: Path, files: dict[tuple[str, str], bytes], record: str = "pkg-1.dist-info/RECORD") -> None:
    destination, records = written(prefix, files)
    destination.finalize_installation(Scheme("purelib"), record, records)


def test_the_usual_files_are_installed(prefix: Path) -> None:
    finish(prefix, USUAL)
    assert names(prefix) == ["pkg 1"]


METADATA, WHEEL = ("purelib", "pkg-1.dist-info/METADATA"), ("purelib", "pkg-1.dist-info/WHEEL")
HOSTILE: dict[str, dict[tuple[str, str], bytes]] = {
    "a path above": {("purelib", "../../../../evil"): b""},
    "a path above the scripts": {("scripts", "../../evil"): b""},
    "an absolute path": {("purelib", "/tmp/evil"): b""},
    "an absolute path of data": {("data", "/tmp/evil"): b""},
    "an empty path": {("purelib", ""): b""},
    "an empty path of data": {("data", ""): b""},
    "a NUL": {("purelib", "evil\0.py"): b""},
    "a line break": {("purelib", "evil\n.py"): b""},
    "a backslash": {("purelib", "evil\\x.py"): b""},
    "a surrogate": {("purelib", "evil\udc80"): b""},
    "a directory": {("purelib", "evil/"): b""},
    "a directory that is a file": {("purelib", "pkg.py/evil"): b""},
    "an interpreter": {("scripts", "python3"): b""},
    "an interpreter by data": {("data", "bin/python3"): b""},
    "the prefix's own": {("data", "pyvenv.cfg"): b"evil"},
    "our state": {("data", "var/lib/sage-wheels/journal"): b"evil"},
    "a standard library": {("data", f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/os.py"): b"evil"},
    "another record": {("purelib", "other-1.dist-info/RECORD"): b""},
    "a scheme inside the root": {("purelib", "pkg-1.data/scripts/evil"): b""},
    "another name": {METADATA: b"Metadata-Version: 2.1\nName: other\nVersion: 1\n"},
    "no name": {METADATA: b""},
    "no version of WHEEL": {WHEEL: b""},
    "another root": {WHEEL: b"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: py3-none-any\n"},
    "another Python": {WHEEL: b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: cp32-cp32m-any\n"},
    "no tag": {WHEEL: b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: ../../evil\n"},
    "tags of two": {WHEEL: b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-a\nTag: cp32-none-any\n"},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_what_no_wheel_may_bring_is_refused(prefix: Path, tmp_path: Path, what: str) -> None:
    before, outside = snapshot(prefix), sorted(tmp_path.iterdir())
    with pytest.raises(sage_wheels.WheelRefused) as caught:
        finish(prefix, {**USUAL, **HOSTILE[what]})
    assert "\n" not in str(caught.value)
    assert snapshot(prefix) == before
    assert sorted(tmp_path.iterdir()) == outside
    assert leftovers(prefix) == []


@pytest.mark.parametrize("path", ["RECORD", "pkg-1.dist-info", "../pkg-1.dist-info/RECORD", "pkg/RECORD", ""])
def test_a_record_elsewhere_is_refused(prefix: Path, path: str) -> None:
    with pytest.raises(sage_wheels.WheelRefused, match="is no path of a RECORD"):
        finish(prefix, USUAL, path)
    assert names(prefix) == []


@pytest.mark.parametrize("name", ["pkg-1", "six-1", "pkg-2", "a-b-c-d"])
def test_a_dist_info_of_another_name_is_refused(prefix: Path, name: str) -> None:
    files = {(scheme, path.replace("pkg-1", name)): content for (scheme, path), content in USUAL.items()}
    destination, records = written(prefix, files)
    records[-1] = (Scheme("purelib"), RecordEntry(f"{name}.dist-info/RECORD", None, None))
    if name == "pkg-1":
        destination.finalize_installation(Scheme("purelib"), f"{name}.dist-info/RECORD", records)
        return
    with pytest.raises(sage_wheels.WheelRefused):
        destination.finalize_installation(Scheme("purelib"), f"{name}.dist-info/RECORD", records)
    assert names(prefix) == []


def _without_first(records: list[Any]) -> None:
    del records[0]


def _with_another_hash(records: list[Any]) -> None:
    records[0] = (records[0][0], RecordEntry("pkg.py", Hash("sha256", "x"), 0))


def _with_another_scheme(records: list[Any]) -> None:
    records[0] = (Scheme("data"), records[0][1])


def _with_one_more(records: list[Any]) -> None:
    records.append((Scheme("data"), RecordEntry("../../etc/passwd", None, None)))


@pytest.mark.parametrize("spoil", [_without_first, _with_another_hash, _with_another_scheme, _with_one_more])
def test_records_that_are_not_those_of_what_was_written(prefix: Path, spoil: Callable[[list[Any]], None]) -> None:
    destination, records = written(prefix, USUAL)
    spoil(records)
    with pytest.raises(sage_wheels.WheelRefused, match="does not fit the file that was written"):
        destination.finalize_installation(Scheme("purelib"), "pkg-1.dist-info/RECORD", records)
    assert names(prefix) == []


def test_a_scheme_that_no_wheel_has(prefix: Path) -> None:
    with pytest.raises(sage_wheels.WheelRefused, match=r"'stdlib'.* is no scheme of a wheel"):
        written(prefix, {("stdlib", "os.py"): b""})


def test_a_file_that_is_written_twice(prefix: Path) -> None:
    destination, _ = written(prefix, USUAL)
    with pytest.raises(sage_wheels.WheelRefused, match=r"'pkg\.py' is written twice"):
        destination.write_file(Scheme("purelib"), "pkg.py", io.BytesIO(b"other"), False)


def test_a_script_that_no_entry_point_names(prefix: Path) -> None:
    destination, records = written(prefix, USUAL)
    records.append((Scheme("scripts"), destination.write_script("evil", "os", "system", "console")))
    with pytest.raises(sage_wheels.WheelRefused, match="the script 'evil' is not one of its entry points"):
        destination.finalize_installation(Scheme("purelib"), "pkg-1.dist-info/RECORD", records)
    assert not (prefix / "bin/evil").exists()


def test_the_limits_of_a_wheel_hold(prefix: Path) -> None:
    destination = PrefixDestination(prefix, limits=sage_wheels.WheelLimits(size=100))
    records = [
        (Scheme(scheme), destination.write_file(Scheme(scheme), path, io.BytesIO(content), False))
        for (scheme, path), content in USUAL.items()
    ]
    with pytest.raises(sage_wheels.WheelRefused, match="unpacks to more than 100 bytes"):
        destination.finalize_installation(Scheme("purelib"), "pkg-1.dist-info/RECORD", records)


def test_the_lock_is_taken_in_the_end_only(tmp_path: Path, prefix: Path) -> None:
    """While somebody else holds the lock, everything is written; the last call waits."""
    waits, goes_on = threading.Event(), threading.Event()
    destination, records = written(prefix, USUAL, sage_wheels.CommitOptions(say=lambda sentence: waits.set()))
    found = find_prefix(prefix)

    def finalize() -> None:
        destination.finalize_installation(Scheme("purelib"), "pkg-1.dist-info/RECORD", records)
        goes_on.set()

    os.makedirs(found.state, exist_ok=True)
    with lock.hold(found.path(LOCK), timeout=None, on_wait=lambda sentence: None):
        later = PrefixDestination(prefix)
        later.write_file(Scheme("purelib"), "x.py", io.BytesIO(b""), False)  # does not wait
        thread = threading.Thread(target=finalize)
        thread.start()
        assert waits.wait(60)
        assert not goes_on.is_set()
        assert names(prefix) == []
    thread.join()
    assert names(prefix) == ["pkg 1"]


def test_what_is_in_the_way_leaves_everything_as_it_was(tmp_path: Path, prefix: Path) -> None:
    install(prefix, make_wheel(tmp_path, "other", "1", {"pkg/__init__.py": "# other\n"}))
    before = snapshot(prefix)
    with pytest.raises(sage_wheels.Conflict, match="belongs to other 1"):
        with_installer(pkg(tmp_path), prefix)
    assert difference(before, snapshot(prefix)) == []
    assert leftovers(prefix) == []


def test_a_frontend_that_fails_leaves_nothing(tmp_path: Path, prefix: Path) -> None:
    def fail() -> None:
        begun = written(prefix, USUAL)
        assert begun
        assert os.listdir(prefix / STAGES)
        raise RuntimeError("the frontend fails")

    with pytest.raises(RuntimeError, match="the frontend fails"):
        fail()
    gc.collect()
    assert leftovers(prefix) == []
    assert names(prefix) == []


def test_a_frontend_that_dies_is_swept_by_the_next_command(prefix: Path) -> None:
    program = (
        "import io, os, sys, sage_wheels\n"
        "destination = sage_wheels.PrefixDestination(sys.argv[1])\n"
        "destination.write_file('purelib', 'pkg.py', io.BytesIO(b'x'), False)\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(prefix)], env=tool_environment())
    assert done.returncode == -9
    assert os.listdir(prefix / STAGES)
    assert tool("recover", "--prefix", prefix).returncode == 0
    assert leftovers(prefix) == []
