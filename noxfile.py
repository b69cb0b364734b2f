"""What can be checked here: `nox`, `nox -s tests -- -k launcher`, `nox -l`; without nox: `sh build/check`."""

from __future__ import annotations

import re

import nox

nox.needs_version = ">=2025.5.1"
nox.options.sessions = ["lint", "types", "tests"]
nox.options.default_venv_backend = "venv"  # comes with Python
nox.options.reuse_venv = "yes"
nox.options.envdir = ".cache/nox"

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHON_FILES = ("sage_wheels", "tests", "benchmarks", "noxfile.py", "build/lib/prepare.py")
SHELL_FILES = ("build/check", "build/demo", "build/bin/sage-wheels", "build/lib/system-python.sh", ".ci/run")


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
    # One by one, or it would be a module of `build`.
    session.run("mypy", "--no-explicit-package-bases", "build/lib/prepare.py")


SHELL_FILES = ("build/check", "build/demo", "build/bin/sage-wheels", "build/lib/system-python.sh", ".ci/run")


@nox.session
def tests(session: nox.Session) -> None:
    """Tests of the installed package; arguments go to pytest: `-m "not network"`, `-k launcher`."""
    session.install(".", *group("test"))
    run_isolated(session, "-m", "pytest", *session.posargs)


@nox.session
def floors(session: nox.Session) -> None:
    """The same tests with the oldest dependencies that pyproject.toml admits."""
    oldest = [re.sub(r">=([\w.]+).*", r"==\1", line) for line in PROJECT["project"]["dependencies"]]
    session.install(".", *oldest, *group("test"))
    run_isolated(session, "-m", "pytest", *session.posargs)


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Measurements side by side with pip, installer and uv; arguments go to `python benchmarks`, `-- --quick small`.

    What is measured is this checkout through its launcher: nothing is installed here but whom it is compared with.
    """
    session.install(*PROJECT["project"]["dependencies"], *group("benchmarks"))
    run_isolated(session, "benchmarks", *session.posargs)


def group(name: str) -> list[str]:
    """Give the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


def run_isolated(session: nox.Session, *command: str) -> None:
    """Run Python such that neither this directory nor the caller's PYTHON* variables reach it."""
    session.run("python", "-I", *command)
