"""`sage_wheels.wheel.bytecode_cache`: what is not as it should be counts as not there."""

from __future__ import annotations

import marshal
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.store.store import Store
from sage_wheels.wheel import bytecode, codes
from support.pythons import Python, other_pythons
from support.run import install, tool, tool_environment
from support.trees import make_prefix, site_packages
from support.wheels import make_wheel

SOURCE = "x = 'good'\n"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache/sage-wheels"


def code(source: str = SOURCE) -> bytes:
    return bytecode.compile_code(source.encode(), codes.placeholder(SOURCE.encode()))


# What the store has instead of what we wrote there.
SHAPES: dict[str, Any] = {
    "a list": [1, 2],
    "nothing": None,
    "a number": 5,
    "bytes": b"x",
    "a list of pairs": [("demo.py", b"x")],
    "codes under numbers": {1: b"x"},
    "codes under bytes": {b"demo.py": b"x"},
    "text for code": {"demo.py": "text"},
    "numbers for code": {"demo.py": 7},
    "nothing for code": {"demo.py": None},
    "code itself": {"demo.py": marshal.loads(code())},
    "codes in codes": {"demo.py": {"demo.py": code()}},
    "codes with flags": {"demo.py": [code(), 1]},
    "garbage for code": {"demo.py": os.urandom(50)},
    "no code, but what looks like the place": {"demo.py": marshal.dumps(codes.placeholder(SOURCE.encode()))},
}
DATA: dict[str, bytes] = {
    **{name: marshal.dumps(shape) for name, shape in SHAPES.items()},
    "empty": b"",
    "JSON": b'{"demo.py": "x"}',
    "cut off inside": marshal.dumps({"demo.py": code()})[:40],
    "no marshalled object": b"\xff" * 40,
    "a type of its own": b"?",
    "a reference to nothing": b"r\x10\0\0\0",
    "a size that is a lie": b"s\xff\xff\xff\x7f",
}


def directory(path: Path) -> None:
    path.mkdir()
    (path / "x").touch()


# What stands in the place of the file.
KINDS: dict[str, Callable[[Path], object]] = {
    "directory": directory,
    "pipe": os.mkfifo,
    "link to nothing": lambda path: path.symlink_to("nothing"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "device": lambda path: path.symlink_to("/dev/zero"),
}


class Prefix:
    def __init__(self, tmp_path: Path) -> None:
        self.root, self.wheel = make_prefix(tmp_path), make_wheel(tmp_path, "demo", "1", {"demo.py": SOURCE})

    def install(self, *options: str | Path) -> bytes:
        done = tool("install", "--reinstall", "--prefix", self.root, self.wheel, *options, timeout=60)
        *notes, _ = done.stderr.splitlines()
        assert done.returncode == 0, done.stderr
        assert len(notes) <= 1
        assert all("in the store is no file that may be used" in note for note in notes)
        [compiled] = site_packages(self.root).rglob("demo.*.pyc")
        return compiled.read_bytes()[16:]


def test_it_is_in_the_store_that_is_named(tmp_path: Path, cache: Path) -> None:
    prefix, named = Prefix(tmp_path), tmp_path / "named"
    prefix.install("--no-store")
    assert not cache.exists()
    prefix.install("--cache-dir", named)
    assert not cache.exists()
    assert list(named.glob("content/*/*"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("which", ["content", "results"])
def test_whatever_stands_in_the_cache_is_a_miss(tmp_path: Path, cache: Path, which: str, kind: str) -> None:
    prefix = Prefix(tmp_path)
    good = prefix.install()
    [file] = cache.glob(f"{which}/*/*")
    file.unlink()
    KINDS[kind](file)
    prefix.install()
    assert prefix.install() == good


@pytest.mark.parametrize("data", DATA.values(), ids=DATA)
def test_whatever_the_store_has_for_byte_code_is_good_or_a_miss(tmp_path: Path, cache: Path, data: bytes) -> None:
    prefix = Prefix(tmp_path)
    good = prefix.install()
    [result] = cache.glob("results/*/*")
    Store(str(cache)).keep("bytecode", result.name, {}, data={"codes": data})
    for _ in range(2):
        assert prefix.install() == good


@pytest.mark.parametrize("kind", ["file", "pipe", "link to nothing"])
@pytest.mark.parametrize("place", ["", "sage-wheels", "sage-wheels/content", "sage-wheels/results"])
def test_what_is_no_directory_is_no_cache(tmp_path: Path, kind: str, place: str) -> None:
    prefix, wheel = make_prefix(tmp_path), make_wheel(tmp_path, "demo", "1", {"demo.py": SOURCE})
    path = tmp_path / "cache" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    KINDS.get(kind, Path.touch)(path)
    where = tool_environment(XDG_CACHE_HOME=str(tmp_path / "cache"))
    done = tool("install", "--prefix", prefix, wheel, env=where, timeout=60)
    assert done.returncode == 0, done
    assert list(prefix.rglob("demo.*.pyc"))


@pytest.mark.skipif(not other_pythons(), reason="no Python of another version here")
@pytest.mark.parametrize("python", other_pythons()[-1:], ids=lambda each: "{}.{}".format(*each.version))
def test_byte_code_of_another_python_is_not_compiled_twice(
    cache: Path, tmp_path: Path, python: Python, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second environment gets it without a start of that Python, and with paths of its own."""
    wheel = make_wheel(tmp_path, "demo", "1.0", {"demo.py": "def f():\n    return 1\n", "broken.py": "x = = 1\n"})
    wanted = list[int]()
    genuine = codes.run_compiler

    def counted(prefix: Any, tree: str, sources: dict[str, str]) -> tuple[str, set[str]] | None:
        wanted.append(len(sources))
        return genuine(prefix, tree, sources)

    monkeypatch.setattr(codes, "run_compiler", counted)
    seen = {}
    for number in (1, 2):
        root = tmp_path / f"venv {number}"
        subprocess.run([python.executable, "-I", "-m", "venv", "--without-pip", root], check=True)
        install(root, wheel)
        program = "import demo; print(demo.f.__code__.co_filename, demo.__spec__.cached)"
        command = [str(root / "bin/python"), "-I", "-B", "-c", program]
        seen[number] = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        [file] = root.glob("lib/*/site-packages/__pycache__/*.pyc")
        assert file.name == "demo.cpython-{}{}.pyc".format(*python.version)
        library = file.parent.parent
        command = [python.executable, "-I", "-c", "import sys, py_compile; py_compile.compile(*sys.argv[1:])"]
        own = tmp_path / "own.pyc"
        subprocess.run([*command, str(library / "demo.py"), str(own)], check=True)
        ours, theirs = inside(python, file), inside(python, own)
        assert ours == theirs
        assert f"{library}/demo.py" in seen[number]
    assert wanted == [2, 0, 0, 0]


def inside(python: Python, file: Path) -> str:
    """What code is in a byte-code file, as the Python that made it says, with its header."""
    program = (
        "import sys, marshal\ndata = open(sys.argv[1], 'rb').read()\ncode = marshal.loads(data[16:])\n"
        "print(data[:16], code == code and code.co_code, code.co_filename, code.co_consts[0].co_filename)"
    )
    command = [python.executable, "-I", "-c", program, str(file)]
    said: str = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return said
