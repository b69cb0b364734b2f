"""Sage's own scripts against ours, in a genuine tree: prints the table of docs/sage.md.

usage: python benchmarks/sage.py DIRECTORY [PACKAGE...]

DIRECTORY is what tests/sage/genuine/set-up has made, or what is laid out like it. Without PACKAGE, those of
tests/sage/genuine/packages. The rows of six are medians of PAIRS pairs. Needs strace to count processes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parent.parent
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PAIRS = 9
# What spkg-pipinst, which sage-spkg has written, does in the course of `make six`.
PIPINST = '. "$SAGE_ROOT/build/bin/sage-dist-helpers"; sdh_actually_pip_install_wheel six -r "$1"'


class Tree(NamedTuple):
    """A tree of Sage in the directory `work`, with its own scripts (`stock`) or with ours."""

    work: Path

    @property
    def venv(self) -> Path:
        [venv] = self.work.glob("tree/local/var/lib/sage/venv-python*")
        return venv

    def overlay(self, stock: bool) -> None:
        command = [str(CHECKOUT / "build/overlay"), str(self.work / "tree"), *["--undo"] * stock]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)

    def make(self, *targets: str, count: bool = False) -> float:
        """Build `targets`; the wall time in seconds, or with `count` how many Python processes there were."""
        return self._run(["./install", *targets], {"V": "0", "MAKE": "make -j2"}, count)

    def pipinst(self, count: bool = False) -> float:
        """Install six, whose wheel is stored, as `make six` does."""
        venv = str(self.venv)
        environment = {"SAGE_ROOT": str(self.work / "tree"), "SAGE_LOCAL": str(self.work / "tree/local")}
        environment |= {"SAGE_VENV": venv, "SAGE_SPKG_WHEELS": f"{venv}/var/lib/sage/wheels", "SAGE_ORIG_PATH": PATH}
        environment["PATH"] = f"{self.work}/tree/build/bin:{venv}/bin:{PATH}"
        self._run(["sage-pip-uninstall", "six"], environment)
        requirements = f"{venv}/var/lib/sage/scripts/six/spkg-requirements.txt"
        return self._run(["bash", "-c", PIPINST, "-", requirements], environment, count)

    def _run(self, command: list[str], environment: dict[str, str], count: bool = False) -> float:
        basics = {"LANG": "C.UTF-8", "TERM": "dumb", "USER": "builder", "HOME": str(self.work / "home"), "PATH": PATH}
        env = {**basics, "PIP_CONFIG_FILE": os.devnull, **environment}
        with tempfile.TemporaryDirectory() as traces:
            # a file for each process, or lines would be torn
            strace = ["strace", "-ff", "-qq", "-o", f"{traces}/trace", "-e", "trace=execve"] if count else []
            start = time.perf_counter()
            done = subprocess.run(
                ["env", *strace, *command],  # env looks for the command on the PATH that it gets
                cwd=self.work / "tree/build/make",
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            seconds = time.perf_counter() - start
            if done.returncode:
                sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}")
            calls = "".join(path.read_text(errors="replace") for path in Path(traces).iterdir())
        return len(re.findall(r'^execve\("[^"]*/python[0-9.]*".* = 0$', calls, re.MULTILINE)) if count else seconds

    def files(self) -> set[str]:
        """What was installed, and what Sage keeps about that; without byte-code and what is ours alone."""
        there = (path for path in self.venv.rglob("*") if path.is_file() or path.is_symlink())
        paths = (str(path.relative_to(self.venv)) for path in there)
        ignored = re.compile(r"var/(tmp|lock|lib/sage-wheels)/|.*\.pyc$|lib64/")
        return {path for path in paths if not ignored.match(path)}


def all_packages(tree: Tree, packages: list[str]) -> tuple[list[str], set[str]]:
    """The cells about all packages, and the files that they installed."""
    local = tree.work / "tree/local"
    shutil.rmtree(local, ignore_errors=True)
    (local / "var/lib/sage/installed").mkdir(parents=True)
    (local / "var/lib/sage/installed/.dummy").touch()
    cold = tree.make(*packages)
    found = tree.files()
    clean = tree.make(*(f"{each}-clean" for each in packages))
    return [f"{cold:.0f} s", f"{clean:.0f} s"], found


def six(tree: Tree, count: bool = False) -> list[float]:
    """The figures of the three rows of six."""
    tree.make("six-clean")
    return [tree.make("six", count=count), tree.pipinst(count), tree.make("six-clean", count=count)]


def main(work: Path, packages: list[str]) -> None:
    tree = Tree(work)
    packages = packages or [
        line.split()[0] for line in (CHECKOUT / "tests/sage/genuine/packages").read_text().splitlines()
    ]
    sides = (True, False)  # stock, and with the overlay
    cells: dict[bool, list[str]] = {}
    found: dict[bool, set[str]] = {}
    times: dict[bool, list[list[float]]] = {stock: [] for stock in sides}
    pythons: dict[bool, list[float]] = {}
    for stock in sides:
        tree.overlay(stock)
        cells[stock], found[stock] = all_packages(tree, packages)
    tree.make("six")
    for _ in range(PAIRS):
        for stock in sides:
            tree.overlay(stock)
            times[stock].append(six(tree))
    for stock in sides:
        tree.overlay(stock)
        pythons[stock] = six(tree, count=True)
        for seconds, number in zip(zip(*times[stock], strict=True), pythons[stock], strict=True):
            cells[stock].append(f"{median(seconds):.2f} s, {number} Python{'s' * (number > 1)}")
    tree.overlay(stock=True)
    rows = [f"{len(packages)} packages, cold, -j2", "all of them -clean"]
    rows += ["`make six`", "of that, uninstalling and installing", "`make six-clean`"]
    print("| | stock | with the overlay |\n|---|---|---|")
    for row in zip(rows, cells[True], cells[False], strict=True):
        print(f"| {' | '.join(row)} |")
    print(f"| files installed | {len(found[True])} | {len(found[False])} |")
    for path in sorted(found[True] ^ found[False]):
        print(f"only {'stock' if path in found[True] else 'ours'}: {path}")


if __name__ == "__main__":
    if len(sys.argv) < 2 or sys.argv[1].startswith("-"):
        sys.exit(__doc__)
    main(Path(sys.argv[1]).resolve(), sys.argv[2:])
