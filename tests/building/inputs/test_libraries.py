"""A wheel that needs shared libraries is taken only where they are, with the versions that it asks for. Promise 8."""

from __future__ import annotations

import contextlib
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sage_wheels.building import BuildOptions, build_wheel, parse_source
from sage_wheels.building.inputs import elf, macho
from sage_wheels.building.inputs.libraries import Collector, Here, Needed

pytestmark = pytest.mark.once  # nothing of it depends on the version of Python

MakeProject = Callable[..., Path]
needs_compiler = pytest.mark.skipif(
    not shutil.which("gcc") or sys.platform != "linux", reason="needs gcc, and ELF files"
)
HOOK = """
import os, subprocess
if hook == "build_wheel":
    open("answer.c", "w").write("int number(void); int answer(void) { return number(); }")
    link = ["-LLIBRARIES", "-lnumber"] if os.path.exists("LIBRARIES/libnumber.so") else []
    subprocess.run(["gcc", "-shared", "-fPIC", "-o", "answer.so", "answer.c", *link, *MORE], check=True)
    content["answer.so"] = open("answer.so", "rb").read().decode("latin-1")
"""


def compile_library(directory: Path, name: str, text: str, *options: str, versions: str = "") -> Path:
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.c").write_text(text)
    if versions:
        (directory / f"{name}.map").write_text(versions)
        options = (*options, f"-Wl,--version-script={directory}/{name}.map")
    path = directory / f"lib{name}.so"
    path.unlink(missing_ok=True)
    command = [
        "gcc",
        "-shared",
        "-fPIC",
        "-o",
        str(path),
        f"{directory}/{name}.c",
        f"-Wl,-soname,lib{name}.so",
        *options,
    ]
    subprocess.run(command, check=True)
    return path


NUMBER = "int number(void) { return 1; }"
VERSIONS = "NUMBER_1 { global: old_number; local: *; };\nNUMBER_2 { global: number; } NUMBER_1;\n"
WITH_OLD = f"{NUMBER} int old_number(void) {{ return 0; }}"


class Case:
    """A project whose extension needs libnumber.so in `libraries`, which is no input of its build."""

    def __init__(self, top: Path, make_project: MakeProject, options: BuildOptions, found_by: str) -> None:
        self.libraries = top / ("cache" if found_by == "prefix" else "libraries") / "lib"
        self.libraries.parent.mkdir(exist_ok=True)
        self.notes: list[str] = []
        self.tree = make_project()
        more = [f"-Wl,-rpath,{self.libraries}"] if found_by == "RUNPATH" else []
        # the backend writes text, so bytes go through latin-1, and the wheel is written by a hook of its own
        (self.tree / "hook.py").write_text(HOOK.replace("LIBRARIES", str(self.libraries)).replace("MORE", str(more)))
        backend = self.tree / "backend" / "tiny.py"
        backend.write_text(
            backend.read_text()
            .replace("text.encode()", "text.encode('latin-1')")
            .replace(
                "archive.writestr(zipfile.ZipInfo(path), text)",
                "archive.writestr(zipfile.ZipInfo(path), text.encode('latin-1'))",
            )
        )
        paths = (("LIBS", str(self.libraries.parent)),) if found_by == "a named path" else ()
        self.options = options._replace(cache_system="tests", on_note=self.notes.append, cache_paths=paths, log=None)

    def number(self, versions: str = VERSIONS) -> None:
        compile_library(self.libraries, "number", WITH_OLD, versions=versions)

    def is_stored(self) -> bool:
        self.notes.clear()
        wheel_dir = self.tree.parent / "dist"
        return build_wheel(parse_source(str(self.tree)), wheel_dir=wheel_dir, options=self.options).is_stored


@needs_compiler
@pytest.mark.parametrize("found_by", ["RUNPATH", "LD_LIBRARY_PATH", "a named path"])
def test_a_library_that_goes_or_lacks_a_version(
    tmp_path: Path, make_project: MakeProject, options: BuildOptions, found_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = Case(tmp_path, make_project, options, found_by)
    if found_by == "LD_LIBRARY_PATH":
        monkeypatch.setenv("LD_LIBRARY_PATH", str(case.libraries))
    case.number()
    assert [case.is_stored(), case.is_stored()] == [False, True]
    case.number("NUMBER_1 { global: old_number; };\nNUMBER_3 { global: number; } NUMBER_1;\n")
    assert not case.is_stored()
    assert "the wheel of hello in the store is not taken: libnumber.so has no NUMBER_2 here" in case.notes
    assert case.is_stored()  # what was built with the one that is here
    case.number()
    assert not case.is_stored()
    case.number(f"{VERSIONS}NUMBER_3 {{ }} NUMBER_2;\n")  # one that can do more
    assert case.is_stored()
    shutil.rmtree(case.libraries)
    assert not case.is_stored()
    assert case.notes == ["the wheel of hello in the store is not taken: libnumber.so is not here"]
    assert case.is_stored()


@needs_compiler
def test_a_library_for_another_machine_is_none(tmp_path: Path) -> None:
    path = compile_library(tmp_path, "number", NUMBER)
    found = elf.read(path.read_bytes())
    assert found
    here = Here({}, [str(tmp_path)])
    assert here.lack(Needed("libnumber.so", (), (), found.kind)) == ""
    assert here.lack(Needed("libnumber.so", (), (), (1, 1, 3))) == "libnumber.so is not here"


@needs_compiler
def test_what_is_in_the_wheel_or_was_never_found_is_not_asked_for(
    tmp_path: Path, make_project: MakeProject, options: BuildOptions
) -> None:
    inner = compile_library(tmp_path, "inner", NUMBER)
    outer = compile_library(
        tmp_path, "outer", "int number(void); int f(void) { return number(); }", f"-L{tmp_path}", "-linner"
    )
    collector = Collector()
    collector.look("pkg/outer.so", outer.read_bytes())
    assert "libinner.so" in {each.name for each in collector.needed()}
    collector.look("pkg.libs/libinner.so", inner.read_bytes())
    assert "libinner.so" not in {each.name for each in collector.needed()}
    case = Case(tmp_path, make_project, options, "nothing")  # another wheel brings it
    case.number()
    assert [case.is_stored(), case.is_stored()] == [False, True]
    case.number("NUMBER_9 { global: number; };")
    assert case.is_stored()


@needs_compiler
@pytest.mark.skipif(not shutil.which("readelf"), reason="needs readelf")
@pytest.mark.parametrize("path", ["/bin/sh", sys.executable, "libc.so.6", "libstdc++.so.6"])
def test_it_reads_what_readelf_reads(path: str) -> None:
    if "/" not in path:
        paths = [
            f"{each}/{path}"
            for each in ("/lib/x86_64-linux-gnu", "/lib64", "/usr/lib")
            if os.path.exists(f"{each}/{path}")
        ]
        if not paths:
            pytest.skip(f"there is no {path} here")
        path = paths[0]
    found = elf.read(Path(path).read_bytes())
    assert found
    told = subprocess.check_output(["readelf", "-dVW", path], text=True, env={**os.environ, "LC_ALL": "C"})
    lines = told.splitlines()
    assert found.needed == [line.split("[")[1].rstrip("]") for line in lines if "(NEEDED)" in line]
    versions = sorted(
        line.split("Name: ")[1].split()[0]
        for line in lines
        if "Flags:" in line and "Index:" not in line and "Name: " in line
    )
    assert sorted(each for names in found.versions.values() for each in names) == versions
    defined = {line.rsplit("Name: ", 1)[1] for line in lines if "Index:" in line}
    assert found.defined == defined


def minimal() -> bytes:
    """An ELF file with a dynamic section that says nothing."""
    head = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 3, 62, 1, 0, 64, 0, 0, 64, 56, 2, 0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 4, 0, 0, 0, 4096, 4096, 4096)
    dynamic = struct.pack("<IIQQQQQQ", 2, 4, 176, 176, 176, 64, 64, 8)
    entries = struct.pack("<qQqQqQqQ", 5, 240, 10, 16, 1, 1, 0, 0)
    return head + load + dynamic + entries + b"\0libm.so.6\0" + bytes(8)


def test_the_smallest_file() -> None:
    found = elf.read(minimal())
    assert found
    assert found.needed == ["libm.so.6"]
    assert elf.read(b"#!/bin/sh\n") is None


@given(st.lists(st.tuples(st.integers(0, 260), st.integers(0, 255)), max_size=6), st.integers(0, 270))
def test_damaged_files_are_refused_or_read_and_nothing_else(changes: list[tuple[int, int]], end: int) -> None:
    data = bytearray(minimal())
    for offset, value in changes:
        data[offset % len(data)] = value
    for each in (bytes(data), bytes(data)[:end]):
        with contextlib.suppress(ValueError):
            elf.read(each)


def mach(*commands: bytes, machine: int = 12, order: str = "<") -> bytes:
    """A Mach-O file of 64 bits with these load commands."""
    head = struct.pack(f"{order}IiiIIIII", 0xFEEDFACF, machine, 0, 6, len(commands), sum(map(len, commands)), 0, 0)
    return head + b"".join(commands)


def dylib(command: int, name: str, version: tuple[int, int, int], order: str = "<") -> bytes:
    text = name.encode() + bytes(8 - len(name) % 8)
    number = version[0] << 16 | version[1] << 8 | version[2]
    return struct.pack(f"{order}IIIIII", command, 24 + len(text), 24, 2, number + 1, number) + text


def rpath(path: str) -> bytes:
    text = path.encode() + bytes(8 - len(path) % 8)
    return struct.pack("<III", 0x8000001C, 12 + len(text), 12) + text


@pytest.mark.parametrize("name", ["@rpath/libnumber.dylib", "PLACE/libnumber.dylib"])
def test_the_compatibility_version_of_macos(tmp_path: Path, name: str) -> None:
    name = name.replace("PLACE", str(tmp_path))
    needs = mach(
        dylib(0xC, "/usr/lib/libSystem.B.dylib", (1, 0, 0)),
        dylib(0xC, "@loader_path/libown.dylib", (1, 0, 0)),
        dylib(0x80000018, "/opt/weak.dylib", (1, 0, 0)),
        dylib(0xC, name, (2, 3, 0)),
        rpath(str(tmp_path)),
    )
    collector = Collector()
    collector.look("pkg/answer.so", needs)
    collector.look("pkg/libown.dylib", mach(dylib(0xD, "@rpath/libown.dylib", (1, 0, 0))))
    [needed] = collector.needed()
    assert (needed.name, needed.versions) == (name, ("2.3.0",))
    library = tmp_path / "libnumber.dylib"
    for version, machine, lack in (
        ((2, 3, 0), 12, ""),
        ((2, 10, 0), 12, ""),
        ((2, 2, 9), 12, f"{name} has no 2.3.0 here"),
        ((2, 3, 0), 7, f"{name} is not here"),
    ):
        library.write_bytes(mach(dylib(0xD, name, version), machine=machine))
        assert Here({}, []).lack(needed) == lack
    both = [mach(dylib(0xD, name, (2, 3, 0)), machine=machine) for machine in (7, 12)]
    fat = b"\xca\xfe\xba\xbe" + struct.pack(">I", 2)
    fat += struct.pack(">iiIII", 7, 0, 64, len(both[0]), 0) + struct.pack(">iiIII", 12, 0, 1024, len(both[1]), 0)
    library.write_bytes(fat.ljust(64, b"\0") + both[0].ljust(960, b"\0") + both[1])
    assert Here({}, []).lack(needed) == ""
    library.unlink()
    assert Here({}, []).lack(needed) == f"{name} is not here"


@given(st.binary(max_size=40), st.lists(st.tuples(st.integers(0, 80), st.integers(0, 255)), max_size=4))
def test_damaged_files_of_macos(tail: bytes, changes: list[tuple[int, int]]) -> None:
    data = bytearray(mach(dylib(0xC, "@rpath/libnumber.dylib", (2, 3, 0)), rpath("/x")) + tail)
    for offset, value in changes:
        data[offset % len(data)] = value
    for each in (bytes(data), b"\xca\xfe\xba\xbe" + bytes(data), b"\xce\xfa\xed\xfe" + tail):
        with contextlib.suppress(ValueError):
            macho.read(each)
