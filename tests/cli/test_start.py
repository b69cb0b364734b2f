"""What the quick commands import: a package script starts the tool once for each package, so start-up time counts.

A package that is new belongs to no list of what may be there until somebody adds it here and says why.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from support.projects import make_sdist, make_tree
from support.run import install, tool_environment
from support.trees import make_prefix
from support.wheels import make_wheel

READING = {
    *("archive", "cli", "environment", "errors", "fs", "installed", "manifests", "metadata", "named", "prefix"),
    *("processes", "requirements", "trace", "version"),
    "redaction",  # what the lock file says of who holds it
}
# Of the command line, beside the module of the command.
COMMAND_LINE = {
    "cli",
    *(
        f"cli.{name}"
        for name in ("command_line", "common", "defaults", "done", "output", "screen", "signals", "tracing")
    ),
}
CHANGING = READING | {"transaction"}
INSTALLING = CHANGING | {"building", "installing", "store", "wheel"}
# `list` and `show` ask what packages have brought.
READING_OF_SAGE = {"sage", "sage.manifests", "sage.variables"}
# To see whether a change is under way.
READING_OF_TRANSACTION = {"transaction", "transaction.pending"}
# What decides that an item is a wheel already; the rest of the package makes one.
INSTALLING_OF_BUILDING = {"building", "building.options"}
# Where byte-code that was compiled before is found, and wheels that were unpacked before.
INSTALLING_OF_STORE = {"store", "store.eviction", "store.local", "store.results", "store.store", "store.trees"}
INSTALLING_OF_STORE |= {"store.remembered"}  # the digest of a wheel
# Of others: each costs milliseconds. `_hashlib` is OpenSSL.
HEAVY = {"build", "ctypes", "filelock", "installer", "logging", "packaging", "resolvelib", "urllib.request"}
HEAVY |= {"_hashlib", "bz2", "lzma", "shlex", "shutil", "subprocess", "tempfile", "typing", "zipfile"}
HEAVY_TO_BUILD = {"logging", "packaging.requirements", "resolvelib"}
# What is needed to hash and to unpack, and to print JSON.
NEEDLESS = {"list": {"difflib", "hashlib", "json", "zlib"}, "show": {"difflib", "hashlib", "zlib"}}


def loaded(*command: str) -> set[str]:
    """All modules that a command line has loaded when it ends, beside those of an interpreter that has just started."""
    program = "import sys; there = {*sys.modules}; from sage_wheels.cli import main; main(); "
    program += "print('\\n', *sys.modules.keys() - there)"
    ran = [sys.executable, "-c", program, *command]
    output = subprocess.run(ran, env=tool_environment(), capture_output=True, text=True, check=True).stdout
    return set(output.splitlines()[-1].split())


def ours(modules: set[str]) -> set[str]:
    return {name.partition(".")[2] for name in modules if name.startswith("sage_wheels.")}


def of_command_line(modules: set[str], command: str) -> set[str]:
    """The modules of `cli` that nobody has added to the list above."""
    return {name for name in ours(modules) if name.startswith("cli")} - COMMAND_LINE - {f"cli.{command}"}


def packages(modules: set[str]) -> set[str]:
    return {name.partition(".")[0] for name in modules}


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    return make_wheel(tmp_path, "one", "1.0", {"one/__init__.py": ""})


@pytest.mark.parametrize(
    "command",
    [("list",), ("show", "one"), ("files", "one"), ("verify",), ("check",), ("why", "one"), ("tree",), ("freeze",)],
    ids=lambda each: each[0],
)
def test_what_reads_a_prefix(prefix: Path, wheel: Path, command: tuple[str, ...]) -> None:
    install(prefix, wheel)
    modules = loaded(command[0], "--prefix", str(prefix), *command[1:])
    assert packages(ours(modules) - READING_OF_TRANSACTION - READING_OF_SAGE) <= READING
    assert not modules & (HEAVY | NEEDLESS.get(command[0], set()))
    assert not of_command_line(modules, command[0])


def test_install_of_a_wheel(prefix: Path, wheel: Path) -> None:
    modules = loaded("install", "--prefix", str(prefix), str(wheel))
    assert packages(ours(modules)) <= INSTALLING
    assert {name for name in ours(modules) if name.startswith("building")} <= INSTALLING_OF_BUILDING
    assert {name for name in ours(modules) if name.startswith("store")} <= INSTALLING_OF_STORE
    assert not modules & HEAVY
    assert of_command_line(modules, "install") == {"cli.build_options", "cli.source_arguments"}
    assert not {name for name in ours(modules) if name in ("requirements.files", "requirements.pylock")}


def test_uninstall(prefix: Path, wheel: Path) -> None:
    install(prefix, wheel)
    modules = loaded("uninstall", "--prefix", str(prefix), "one")
    assert packages(ours(modules)) <= CHANGING
    assert not modules & HEAVY
    assert not of_command_line(modules, "uninstall")
    assert not {name for name in ours(modules) if name in ("requirements.files", "requirements.sources")}


def test_uninstalling_a_package_of_sage(prefix: Path, wheel: Path, tmp_path: Path) -> None:
    install(prefix, wheel)
    state = prefix / "var/lib/sage"
    for directory in ("installed", "scripts/one"):
        (state / directory).mkdir(parents=True)
    (state / "scripts/one/spkg-requirements.txt").write_text(f"one @ {wheel.as_uri()}\n")
    command = 'sdh_pip_uninstall -r "$SAGE_SPKG_SCRIPTS/$PKG_BASE/spkg-requirements.txt"'
    (state / "scripts/one/spkg-piprm").write_text(f"if\nfi\n{command}\n")
    stamp = state / "installed/one-1.0"
    stamp.write_text(json.dumps({"files": ["var/lib/sage/scripts/one/spkg-requirements.txt"]}))
    modules = loaded("spkg-uninstall", str(tmp_path), "one", str(prefix))
    assert not stamp.exists()
    assert not modules & HEAVY


def test_undo(prefix: Path, wheel: Path, tmp_path: Path) -> None:
    """Nothing that hashes or plans installations; `ctypes` exchanges directories."""
    install(prefix, wheel)
    install(prefix, make_wheel(tmp_path, "one", "2.0", {"one/__init__.py": "2"}))
    modules = loaded("undo", "--prefix", str(prefix))
    assert packages(ours(modules)) <= CHANGING
    assert not modules & (HEAVY - {"ctypes"})
    assert of_command_line(modules, "undo") == {"cli.finding"}
    assert "transaction.planner" not in ours(modules)


def test_build_out_of_the_store(tmp_path: Path) -> None:
    """What was built before needs neither the frontend nor the resolver, with what these import, nor what installs."""
    sdist = make_sdist(tmp_path, make_tree(tmp_path / "tree", "one", "1.0"), "one", "1.0")
    command = ("build", "--cache-dir", str(tmp_path / "cache"), "--wheel-dir", str(tmp_path / "wheels"), str(sdist))
    assert loaded(*command) & HEAVY_TO_BUILD
    modules = loaded(*command)
    assert not modules & (HEAVY_TO_BUILD | {"ast", "typing"})
    assert not ours(modules) & {"wheel.image", "wheel.layout", "wheel.unpacked", "wheel.writer"}
