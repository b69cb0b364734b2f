"""What can be checked here: `nox`, `nox -s tests -- -k launcher`, `nox -l`; without nox: `sh build/check`."""

from __future__ import annotations

import os
import re

import nox

nox.needs_version = ">=2025.5.1"
nox.options.sessions = ["lint", "types", "tests", "fuzz", "sage"]
nox.options.default_venv_backend = "venv"  # comes with Python
nox.options.reuse_venv = "yes"
nox.options.envdir = ".cache/nox"

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHON_FILES = ("sage_wheels", "tests", "benchmarks", "noxfile.py", "build/lib")
SHELL_FILES = (
    *("build/check", "build/demo", "build/overlay", "build/lib/system-python.sh", "build/make/package", ".ci/run"),
    *("build/bin/sage-bootstrap-python", "build/bin/sage-dist-helpers", "build/bin/sage-flock"),
    *("build/bin/sage-move-tree", "build/bin/sage-pip", "build/bin/sage-pip-install", "build/bin/sage-pip-uninstall"),
    *("build/bin/sage-spkg-uninstall", "build/bin/sage-wheels", "tests/sage/genuine/set-up"),
)
EVERYTHING = ("-n", "auto", "--dist", "worksteal", "-m", "not (network and slow)")


@nox.session
def lint(session: nox.Session) -> None:
    """Style: ruff's rules and format, and shellcheck."""
    session.install(*group("lint"))
    session.run("ruff", "check", *PYTHON_FILES)
    session.run("ruff", "format", "--check", *PYTHON_FILES)
    session.run("shellcheck", "-x", *SHELL_FILES)


@nox.session
def types(session: nox.Session) -> None:
    """Types: mypy, strict."""
    session.install(*PROJECT["project"]["dependencies"], *group("types"))
    session.run("mypy", "sage_wheels", "tests", "noxfile.py")
    session.run("mypy", "--no-explicit-package-bases", "benchmarks")
    # One by one, or they would be modules of `build`.
    for name in ("bundle", "flock", "overlay", "prepare"):
        session.run("mypy", "--no-explicit-package-bases", f"build/lib/{name}.py")


@nox.session
def tests(session: nox.Session) -> None:
    """Tests of the installed package; arguments go to pytest: `-m "not network"`, `-k launcher`.

    Without any, all but what needs minutes of an index (`-m "network and slow"` runs that), on every processor.
    """
    session.install(".", *group("test"))
    run_isolated(session, "-m", "pytest", *(session.posargs or EVERYTHING))


@nox.session
def fuzz(session: nox.Session) -> None:
    """New inputs for every reader, a minute in all; `nox -s fuzz -- 3600` takes an hour."""
    session.install(".", *group("test"))
    numbers = [each for each in session.posargs if each.isdecimal()]  # others are for the tests
    seconds = float(numbers[0]) if numbers else 60.0
    targets = 6  # the tests in that file
    session.env["FUZZ_SECONDS"] = str(seconds / targets)
    run_isolated(session, "-m", "pytest", "-s", "tests/hostile/test_fuzz.py")


@nox.session
def floors(session: nox.Session) -> None:
    """The same tests with the oldest dependencies that pyproject.toml admits."""
    oldest = [re.sub(r">=([\w.]+).*", r"==\1", line) for line in PROJECT["project"]["dependencies"]]
    session.install(".", *oldest, *group("test"))
    run_isolated(session, "-m", "pytest", *(session.posargs or EVERYTHING))


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measurements side by side with pip, installer and uv; arguments go to `python benchmarks`, `-- --quick small`.

    What is measured is this checkout through its launcher; it is installed only for a look at the hooks of a build.
    """
    session.install(".", *group("benchmarks"))
    run_isolated(session, "benchmarks", *session.posargs)


@nox.session
def bundle(session: nox.Session) -> None:
    """Make dist/sage-wheels/, one self-contained directory, and dist/sage-wheels.pyz, one file; and try both."""
    session.run("build/bin/sage-wheels", "--version", external=True)  # prepares what is put together
    for goal in ("dist/sage-wheels", "dist/sage-wheels.pyz"):
        run_isolated(session, "build/lib/bundle.py", goal)
    session.run("dist/sage-wheels.pyz", "--version", external=True)
    program = (
        "import sys; sys.path.insert(0, 'dist/sage-wheels'); from sage_wheels.cli import main; main(['--version'])"
    )
    run_isolated(session, "-S", "-c", program)


@nox.session
def sage(session: nox.Session) -> None:
    """A slice of the genuine tree of Sage 10.7, set up here; skipped, and said so, where that is not possible.

    The variable GENUINE_SAGE names another directory for it than .cache/sage.
    """
    work = os.environ.get("GENUINE_SAGE") or ".cache/sage"
    session.install(".", *group("test"))
    said = session.run("sh", "tests/sage/genuine/set-up", work, external=True, silent=True)
    if isinstance(said, str) and "cannot: " in said:
        session.skip(said.partition("cannot: ")[2].strip())
    run_isolated(session, "-m", "pytest", "tests/sage/genuine", env={"GENUINE_SAGE": os.path.abspath(work)})


def group(name: str) -> list[str]:
    """Give the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


def run_isolated(session: nox.Session, *command: str, env: dict[str, str] | None = None) -> None:
    """Run Python such that neither this directory nor the caller's PYTHON* variables reach it."""
    session.run("python", "-I", *command, env=env)
