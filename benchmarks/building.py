"""Isolated builds of trivial projects from a wheelhouse, offline, with everything cached that the tool caches.

`build` fills its environment by pip or by uv, `uv build` by uv, with `--no-index --find-links` by their variables. The
second table splits our own time: what the environment costs beside the hooks, and what it gains to call both hooks in
forks of one process that has imported the backend (PEP 517 asks for a fresh process, not for a fresh interpreter).
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from bench import milliseconds
from commands import Trial, paired, run
from contenders import CHECKOUT
from material import CACHE
from table import Aim, Table

if TYPE_CHECKING:
    from bench import Bench

# build requirement and backend
PROJECTS = {
    "setuptools": ("setuptools", "setuptools.build_meta"),
    "flit": ("flit_core", "flit_core.buildapi"),
    "hatchling": ("hatchling", "hatchling.build"),
}
COLUMNS = ("build, pip", "build, uv", "uv build", "sage-wheels")

# Both hooks in the environment of a build directory that was kept: by our runner, or by that of `build`.
HOOKS = """
import os, sys, tempfile, time
from build import ProjectBuilder
from sage_wheels.building.backend.hooks import HookRunner
from sage_wheels.building.log import Log
from sage_wheels.building.backend.variables import for_build
how, project, python = sys.argv[1:]
with tempfile.TemporaryDirectory() as out, Log(out + "/log") as log, HookRunner(for_build(os.environ), log) as forks:
    def processes(cmd, cwd=None, extra_environ=None):
        forks.restart()
        forks(cmd, cwd, extra_environ)
    builder = ProjectBuilder(project, python, runner=forks if how == "forks" else processes)
    begin = time.perf_counter()
    builder.get_requires_for_build("wheel")
    builder.build("wheel", out)
    print(time.perf_counter() - begin)
"""


def measure(bench: Bench) -> None:
    house = _wheelhouse()
    builders = _Builders(bench, house)
    table = Table("build a trivial project", COLUMNS)
    aims = [Aim(0.45, "build, pip"), Aim(0.7, "build, uv"), Aim(1.0, "uv build")]
    for name in PROJECTS:
        runs = paired(builders.trials(_project(bench.work, name)), bench.effort.long * 2)
        table.add(name, milliseconds(runs), aims)
    table.end()

    table = Table("what our time is", ("hooks, a process each", "hooks, forks of one", "environment"), ratios=False)
    for name in PROJECTS:
        samples = builders.split(_project(bench.work, name), bench.effort.short)
        table.add(f"{name}, images cached", samples, [Aim(50)])
    table.end()


class _Builders:
    """The commands that build a project from a wheelhouse, each into a directory of its own below `bench.work`."""

    def __init__(self, bench: Bench, house: Path) -> None:
        self._bench = bench
        self._house = house
        self._out = bench.work / "built"
        self._environment = bench.ours.environment
        self._cache = bench.work / "building-cache"
        self._ours = str(CHECKOUT / "build" / "bin" / "sage-wheels")

    def trials(self, project: Path) -> list[Trial]:
        scripts = sysconfig.get_path("scripts")
        path = f"{scripts}{os.pathsep}{self._environment.get('PATH', os.defpath)}"
        pip = {**self._environment, "PIP_NO_INDEX": "1", "PIP_FIND_LINKS": str(self._house)}
        uv = {**self._environment, "PATH": path, "UV_NO_INDEX": "1", "UV_FIND_LINKS": str(self._house)}
        uv |= {"UV_OFFLINE": "1", "UV_NO_CONFIG": "1"}
        build = [sys.executable, "-I", "-m", "build", "--wheel", "--outdir", str(self._out), str(project)]
        with_uv = ["uv", "build", "--wheel", "--python", sys.executable, "--out-dir", str(self._out), str(project)]
        commands = {
            COLUMNS[0]: (build, pip),
            COLUMNS[1]: ([*build, "--installer", "uv"], uv),
            COLUMNS[2]: ([os.path.join(scripts, with_uv[0]), *with_uv[1:]], uv),
            COLUMNS[3]: (self._command(project), self._environment),
        }
        return [Trial(name, lambda: None, *command) for name, command in commands.items()]

    def split(self, project: Path, rounds: int) -> dict[str, list[float]]:
        """Milliseconds of our environment, and of the two hooks, called in two ways in that environment."""
        command = [*self._command(project), "--json", "--keep-build-dir"]
        kept = Path(json.loads(run(command, self._environment).stdout)[0]["log"]).parent
        (copy,) = (kept / "src").iterdir()
        reports = [json.loads(run(command, self._environment).stdout)[0] for _ in range(rounds)]
        samples = {"environment": [1000 * report["phases"]["environment"] for report in reports]}
        for how, column in (("processes", "hooks, a process each"), ("forks", "hooks, forks of one")):
            program = [sys.executable, "-I", "-c", HOOKS, how, str(copy), str(kept / "env" / "bin" / "python")]
            answers = [float(run(program, self._environment).stdout) for _ in range(rounds + 1)]
            samples[column] = [1000 * seconds for seconds in answers[1:]]
        return samples

    def _command(self, project: Path) -> list[str]:
        options = [
            "--rebuild",
            "--find-links",
            str(self._house),
            "--cache-dir",
            str(self._cache),
            "--wheel-dir",
            str(self._out),
        ]
        return [self._ours, "build", *options, str(project)]


def _wheelhouse() -> Path:
    """The wheels of the backends, from the index, fetched once."""
    house = CACHE / "build-requirements"
    if not house.is_dir():
        command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(house)]
        subprocess.run([*command, *(each[0] for each in PROJECTS.values())], check=True, stdout=sys.stderr)
    return house


def _project(work: Path, name: str) -> Path:
    """A project with one module and one program; made once."""
    requirement, backend = PROJECTS[name]
    directory = work / f"trivial-{name}"
    if not directory.is_dir():
        (directory / "trivial").mkdir(parents=True)
        (directory / "trivial" / "__init__.py").write_text('"""Nothing."""\n\nmain = print\n')
        (directory / "pyproject.toml").write_text(
            f'[build-system]\nrequires = ["{requirement}"]\nbuild-backend = "{backend}"\n'
            '[project]\nname = "trivial"\nversion = "1.0"\ndescription = "Nothing"\n'
            '[project.scripts]\ntrivial = "trivial:main"\n'
        )
    return directory
