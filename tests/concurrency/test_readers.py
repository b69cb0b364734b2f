"""Promise 3: whoever reads while a package is reinstalled or upgraded finds it there, whole, at every instant.

Readers are processes that look again and again until they have looked often enough, and have seen all that there is to
be seen; meanwhile this process changes the prefix. Nothing is timed.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from support.run import install
from support.trees import leftovers, make_prefix, site_packages
from support.wheels import Content, make_wheel

SUBMODULES = 8
IMPORTS = 20  # by each of two readers

# A fresh interpreter each time; -I: nothing but the prefix, -B: no byte-code is written into what is being replaced.
IMPORTING = """
import json, subprocess, sys
python, count, wanted, program = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4]
print("ready", flush=True)
seen, failures, looks = {}, [], 0
while looks < count or len(seen) < wanted and looks < 100 * count:
    looks += 1
    done = subprocess.run([python, "-I", "-B", "-c", program], capture_output=True, text=True)
    seen[done.stdout.strip()] = seen.get(done.stdout.strip(), 0) + 1
    if done.returncode:
        failures.append(done.stderr)
print(json.dumps([seen, failures]))
"""

# One interpreter that asks again and again. Between listing the directory and reading what was found the old
# dist-info may have left: that version is None, and asked for again. That there is none at all is a failure at once.
METADATA = """
import importlib, importlib.metadata, json, sys
library, count, wanted = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
print("ready", flush=True)
seen, failures, looks = {}, [], 0
while looks < count or len(seen.keys() - {"None"}) < wanted and looks < 100 * count:
    looks += 1
    importlib.invalidate_caches()
    try:
        found = next(iter(importlib.metadata.distributions(name="demo", path=[library])))
        version = found.read_text("METADATA") and found.version
    except StopIteration:
        failures.append("no metadata at all")
        continue
    seen[str(version)] = seen.get(str(version), 0) + 1
print(json.dumps([seen, failures]))
"""

# Nothing but looking whether there is any metadata, as fast as possible.
LISTING = """
import json, os, sys
library, count = sys.argv[1], int(sys.argv[2])
print("ready", flush=True)
failures = []
for _ in range(count):
    if "demo-1.0.dist-info" not in (names := os.listdir(library)) and "demo-2.0.dist-info" not in names:
        failures.append("no dist-info")
print(json.dumps([{"looks": count}, failures]))
"""

STAT = """
import json, os, sys
count, paths = int(sys.argv[1]), sys.argv[2:]
print("ready", flush=True)
seen, failures = {"looks": 0}, []
for _ in range(count):
    for path in paths:
        try:
            os.stat(path)
        except OSError as error:
            failures.append(str(error))
    seen["looks"] += len(paths)
print(json.dumps([seen, failures]))
"""


class Reader:
    """A process that runs `program`, and what it saw: counts by what, and failures."""

    def __init__(self, program: str, *arguments: object) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True
        )
        assert self._process.stdout
        self._from = self._process.stdout
        self._from.readline()  # it has started

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def seen(self) -> dict[str, int]:
        """Wait for it; fails if there were failures."""
        answer = self._from.read()
        assert self._process.wait() == 0
        seen, failures = json.loads(answer)
        assert not failures, f"{len(failures)} failures, the first: {failures[0]}"
        return dict(seen)

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._from.close()


@contextmanager
def while_reading(readers: list[Reader], change: Callable[[int], object], at_least: int) -> Iterator[int]:
    """Call `change` with 0, 1, 2, ... while anybody reads, and `at_least` so often; how often it was."""
    try:
        for number in itertools.count(1):
            change(number - 1)
            if number >= at_least and not any(reader.running for reader in readers):
                break
        yield number
    finally:
        for reader in readers:
            reader.stop()


def package(directory: Path, version: str, marker: str = "") -> Path:
    """A package whose start imports all of it, beside a module, a crowded directory, and a .pth file."""
    text = f"VERSION, MARKER = {version!r}, {marker!r}\n"
    start = text + "".join(f"from demo import part{n}\n" for n in range(SUBMODULES)) + "import demo.sub.deep\n"
    files: dict[str, Content] = {f"demo/part{n}.py": text + f"N = {n}\n" for n in range(SUBMODULES)}
    files |= {"demo/__init__.py": start, "demo/sub/__init__.py": text, "demo/sub/deep.py": text, "single.py": text}
    files |= {"crowded/mine.py": text, "crowded/deep/mine.py": text, "demo.pth": f"# {version} {marker}\n"}
    files |= {f"demo/only_{version[0]}.py": text, f"only_{version[0]}.py": text, f"crowded/only_{version[0]}.py": text}
    data = {"scripts/demo-tool": f"#!python\n{text}", "data/share/demo.txt": f"{version} {marker}"}
    return make_wheel(directory / (marker or "plain"), "demo", version, files, data=data)


IN_BOTH = ["demo", "demo/__init__.py", "demo/part0.py", "demo/sub/deep.py", "single.py", "demo.pth"]
IN_BOTH += ["crowded/mine.py", "crowded/deep", "crowded/deep/mine.py"]


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """A prefix in which somebody else has a file in `crowded`, and demo 1.0 is installed."""
    prefix = make_prefix(tmp_path)
    install(prefix, make_wheel(tmp_path, "other", "1.0", {"crowded/other.py": "", "crowded/deep/other.py": ""}))
    install(prefix, package(tmp_path, "1.0"))
    return prefix


def alternately(prefix: Path, *wheels: Path, **options: Any) -> Callable[[int], object]:
    """Something to call with 0, 1, 2, ...: it installs the wheels by turns, not the one that is there first."""
    return lambda number: install(prefix, wheels[(number + 1) % len(wheels)], **options)


def only(seen: Mapping[str, int], *expected: str) -> bool:
    return set(seen) == set(expected)


@pytest.mark.parametrize("compiled", [True, False])
def test_importing_in_fresh_interpreters_while_the_package_is_reinstalled(
    tmp_path: Path, prefix: Path, compiled: bool
) -> None:
    change = alternately(prefix, package(tmp_path, "1.0"), compile_bytecode=compiled, reinstall=True)
    program = "import demo, single, crowded.mine, crowded.deep.mine; print(demo.VERSION, demo.part7.N)"
    readers = [Reader(IMPORTING, prefix / "bin/python", IMPORTS, 1, program) for _ in range(2)]
    with while_reading(readers, change, at_least=40) as times:
        for reader in readers:
            assert reader.seen() == {"1.0 7": IMPORTS}
    print(f"reinstalled {times} times")
    assert leftovers(prefix) == []


def test_importing_while_the_package_changes_for_another_build(tmp_path: Path, prefix: Path) -> None:
    """Other content under the same names: an import may see files of both, but none that is missing."""
    change = alternately(prefix, package(tmp_path, "1.0"), package(tmp_path, "1.0", "rebuilt"))
    program = "import demo, single, crowded.mine; print(single.MARKER or 'plain')"
    readers = [Reader(IMPORTING, prefix / "bin/python", IMPORTS, 2, program) for _ in range(2)]
    with while_reading(readers, change, at_least=40) as times:
        for reader in readers:
            assert only(reader.seen(), "plain", "rebuilt")
    print(f"reinstalled {times} times")


def test_importing_while_the_package_is_upgraded_and_downgraded(tmp_path: Path, prefix: Path) -> None:
    change = alternately(prefix, package(tmp_path, "1.0"), package(tmp_path, "2.0"), compile_bytecode=False)
    program = "import demo, single, crowded.mine; print(demo.VERSION)"
    readers = [Reader(IMPORTING, prefix / "bin/python", IMPORTS, 2, program) for _ in range(2)]
    with while_reading(readers, change, at_least=40) as times:
        for reader in readers:
            assert only(reader.seen(), "1.0", "2.0")
    print(f"upgraded {times} times")


def test_metadata_is_never_absent(tmp_path: Path, prefix: Path) -> None:
    change = alternately(prefix, package(tmp_path, "1.0"), package(tmp_path, "2.0"), compile_bytecode=False)
    readers = [Reader(METADATA, site_packages(prefix), 2000, 2), Reader(LISTING, site_packages(prefix), 60_000)]
    with while_reading(readers, change, at_least=60) as times:
        seen = readers[0].seen()
        readers[1].seen()
    assert seen.keys() >= {"1.0", "2.0"}
    assert seen.keys() <= {"1.0", "2.0", "None"}
    assert seen.get("None", 0) <= times  # each upgrade has one instant at which what was found leaves
    print(f"upgraded {times} times, seen {seen}")


def test_metadata_of_a_reinstalled_version_can_always_be_read(tmp_path: Path, prefix: Path) -> None:
    change = alternately(prefix, package(tmp_path, "1.0"), package(tmp_path, "1.0", "rebuilt"), compile_bytecode=False)
    readers = [Reader(METADATA, site_packages(prefix), 2000, 1)]
    with while_reading(readers, change, at_least=40) as times:
        assert readers[0].seen() == {"1.0": 2000}
    print(f"reinstalled {times} times")


def test_a_file_of_both_versions_is_never_absent(tmp_path: Path, prefix: Path) -> None:
    """Directories of one owner, crowded ones, single modules, `.pth` files, scripts and data."""
    change = alternately(prefix, package(tmp_path, "1.0"), package(tmp_path, "2.0"), compile_bytecode=False)
    paths = [*(site_packages(prefix) / each for each in IN_BOTH), prefix / "bin/demo-tool", prefix / "share/demo.txt"]
    readers = [Reader(STAT, 40_000, *paths)]
    with while_reading(readers, change, at_least=40) as times:
        seen = readers[0].seen()
    print(f"upgraded {times} times, {seen['looks']} looks")
