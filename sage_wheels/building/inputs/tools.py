"""The versions of compilers and other build tools. That one is missing is recorded, too: the wheel may depend on it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import re
import shlex
import subprocess

from sage_wheels.building.inputs.directories import is_managed
from sage_wheels.fs.digest import of_file
from sage_wheels.store.remembered import remembered, remembered_digest, stat_of
from sage_wheels.store.results import canonical

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

    from sage_wheels.store.store import Store

_TOOLS = (
    *("cc", "gcc", "clang", "c++", "g++", "clang++", "gfortran", "f77", "f95", "ld", "ar", "as", "make", "cmake"),
    *("meson", "ninja", "pkg-config", "swig", "cargo", "rustc", "git", "cython", "nvcc"),
)
_OF_WHEELS = frozenset({"cmake", "cython", "meson", "ninja"})  # tools that Python packages install, too
# Variables whose value is a command; the programs in it are tools, too.
_COMMANDS = re.compile(
    r"(HOST|BUILD|TARGET)?_?(CC|CXX|CPP|FC|F77|F90|F95|LD|LDSHARED|LDCXXSHARED|AR|NM|RANLIB|AS|MAKE|NINJA|CYTHON|SWIG"
    r"|CMAKE|MESON|RUSTC|CARGO|NVCC|CUDACXX|RUSTC_WRAPPER|RUSTC_LINKER|MPICC|MPICXX|MPIF90|MPIFORT)|CCACHE_(COMPILER|PREFIX)"
    r"|CMAKE_\w+_(COMPILER|LAUNCHER)|\w+_CONFIG"
)
_FORMAT = 2  # of the answers; raise it when other lines are kept
_PATIENCE = 20  # seconds: a program that says its version takes less than one
# The lines of a version: the first line of nvcc is the same in each version. Others are about the licence.
_NUMBER = re.compile(r"\d")
_OF_LICENCE = re.compile(r"copyright|licen[cs]e|\(c\)", re.IGNORECASE)
# What a script starts: paths of programs, and names after `exec`.
_STARTED = re.compile(r"""(/[^\s"'`$;|&()<>]+)|\bexec\s+["']?([\w.+-]+)""")
_SHORT = 1 << 16  # bytes; a longer script is no wrapper
_DEPTH = 4  # wrappers of wrappers
_NEUTRAL = {"LC_ALL": "C", "TERM": "dumb"}


class Tools:
    """The tools that are found on the PATH of `environ`, and `compilers`, which the interpreter names.

    Tools that Python packages install are not looked for in the directories `vouched_for` and below: the caller says
    what is installed there.
    """

    def __init__(self, environ: Mapping[str, str], compilers: str, vouched_for: Iterable[str] = ()) -> None:
        self._environ = environ
        path = environ.get("PATH", os.defpath).split(os.pathsep)
        self._path = {each: os.path.realpath(each) for each in path if each}
        names = dict.fromkeys([*_TOOLS, *compilers.split(), *_named(environ)])
        below = tuple(f"{directory}/" for directory in vouched_for)
        others = {each: real for each, real in self._path.items() if not f"{each}/".startswith(below)}
        self._programs = {name: _programs(name, others if name in _OF_WHEELS else self._path) for name in names if name}

    def versions(self, store: Store) -> dict[str, str]:
        """What each tool says of its version; "" for one that is not there.

        The answers are remembered by path and stat of every program of these names on PATH: a compiler cache may come
        before the compiler. If one is a script, what it starts counts, too.
        """
        programs = self._programs
        of_rust = _rustup(self._environ)
        started = {each for found in programs.values() if found for each in _started_by(found[0][1], self._path)}
        about = [
            _FORMAT,
            sorted(programs.items()),
            of_rust,
            *([list(map(stat_of, sorted(started)))] if started else []),
        ]
        answer: dict[str, str] = remembered(store, "tools", about, {str: str}, lambda: _ask(programs, self._environ))
        found = {name: said for name, said in answer.items() if said or name in _TOOLS}
        return {**found, "rustup": hashlib.sha256(canonical(of_rust)).hexdigest()} if of_rust else found

    def elsewhere(self, store: Store) -> dict[str, str]:
        """The digest of each tool of which neither the list of packages nor a look at /usr/local says what it is, by
        its name: one that was built again may print the same version. Scripts are passed over: this tool makes some
        itself (`stand_ins`), and others name an interpreter of this machine."""
        found = {}
        for name, programs in self._programs.items():
            program = next((each for each in programs if _is_known(each[0]) or not _is_script(each[0])), None)
            if program and not _is_known(program[0]):
                path, _, *status = program
                with contextlib.suppress(OSError):
                    found[f"program {name}"] = remembered_digest(store, status, functools.partial(_digest, path))
        return found


def _is_known(program: str) -> bool:
    """Whether the list of packages, or the digest of /usr/local, says what it is."""
    return is_managed(program) or program.startswith("/usr/local/")


def _digest(program: str) -> str:
    return of_file(program).hex()


def _is_script(program: str) -> bool:
    try:
        with open(program, "rb", buffering=0) as f:
            return f.read(2) == b"#!"
    except OSError:
        return False


def _named(environ: Mapping[str, str]) -> Iterable[str]:
    for name, value in environ.items():
        if _COMMANDS.fullmatch(name):
            try:
                words = shlex.split(value)
            except ValueError:
                continue
            yield from [word for word in words if not word.startswith("-") and "=" not in word][:2]  # ccache gcc


def _programs(name: str, path: Mapping[str, str]) -> list[list[Any]]:
    """The programs of this name in the directories of `path`, whose values are their real paths."""
    candidates = [name] if "/" in name else [f"{directory}/{name}" for directory in path]
    return [[_real(each, path), *stat_of(each)] for each in candidates if os.access(each, os.X_OK)]


def _real(program: str, path: Mapping[str, str]) -> str:
    """The real path of a program; quickly, if it is no link and lies in a directory of `path`."""
    directory, _, name = program.rpartition("/")
    real = path.get(directory)
    return f"{real}/{name}" if real and not os.path.islink(program) else os.path.realpath(program)


def _started_by(program: str, path: Iterable[str], depth: int = _DEPTH) -> Iterator[str]:
    """The programs that a script starts, as far as its text says so, and those that these start."""
    try:
        with open(program, "rb", buffering=0) as f:
            if f.read(2) != b"#!" or os.fstat(f.fileno()).st_size > _SHORT or not depth:
                return
            text = f.read(_SHORT).decode(errors="replace")
    except OSError:
        return
    for found in _STARTED.finditer(text):
        candidates = [found[1]] if found[1] else [f"{directory}/{found[2]}" for directory in path]
        started = next((each for each in candidates if os.path.isfile(each) and os.access(each, os.X_OK)), None)
        if started and started != program:
            yield started
            yield from _started_by(started, path, depth - 1)


def _rustup(environ: Mapping[str, str]) -> list[list[str]]:
    """What determines the compilers that rustup's `cargo` and `rustc` run: its settings, and which version of each
    toolchain is installed. A file rust-toolchain.toml of a source may choose one that is not the default."""
    home = environ.get("RUSTUP_HOME") or os.path.join(environ.get("HOME", "/nowhere"), ".rustup")
    found = []
    with contextlib.suppress(OSError), open(f"{home}/settings.toml", encoding="utf-8", errors="replace") as f:
        found += [["settings", line] for line in f if line.startswith(("default", '"'))]
    with contextlib.suppress(OSError), os.scandir(f"{home}/update-hashes") as scan:
        for entry in sorted(scan, key=lambda each: each.name):
            with contextlib.suppress(OSError), open(entry.path, encoding="utf-8", errors="replace") as f:
                found.append([entry.name, f.read(1000)])
    return found


def _ask(programs: Mapping[str, list[list[Any]]], environ: Mapping[str, str]) -> dict[str, str]:
    """Ask all programs for their versions at the same time, but a program with several names one name after the other.

    rustup is both `cargo` and `rustc`. If both start at once, one may read settings that the other has half written.
    """
    said = dict.fromkeys(programs, "")
    waiting = {name: found[0] for name, found in programs.items() if found}
    while waiting:
        of_inode = {(device, inode): name for name, (_, _, device, inode, *_) in waiting.items()}
        started = {name: _start(waiting.pop(name)[1], environ) for name in of_inode.values()}
        said.update({name: _end(process) for name, process in started.items()})
    return said


def _start(path: str, environ: Mapping[str, str]) -> subprocess.Popen[bytes] | None:
    try:
        return subprocess.Popen(
            [path, "--version"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**environ, **_NEUTRAL},
            cwd="/",
        )
    except OSError:
        return None


def _end(process: subprocess.Popen[bytes] | None) -> str:
    if process is None:
        return ""
    try:
        output, _ = process.communicate(timeout=_PATIENCE)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        return "it does not say its version"
    lines = output.decode(errors="replace").strip().splitlines()
    numbers = [line.strip() for line in lines if _NUMBER.search(line) and not _OF_LICENCE.search(line)]
    return " ".join(numbers or lines[:1])[:500] or f"status {process.returncode}"
