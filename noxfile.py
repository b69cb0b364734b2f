"""What can be checked here: `nox`, `nox -s tests -- -k launcher`, `nox -l`; without nox: `sh build/check`."""

from __future__ import annotations

import os
import re
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nox

sys.path.insert(0, str(Path(__file__).parent / "tests"))
from support.pythons import pythons

# "3.12": the path of an interpreter; one for each version that the tool runs on and that is found here.
PYTHONS = {"{}.{}".format(*each.version): each.executable for each in pythons() if each.version >= (3, 10)}
# The one that runs nox, whose tests are the whole suite.
WHOLE = "{}.{}".format(*sys.version_info)

nox.needs_version = ">=2025.5.1"
nox.options.sessions = ["lint", "types", *(f"tests-{version}" for version in PYTHONS), "fuzz", "sage"]
nox.options.default_venv_backend = "venv"  # comes with Python
nox.options.reuse_venv = "yes"
nox.options.envdir = ".cache/nox"

PROJECT = nox.project.load_toml("pyproject.toml")
PYTHON_FILES = ("sage_wheels", "tests", "benchmarks", "noxfile.py", "build/lib", "tools")
SHELL_FILES = (
    *("build/check", "build/demo", "build/overlay", "build/lib/system-python.sh", "build/make/package", ".ci/run"),
    *("tools/check", "tools/demo", "build/make/fetch-packages"),
    *("build/bin/sage-bootstrap-python", "build/bin/sage-build-num-threads", "build/bin/sage-dist-helpers"),
    *("build/bin/sage-flock", "tests/sage/genuine/set-up"),
    *("build/bin/sage-move-tree", "build/bin/sage-pip", "build/bin/sage-pip-install", "build/bin/sage-pip-uninstall"),
    *("build/bin/sage-spkg-uninstall", "build/bin/sage-wheels"),
    *("tests/sage/genuine/set-up-today", "tests/sage/genuine/reduce-sagelib", "tests/sage/genuine/all-packages"),
)
# Tests wait for processes, locks and servers, too: three workers keep two processors busy.
PARALLEL = ("-n", str((os.cpu_count() or 1) * 3 // 2), "--dist", "worksteal")
EVERYTHING = (*PARALLEL, "-m", "not (network and slow)")  # `-m "network and slow"` is the rest
# What a version of Python can change: how archives, metadata, paths and processes are handled. The other directories of
# tests drive the same code from outside (kills, crowds, pip, Sage's scripts), which takes most of the time.
READING = ("archive", "fs", "hostile", "installed", "manifests", "prefix", "requirements", "wheel")
DIRECTORIES = (*READING, "building", "cli", "transaction")


@nox.session
def lint(session: nox.Session) -> None:
    """Style: ruff's rules and format, what no module may say or import, and shellcheck."""
    session.install(*group("lint"))
    session.run("ruff", "check", *PYTHON_FILES)
    session.run("ruff", "format", "--check", *PYTHON_FILES)
    session.install(*PROJECT["project"]["dependencies"], *group("documents"))
    run_isolated(session, "tools/make_documents.py", "--check")
    session.run("lint-imports", "--no-logo", "--cache-dir", ".cache/import-linter")
    run_isolated(session, "tests/support/walls.py", "sage_wheels")
    session.run("shellcheck", "-x", *SHELL_FILES)


@nox.session
def documents(session: nox.Session) -> None:
    """Make completion and manual pages from the parsers (into data/), and the documentation site (into dist/site)."""
    session.install(*PROJECT["project"]["dependencies"], *group("documents"))
    run_isolated(session, "tools/make_documents.py")
    session.run("mkdocs", "build", "--strict", "--quiet", "--site-dir", "dist/site")


@nox.session(python=False)
def links(session: nox.Session) -> None:
    """Follow each link of the documentation that leads to another host; needs the network."""
    session.run(sys.executable, "-I", "tools/check_links.py")


@nox.session
def types(session: nox.Session) -> None:
    """Types: mypy, strict."""
    session.install(*PROJECT["project"]["dependencies"], *group("types"))
    session.run("mypy", "sage_wheels", "tests", "noxfile.py")
    session.run("mypy", "--no-explicit-package-bases", "benchmarks")
    # One by one, or they would be modules of `build`.
    for name in sorted(file.stem for file in Path("build/lib").glob("*.py")):
        session.run("mypy", "--no-explicit-package-bases", f"build/lib/{name}.py")
    session.run("mypy", "--no-explicit-package-bases", "tools", env={"MYPYPATH": "build/lib"})


@nox.session(python=False)
def tests(session: nox.Session) -> None:
    """The whole suite on each Python that is found here, a session for each; arguments go to all."""
    for version in PYTHONS:
        session.notify(f"tests-{version}", session.posargs or EVERYTHING)


def tests_of(version: str) -> None:
    """Make the session of one version of Python."""

    # What has changed between the oldest and the newest shows on one of them, most of the time.
    directories = DIRECTORIES if version in (next(iter(PYTHONS)), next(reversed(PYTHONS))) else READING
    chosen = (*PARALLEL, "-m", "not slow and not once", *(f"tests/{each}" for each in directories))
    what = f"of {len(directories)} directories, those whose result may depend on the version"
    if version == WHOLE:
        chosen, what = EVERYTHING, "all but what needs minutes of an index"

    @nox.session(name=f"tests-{version}", python=PYTHONS[version])
    def with_one_python(session: nox.Session) -> None:
        session.install(".", *group("test"))
        run_isolated(session, "-m", "pytest", "--durations=25", *(session.posargs or chosen))

    with_one_python.__doc__ = f"Tests of the installed package with Python {version}: {what}; arguments go to pytest."


for each_version in PYTHONS:
    tests_of(each_version)


@nox.session
def fuzz(session: nox.Session) -> None:
    """New inputs for every reader, on all processors, a minute in all; with `nox -s fuzz -- 3600` it is an hour."""
    session.install(".", *group("test"))
    numbers = [each for each in session.posargs if each.isdecimal()]  # others are for the tests
    seconds = float(numbers[0]) if numbers else 60.0
    targets = 6  # the tests in that file
    session.env["FUZZ_SECONDS"] = str(seconds / targets)
    run_isolated(session, "-m", "pytest", *PARALLEL, "tests/hostile/test_fuzz.py")


@nox.session
def coverage(session: nox.Session) -> None:
    """Branch coverage by tests that are not `slow`, and what they start; fails below the floor in pyproject.toml."""
    session.install(".", *group("coverage"))
    run_isolated(session, "-m", "coverage", "erase")
    run_isolated(session, "-m", "coverage", "run", "-m", "pytest", *(session.posargs or (*PARALLEL, "-m", "not slow")))
    run_isolated(session, "-m", "coverage", "combine", "--quiet")
    run_isolated(session, "-m", "coverage", "report", "--skip-covered", "--sort=cover")


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
    for destination in ("dist/sage-wheels", "dist/sage-wheels.pyz"):
        run_isolated(session, "tools/make_bundle.py", destination)
    session.run("dist/sage-wheels.pyz", "--version", external=True)
    program = (
        "import sys; sys.path.insert(0, 'dist/sage-wheels'); from sage_wheels.cli import main; main(['--version'])"
    )
    run_isolated(session, "-S", "-c", program)


GENUINE = ("tests/sage/genuine", "--durations=10")
# The genuine trees of Sage: the variable that names another directory, the one that sets it up, and where.
TREES = {
    "GENUINE_SAGE": ("set-up", ".cache/sage"),  # 10.7
    "GENUINE_SAGE_TODAY": ("set-up-today", ".cache/sage-today"),  # 11.0.beta1
}


@nox.session
def sage(session: nox.Session) -> None:
    """A slice of the genuine trees of Sage 10.7 and 11.0.beta1, set up here; what cannot be set up is named.

    The variables GENUINE_SAGE and GENUINE_SAGE_TODAY name other directories than .cache/sage and .cache/sage-today.
    """
    session.install(".", *group("test"))
    trees = set_up_trees(session)
    if session.posargs:
        run_isolated(session, "-m", "pytest", *session.posargs, env=trees)
        return

    def run(variable: str) -> object:
        one = {**dict.fromkeys(TREES, ""), variable: trees[variable]}
        return run_isolated(session, "-m", "pytest", *GENUINE, "-m", "not slow", env=one, silent=True)

    with ThreadPoolExecutor() as pool:  # the trees beside each other
        for said in pool.map(run, trees):
            session.log(said)


@nox.session(name="sage-all")
def sage_all(session: nox.Session) -> None:
    """All tests of the genuine trees, and all Python packages, with Sage's own scripts and with ours: hours.

    Needs what Sage itself needs of the system. What Sage's own scripts do not build here is named and left out.
    """
    session.install(".", *group("test"))
    trees = set_up_trees(session)
    run_isolated(session, "-m", "pytest", *GENUINE, env=trees)
    for work in trees.values():
        said = session.run("sh", "tests/sage/genuine/all-packages", work, external=True, silent=True)
        assert isinstance(said, str)
        run_isolated(session, "benchmarks/sage.py", "--keep-going", work, *said.split())


def set_up_trees(session: nox.Session) -> dict[str, str]:
    """Set up the genuine trees; the variables that say where they are. Skips the session if there is none."""
    places = {variable: os.environ.get(variable) or usual for variable, (_, usual) in TREES.items()}

    def set_up(variable: str) -> object:
        program = f"tests/sage/genuine/{TREES[variable][0]}"
        return session.run("sh", program, places[variable], external=True, silent=True)

    found, reasons = {}, []
    with ThreadPoolExecutor() as pool:  # configure uses one processor
        for variable, said in zip(places, pool.map(set_up, places), strict=True):
            if isinstance(said, str) and "cannot: " in said:
                reasons.append(said.partition("cannot: ")[2].strip())
                session.warn(f"skipped what needs the tree of {TREES[variable][0]}: {reasons[-1]}")
            else:
                found[variable] = os.path.abspath(places[variable])
    if not found:
        session.skip("; ".join(reasons))
    return found


def group(name: str) -> list[str]:
    """Give the requirements of a dependency group."""
    return list(nox.project.dependency_groups(PROJECT, name))


def run_isolated(
    session: nox.Session, *command: str, env: dict[str, str] | None = None, silent: bool = False
) -> object:
    """Run Python such that neither this directory nor the caller's PYTHON* variables reach it.

    If `silent`, what it prints is returned.
    """
    return session.run("python", "-I", *command, env=env, silent=silent)
