"""`sage_wheels.wheel.bytecode`: what Python itself would have written."""

from __future__ import annotations

import importlib.util
import json
import marshal
import os
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from sage_wheels import environment
from sage_wheels.wheel import bytecode, codes
from support.pythons import Python, other_pythons

SOURCE = b"def f():\n    return lambda: [x for x in ()]\nassert f\n"


@pytest.mark.parametrize("epoch", ["", "1"], ids=["time stamp", "hash"])
def test_it_is_what_py_compile_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, epoch: str) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
    source = tmp_path / "m.py"
    source.write_bytes(SOURCE)
    os.utime(source, (1e9, 1e9))
    expected = Path(py_compile.compile(str(source), doraise=True) or "").read_bytes()
    found = bytecode.pyc(bytecode.compile_code(SOURCE, str(source)), SOURCE, 1e9, environment.bytecode_mode())
    assert found[:16] == expected[:16]
    assert marshal.loads(found[16:]) == marshal.loads(expected[16:])  # the bytes differ in what is marked as shared


def paths_in(compiled: bytes) -> list[str]:
    """The path in each code object."""
    todo, seen = [marshal.loads(compiled)], []
    while todo:
        code = todo.pop()
        seen.append(code.co_filename)
        todo += [each for each in code.co_consts if hasattr(each, "co_filename")]
    return seen


PATHS = [
    "/final/m.py",
    "m",
    "/with space/ü.py",
    "/" + "l" * 254,
    "/" + "l" * 255,
    "/" + "l" * 5000,
    "/\N{SNOWMAN}" * 90,
]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: f"{len(path)} characters")
def test_relocated_code_carries_the_final_path_everywhere_and_nothing_else_changes(path: str) -> None:
    stand_in = codes.placeholder(SOURCE)
    plain = bytecode.relocate(bytecode.compile_code(SOURCE, stand_in), stand_in, path)
    assert plain
    assert set(paths_in(plain)) == {path}
    assert len(paths_in(plain)) >= 3
    assert marshal.loads(plain) == marshal.loads(bytecode.compile_code(SOURCE, path))


@pytest.mark.parametrize("text", ["x = {!r}", "x = {!r}.encode()", "x = ' {} '", "def f(): '{}'", "x = b'{}'"])
def test_a_source_that_speaks_of_another_place_holder_is_not_spoilt(text: str) -> None:
    source = text.format(codes.placeholder(SOURCE)).encode()
    stand_in = codes.placeholder(source)
    code = bytecode.relocate(bytecode.compile_code(source, stand_in), stand_in, "/final/m.py")
    assert code is not None
    assert marshal.loads(code) == marshal.loads(bytecode.compile_code(source, "/final/m.py"))


def test_what_holds_no_place_holder_is_not_relocated() -> None:
    stand_in = codes.placeholder(SOURCE)
    assert bytecode.relocate(b"", stand_in, "/m.py") is None
    assert bytecode.relocate(bytecode.compile_code(SOURCE, "/other.py"), stand_in, "/m.py") is None


@pytest.mark.parametrize(
    "source",
    [b"print 'python 2'", b"\0", b"x = '\xff'", b"# coding: no-such\n", b"return", b"(" * 5000, b"\xef\xbb\xbf\xff"],
    ids=["python 2", "nul", "not UTF-8", "unknown coding", "outside a function", "deep", "after a BOM"],
)
def test_what_cannot_be_compiled_is_passed_over_in_silence(source: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    assert bytecode.compile_code(source, "/m.py") == b""
    assert capfd.readouterr() == ("", "")


def test_warnings_of_the_compiler_are_nobodys_business(capfd: pytest.CaptureFixture[str]) -> None:
    assert bytecode.compile_code(b"'\\d' is 3\n", "/m.py")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("letter", ["m", "\u00fc"])
def test_a_name_that_leaves_no_room_for_byte_code(tmp_path: Path, letter: str) -> None:
    """As with pip, such a source has none; no empty `__pycache__` is left behind."""
    longest = (255 - len(f".{sys.implementation.cache_tag}.pyc")) // len(letter.encode())
    for length, is_written in ((longest + 1, False), (longest, True)):
        source = tmp_path / f"{letter * length}.py"
        source.write_text("x = 1\n")
        assert bytecode.compile_file(str(source), "/m.py", mode="timestamp") is is_written
        assert (tmp_path / "__pycache__").exists() is is_written


def test_written_beside_the_source_with_its_mode_and_never_over_anything(tmp_path: Path) -> None:
    path = str(tmp_path / "m.py")
    bytecode.write_beside(path, b"code", 0o600)
    written = Path(bytecode.cache_path(path))
    assert written == Path(importlib.util.cache_from_source(path))
    assert written.read_bytes() == b"code"
    assert written.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        bytecode.write_beside(path, b"other", 0o644)
    assert written.read_bytes() == b"code"


@pytest.mark.skipif(not other_pythons(), reason="no Python of another version here")
@pytest.mark.parametrize("python", other_pythons(), ids=lambda each: "{}.{}".format(*each.version))
def test_other_pythons_run_it_as_a_script(tmp_path: Path, python: Python) -> None:
    listing = []
    for name, text in (("good", "x = 1\n"), ("bad", "x = = 1\n")):
        (tmp_path / f"{name}.py").write_text(text)
        listing.append([str(tmp_path / f"{name}.py"), f"/final/{name}.py"])
    command = [python.executable, "-I", "-S", "-B", "-c", Path(bytecode.__file__).read_text(), "timestamp"]
    done = subprocess.run(command, input=json.dumps(listing), capture_output=True, text=True, check=True)
    tag = "cpython-{}{}".format(*python.version)
    assert json.loads(done.stdout) == [tag, [True, False]]
    assert os.listdir(tmp_path / "__pycache__") == [f"good.{tag}.pyc"]
    program = "import good; print(good.__spec__.cached, good.x.__class__.__name__); import sys; print(sys.argv)"
    ran = subprocess.run([python.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert tag in ran.stdout


def test_this_very_python_runs_it_as_a_script(tmp_path: Path) -> None:
    (tmp_path / "m.py").write_bytes(SOURCE)
    command = [sys.executable, "-I", "-S", "-B", "-c", Path(bytecode.__file__).read_text(), "timestamp"]
    listing = json.dumps([[str(tmp_path / "m.py"), "/final/m.py"]])
    answer = subprocess.run(command, input=listing, capture_output=True, text=True, check=True).stdout
    assert json.loads(answer) == [sys.implementation.cache_tag, [True]]
