"""Two equal prefixes with a pip in them: what plain pip makes of the one, `sage-wheels pip` makes of the other.

Neither sees the settings of this machine: their environment is made from nothing, with a home of its own.
"""

from __future__ import annotations

import csv
import importlib.metadata
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import sage_wheels
from support.trees import Tree, difference, faded, leftovers, make_prefix, site_packages, snapshot
from support.wheels import Content, make_wheel

Done = subprocess.CompletedProcess[str]

# In a process without any PYTHON* variable, which pip and what it builds would see, too.
PROGRAM = f"""
import sys
sys.path.insert(0, {str(Path(sage_wheels.__file__).parent.parent)!r})
from sage_wheels.cli import main
sys.exit(main())
"""
MEASURING = ("COVERAGE_PROCESS_CONFIG", "COVERAGE_PROCESS_START")  # they let `coverage` count another process, too
_OF_CHANGING = re.compile(
    r"\s*(Found existing installation: |Uninstalling |Successfully uninstalled |Removing |Creating |changing mode of )"
)


def make_prefix_with_pip(directory: Path, name: str = "prefix") -> Path:
    """A virtual environment with a copy of the pip of this Python, whose byte-code is fresh."""
    prefix = make_prefix(directory, name)
    pip = importlib.metadata.distribution("pip")
    library = Path(str(pip.locate_file("")))
    for each in (library / "pip", library / f"pip-{pip.version}.dist-info"):
        shutil.copytree(each, site_packages(prefix) / each.name, ignore=shutil.ignore_patterns("_vendor/__pycache__"))
    subprocess.run([prefix / "bin/python", "-m", "compileall", "-q", site_packages(prefix)], stdout=subprocess.DEVNULL)
    return prefix


def pack_pip(directory: Path, version: str) -> Path:
    """A wheel of the pip of this Python that says it was another version, and remembers who it is."""
    pip = importlib.metadata.distribution("pip")
    files: dict[str, Content] = {}
    for each in pip.files or []:
        if each.parts[0] == "pip" and each.suffix != ".pyc":
            files[str(each)] = Path(str(each.locate())).read_bytes()
    text = Path(str(pip.locate_file("pip/__init__.py"))).read_text()
    files["pip/__init__.py"] = re.sub(r'__version__ = ".*"', f'__version__ = "{version}"', text)
    points = dict.fromkeys(("pip", "pip3"), "pip._internal.cli.main:main")
    return make_wheel(directory, "pip", version, files, entry_points=points)


def copy_prefix(template: Path, destination: Path) -> Path:
    """A copy in no time: files are the same ones, and nobody edits those in place."""
    shutil.copytree(template, destination, symlinks=True, copy_function=os.link)
    return destination


def environment(home: Path, **more: str) -> dict[str, str]:
    """The environment of both; git finds a user's name in it."""
    home.mkdir(exist_ok=True)
    author = {f"GIT_{who}_{what}": "t@example.org" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    settings = {"PIP_CONFIG_FILE": os.devnull, "PIP_DISABLE_PIP_VERSION_CHECK": "1", "GIT_CONFIG_NOSYSTEM": "1"}
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "TMPDIR") or name in MEASURING}
    return {**kept, "HOME": str(home), "LC_ALL": "C.UTF-8", **author, **settings, **more}


def pip_command(prefix: Path, *arguments: str | Path) -> list[str]:
    return [str(prefix / "bin/python"), "-m", "pip", *map(str, arguments)]


def our_command(prefix: Path, *arguments: str | Path) -> list[str]:
    return [sys.executable, "-I", "-c", PROGRAM, "pip", "--prefix", str(prefix), *map(str, arguments)]


def start(command: list[str], env: Mapping[str, str], **options: Any) -> subprocess.Popen[str]:
    """A process whose end is also that of its standard output: whoever reads that waits for all that it has started."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, env=env, text=True, **{"cwd": "/", **pipes, **options})


def end(process: subprocess.Popen[str], answers: str | None = None) -> Done:
    out, said = process.communicate(answers, timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, said)


class Twins:
    """Two prefixes below `directory`, each with a home for those who run there."""

    def __init__(self, directory: Path, template: Path) -> None:
        self.directory = directory
        self.pips = copy_prefix(template, directory / "pips/env")
        self.ours = copy_prefix(template, directory / "ours/env")
        self.both = (self.pips, self.ours)

    def run(
        self,
        *arguments: str,
        variables: Mapping[str, str] | None = None,
        answers: str | None = None,
        in_turn: bool = False,
        **options: Any,
    ) -> tuple[Done, Done]:
        """What plain pip did, and ours, both at once unless it is to be `in_turn`.

        "{prefix}" in arguments and values of `variables` is the one or the other prefix.
        """
        running: list[subprocess.Popen[str] | Done] = []
        for command, prefix in ((pip_command, self.pips), (our_command, self.ours)):
            chosen = {name: value.replace("{prefix}", str(prefix)) for name, value in (variables or {}).items()}
            env = environment(prefix.parent / "home", **chosen)
            line = command(prefix, *(each.replace("{prefix}", str(prefix)) for each in arguments))
            stdin = subprocess.DEVNULL if answers is None else subprocess.PIPE
            process = start(line, env, **{"cwd": prefix.parent, "stdin": stdin, **options})
            running.append(end(process, answers) if in_turn else process)
        theirs, own = (
            each if isinstance(each, subprocess.CompletedProcess) else end(each, answers) for each in running
        )
        return theirs, own

    def assert_alike(self) -> None:
        """The same files with the same contents and modes, and what is in ours is as its RECORD says."""
        trees = [comparable(snapshot(each), each) for each in self.both]
        assert difference(*trees) == []
        assert leftovers(self.ours) == []
        names = [
            each.name for each in sage_wheels.distributions(self.ours) if each.name != "pip"
        ]  # without its scripts
        assert [problem for name in names for problem in sage_wheels.verify(name, self.ours)] == []


def comparable(tree: Tree, root: Path) -> Tree:
    """`tree` without INSTALLER's content, byte-code's and the launchers' text, and the hashes of what names the root.

    The root is taken out of texts, for two prefixes cannot have the same; and of a repository only what is checked out
    is left.
    """
    result: Tree = {}
    for path, (kind, mode, what) in faded(tree).items():
        if "/.git/" in path:
            continue
        if isinstance(what, bytes):
            what = _comparable_text(
                path, what.replace(os.fsencode(root), b"ROOT").replace(b"ROOT/bin/python3\n", b"ROOT/bin/python\n")
            )
        result[path] = (kind, mode, what)
    return result


def _comparable_text(path: str, text: bytes) -> bytes | str:
    name = path.rpartition("/")[2]
    if name == "INSTALLER":
        return ""
    if path.startswith("bin/") and b"sys.exit(" in text:
        return "launcher"
    if name != "RECORD" or ".dist-info/" not in path:
        return text
    rows = {row: rest for row, *rest in csv.reader(text.decode().split("\n")[:-1])}
    for row in rows:
        if row.endswith((".dist-info/INSTALLER", ".dist-info/direct_url.json", ".pth", ".pyc")) or row.startswith(
            "../../../bin/"
        ):
            rows[row] = []
    return repr(sorted(rows.items()))


def lines(text: str, prefix: Path) -> list[str]:
    """What was said, without what cannot be the same twice: the prefix, temporary directories, times and addresses.

    What pip says of single steps is left out, for ours is one.
    """
    for pattern, instead in (
        (re.escape(str(prefix.parent)), "HERE"),
        (r"/\S*pip-[a-z-]+-[a-z0-9_]{8}", "TEMPORARY"),
        (r"_[0-9a-f]{32}$", ""),
        (r"/[^ ']*/\.cache/pip/wheels/[0-9a-f/]+", "CACHE"),
        (r"(?<=sha256=)[0-9a-f]{64}$", "DIGEST"),
        (r"^\d{4}-\d\d-\d\dT\S+ ", ""),
        (r" \(from .*\)$", ""),
    ):
        text = re.sub(pattern, instead, text, flags=re.MULTILINE)
    found = [line.rstrip() for line in text.splitlines()]
    return [line for line in found if line and not _OF_CHANGING.match(line) and not line.startswith("sage-wheels: ")]


def assert_said_alike(twins: Twins, theirs: Done, own: Done) -> None:
    told = f"--- pip:\n{theirs.stdout}{theirs.stderr}\n--- ours:\n{own.stdout}{own.stderr}"
    assert own.returncode == theirs.returncode, told
    assert lines(own.stdout, twins.ours) == lines(theirs.stdout, twins.pips), told
    assert lines(own.stderr, twins.ours) == lines(theirs.stderr, twins.pips), told
