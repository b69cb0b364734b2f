"""Does a wheel speak of a place? In whatever form the path stands there."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import py_compile
import shutil
import subprocess
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.building.inputs.paths import named_in

PLACE = "/some/where/to build é"
PLACES = {"build": PLACE, "prefix": "/opt/prefix"}


def wheel(tmp_path: Path, data: bytes) -> str:
    path = tmp_path / "a-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data", b"x" * 100_000 + data)
        archive.writestr("b/", b"")
    return str(path)


@pytest.mark.parametrize(
    "data",
    [
        PLACE.encode(),
        PLACE.replace("/", "\\/").encode(),
        PLACE.replace(" ", "\\ ").encode(),
        PLACE.encode("utf-16-le"),
        PLACE.encode("utf-16-be"),
        PLACE.encode("utf-32-le"),
        b"file:///some/where/to%20build%20%C3%A9/x",
        b"%2Fsome%2Fwhere%2Fto%20build%20%C3%A9",
        b"/some/where/to build \\xe9",
        b"/some/where/to build \\u00e9",
        b"/some/where/to build \\xc3\\xa9",
        b"/some/where/to build \\303\\251",
    ],
    ids=range(12),
)
def test_a_path_in_a_member(tmp_path: Path, data: bytes) -> None:
    assert named_in(wheel(tmp_path, data), PLACES) == ["build"]


def test_a_path_without_its_links(tmp_path: Path) -> None:
    """As the system calls it; a program that asks for its current directory gets that."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    found = named_in(wheel(tmp_path, bytes(tmp_path / "real" / "build")), {"build": str(tmp_path / "link" / "build")})
    assert found == ["build"]


def test_no_path(tmp_path: Path) -> None:
    assert named_in(wheel(tmp_path, b"/some/where/else"), PLACES) == []
    assert named_in(wheel(tmp_path, b"/opt/prefix/bin and " + PLACE.encode()), PLACES) == ["build", "prefix"]


def zipped(data: bytes) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", data)
    return file.getvalue()


def in_tar(data: bytes) -> bytes:
    file, member = io.BytesIO(), tarfile.TarInfo("a")
    member.size = len(data)
    with tarfile.open(fileobj=file, mode="w:") as archive:
        archive.addfile(member, io.BytesIO(data))
    return file.getvalue()


COMPRESSED: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zip": zipped,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda data: lzma.compress(data, format=lzma.FORMAT_ALONE),
    "zlib": zlib.compress,
    "tar.xz": lambda data: lzma.compress(in_tar(data)),
    "a zip file in tar.gz": lambda data: gzip.compress(in_tar(zipped(data))),
}
IN_PARTS: dict[str, Callable[[bytes], bytes]] = {
    "two streams of gzip": lambda data: gzip.compress(b"x") + gzip.compress(data),
    "two streams of bzip2": lambda data: bz2.compress(b"x") + bz2.compress(data),
    "a program that is a zip file": lambda data: b"#!/usr/bin/env python3\n" + zipped(data),
}


@pytest.mark.parametrize("kind", [*COMPRESSED, *IN_PARTS])
def test_a_compressed_member(tmp_path: Path, kind: str) -> None:
    """As manual pages and eggs. A damaged one, as data for tests may be, says nothing."""
    path = tmp_path / "b-1.0-py3-none-any.whl"
    data = {**COMPRESSED, **IN_PARTS}[kind](b"x" * 1000 + PLACE.encode())
    assert PLACE.encode() not in data
    damaged = data[:20] + b"damaged" + data[27:60]
    for content, found in ((data, ["build"]), *([(damaged, [])] if kind in COMPRESSED else [])):
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("a", content)
        assert named_in(str(path), PLACES) == found


@pytest.mark.parametrize("kind", ["zstd", "lz4", "deep"])
def test_what_nobody_can_look_into_may_contain_each_path(tmp_path: Path, kind: str) -> None:
    data = {"zstd": b"\x28\xb5\x2f\xfd\x04\x00\x29", "lz4": b"\x04\x22\x4d\x18\x64\x40\xa7", "deep": PLACE.encode()}[
        kind
    ]
    for _ in range(6 if kind == "deep" else 0):
        data = gzip.compress(data)
    path = tmp_path / "b-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", data)
    assert named_in(str(path), PLACES) == ["build", "prefix"]


@pytest.mark.skipif(not (shutil.which("gcc") and shutil.which("ar")), reason="needs gcc and ar")
def test_debug_sections_in_a_static_library(tmp_path: Path) -> None:
    build = tmp_path / "build directory"
    build.mkdir()
    (build / "a.c").write_text("".join(f"int f{number}(int x) {{ return x + {number}; }}\n" for number in range(300)))
    compile_it = ["gcc", "-gdwarf-4", "-gz=zlib", "-c", "a.c"]
    if subprocess.run(compile_it, cwd=build, capture_output=True, check=False).returncode:
        pytest.skip("this gcc does not compress")
    (build / "odd").write_text("odd")
    subprocess.run(["ar", "rc", "liba.a", "odd", "a.o"], cwd=build, check=True)
    data = (build / "liba.a").read_bytes()
    assert bytes(build) not in data
    path = tmp_path / "a-1.0-cp311-cp311-linux_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("liba.a", data)
    assert named_in(str(path), {"build": str(build), "other": "/nowhere/x"}) == ["build"]


def test_byte_code(tmp_path: Path) -> None:
    source = tmp_path / "a.py"
    source.write_text("def f(): return 1\n")
    compiled = Path(py_compile.compile(str(source), cfile=str(tmp_path / "a.pyc"), dfile="/opt/prefix/lib/a.py") or "")
    assert named_in(wheel(tmp_path, compiled.read_bytes()), PLACES) == ["prefix"]


@pytest.mark.skipif(not shutil.which("gcc"), reason="needs gcc")
@pytest.mark.parametrize("compression", ["none", "zlib", "zlib-gnu"])
def test_debug_sections(tmp_path: Path, compression: str) -> None:
    """A real compiler writes the directory that it ran in, compressed or not."""
    build = tmp_path / "build directory"
    build.mkdir()
    many = "".join(f"int function_{number}(int x) {{ return x + {number}; }}\n" for number in range(300))
    (build / "a.c").write_text(many)  # what is small is not compressed
    command = ["gcc", "-gdwarf-4", "-shared", "-fPIC", "-o", "a.so", "a.c", f"-gz={compression}"]
    if subprocess.run(command, cwd=build, capture_output=True, check=False).returncode:
        pytest.skip(f"this gcc does not compress with {compression}")
    data = (build / "a.so").read_bytes()
    path = tmp_path / "a-1.0-cp311-cp311-linux_x86_64.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.so", data)
    assert named_in(str(path), {"build": str(build), "other": "/nowhere/x"}) == ["build"]
    if compression != "none" and str(build).encode() in data:
        pytest.skip(f"this gcc does not compress with {compression}")  # a new one takes zlib-gnu, and does nothing


def test_what_cannot_be_looked_into_may_speak_of_everything(tmp_path: Path) -> None:
    """An ELF file with sections that are compressed in a way that we do not know, or damaged."""
    path = tmp_path / "a-1.0-cp311-cp311-linux_x86_64.whl"
    header = bytearray(b"\x7fELF\x02\x01\x01" + b"\0" * 57)
    header[0x28:0x30] = (10_000).to_bytes(8, "little")  # sections beyond the end
    header[0x3A:0x3E] = (64).to_bytes(2, "little") + (3).to_bytes(2, "little")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.so", bytes(header))
    assert named_in(str(path), PLACES) == ["build", "prefix"]
