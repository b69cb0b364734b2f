"""Sage's own scripts against ours, in a genuine tree: prints the table of docs/sage.md.

usage: python benchmarks/sage.py [--keep-going [--overlay-only] | --processor] [--store URL] DIRECTORY [PACKAGE...]

DIRECTORY is what tests/sage/genuine/set-up or set-up-today has made, or what is laid out like it. Without PACKAGE,
those of tests/sage/genuine/packages or packages-today. The rows of six, and of sagelib in a tree of today, are medians
of PAIRS pairs. Needs strace to count processes.

  --keep-going  nothing but all packages, what they install, and what is left after -clean of all; what cannot be
                built is named. One row is the bound that the build backends set (sage_bound.py)
  --overlay-only  the genuine scripts are not measured, and nothing is compared with what they install
  --store URL   a store on a server (docs/store.md), which the first build with the overlay fills; then all packages are
                built once more, with this store and an empty local one
  --processor   nothing but six and sagelib, by the time of the processors (of make and all that it waits for), for a
                machine that others use, too
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from statistics import median
from typing import NamedTuple

CHECKOUT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(CHECKOUT / "benchmarks"))  # python -I leaves it out

import sage_bound  # noqa: E402
import sage_files  # noqa: E402

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
PAIRS = int(os.environ.get("PAIRS", "9"))
# What spkg-pipinst, which sage-spkg has written, does in the course of `make six`.
PIPINST = '. "$SAGE_ROOT/build/bin/sage-dist-helpers"; sdh_actually_pip_install_wheel six -r "$1"'


class Tree(NamedTuple):
    """A tree of Sage in the directory `work`, with its own scripts (`stock`) or with ours.

    `keep_going`: what fails is named, and make goes on. `processor`: seconds are those of processors. `store`: the URL
    of a store on a server, or "".
    """

    work: Path
    keep_going: bool = False
    processor: bool = False
    store: str = ""

    @property
    def is_of_today(self) -> bool:
        return (self.work / "wheels").is_dir()

    @property
    def venv(self) -> Path:
        [venv] = self.work.glob("tree/local/var/lib/sage/venv-python*")
        return venv

    def overlay(self, stock: bool) -> None:
        command = [str(CHECKOUT / "build/overlay"), str(self.work / "tree"), *["--undo"] * stock]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)

    def make(
        self, *targets: str, count: bool = False, dry: bool = False, variables: Mapping[str, str] | None = None
    ) -> float:
        """Build `targets`; the time in seconds, or with `count` how many Python processes there were.

        `dry`: with `make -n`, which only reads the Makefiles and asks what is to be done.
        """
        make = f"make -j2{' -k' * self.keep_going}{' -n' * dry}"
        return self._run(["./install", *targets], {"V": "0", "MAKE": make, **(variables or {})}, count)

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
            start = self._now()
            done = subprocess.run(
                ["env", *strace, *command],  # env looks for the command on the PATH that it gets
                cwd=self.work / "tree/build/make",
                env=env,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            seconds = self._now() - start
            if done.returncode and self.keep_going:
                failed = re.findall(r"\[(\S+)\] error installing", done.stdout)
                print(f"not built: {' '.join(dict.fromkeys(failed))}", file=sys.stderr)
            elif done.returncode:
                sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}")
            calls = "".join(path.read_text(errors="replace") for path in Path(traces).iterdir())
        return len(re.findall(r'^execve\("[^"]*/python[0-9.]*".* = 0$', calls, re.MULTILINE)) if count else seconds

    def _now(self) -> float:
        if not self.processor:
            return time.perf_counter()
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        return usage.ru_utime + usage.ru_stime


class Built(NamedTuple):
    """What all packages left below SAGE_LOCAL, and of that, what was not there without them and -clean has left."""

    files: dict[str, sage_files.Entry]
    left: list[str]


def all_packages(tree: Tree, packages: list[str], *, stock: bool) -> tuple[list[str], Built]:
    """The cells about all packages, and what they installed. Our store is empty at first, and then has all of them."""
    local = tree.work / "tree/local"
    cache = tree.work / "home/.cache/sage-wheels"

    def build(variables: Mapping[str, str] | None = None) -> float:
        shutil.rmtree(local, ignore_errors=True)
        (local / "var/lib/sage/installed").mkdir(parents=True)
        (local / "var/lib/sage/installed/.dummy").touch()
        last = [each for each in packages if each.endswith("-no-deps")]  # what they need must be there
        first = tree.make(*(each for each in packages if each not in last), variables=variables)
        return first + sum(tree.make(each, variables=variables) for each in last)

    def build_with_server(mode: str, timings: str = "") -> float:
        """As `build`, with an empty local store and, if there is one, the store on the server."""
        shutil.rmtree(cache, ignore_errors=True)
        names = ("SAGE_WHEELS_STORE", "SAGE_WHEELS_STORE_MODE", "SAGE_WHEELS_STORE_TRUST")
        server = dict(zip(names, (tree.store, mode, "any"), strict=True)) if tree.store else {}
        return build({**server, "SAGE_WHEELS_TIMINGS": timings} if timings else server)

    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as timings:
        cold = build_with_server("both", timings.name)
        bound = "" if stock else _bound(cold, timings.read(), tree)
    again = "" if stock else f"{build():.0f} s"
    from_server = f"{build_with_server('read'):.0f} s" if tree.store and not stock else ""
    files = sage_files.look(str(local))
    clean = tree.make(*(f"{each.removesuffix('-no-deps')}-clean" for each in packages))
    left = [path for path in sage_files.look(str(local)) if sage_files.LEFT_BY_A_PACKAGE.search(path)]
    return [f"{cold:.0f} s", bound, again, *[from_server] * bool(tree.store), f"{clean:.0f} s"], Built(files, left)


def _bound(cold: float, timings: str, tree: Tree) -> str:
    """The cell about the bound of a run that took `cold` seconds."""
    found = sage_bound.bound(timings, tree.work / "tree")
    return f"{found.seconds:.0f} s (the run takes {cold / found.seconds:.2f}x): {found}"


SIX = (
    "`make six`",
    "of that, without what `make -n six` takes",
    "of that, uninstalling and installing",
    "`make six-clean`",
    "of that, without what `make -n six-clean` takes",
)


def six(tree: Tree) -> list[float]:
    """The figures of the rows SIX."""
    tree.make("six-clean")
    nothing = tree.make("six", dry=True)
    whole = tree.make("six")
    pipinst = tree.pipinst()
    nothing_cleaned = tree.make("six-clean", dry=True)
    clean = tree.make("six-clean")
    return [whole, whole - nothing, pipinst, clean, clean - nothing_cleaned]


def pythons(tree: Tree) -> list[str]:
    """How many Python processes there are, for those rows of SIX that tell it."""
    tree.make("six-clean")
    numbers = [tree.make("six", count=True), 0, tree.pipinst(count=True), tree.make("six-clean", count=True), 0]
    return [f", {number} Python{'s' * (number > 1)}" if number else "" for number in numbers]


REGULAR = {"SAGE_EDITABLE": "no"}
EDITABLE = {"SAGE_EDITABLE": "yes"}
SAGELIB = ("sagelib, nothing changed", "sagelib, one module touched", "sagelib, editable, nothing changed")


def prepare_sagelib(tree: Tree) -> None:
    """What its build needs, as tests/sage/genuine/test_sagelib.py has it."""
    tree.make("meson_python", "pkgconfig", "platformdirs", "six")
    [cython] = (tree.work / "wheels").glob("cython-*.whl")
    command = [str(CHECKOUT / "build/bin/sage-wheels"), "install", f"--prefix={tree.venv}", str(cython)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    jupyter = tree.venv / "bin/jupyter"
    jupyter.write_text("#!/bin/sh\n")
    jupyter.chmod(0o755)
    tree.make("sagelib-no-deps", variables=REGULAR)


def sagelib(tree: Tree) -> list[float]:
    """The figures of the rows SAGELIB; the last one leaves it as it was."""
    same = tree.make("sagelib-no-deps", variables=REGULAR)
    (tree.work / "tree/src/sage/cpython/string.pyx").touch()
    touched = tree.make("sagelib-no-deps", variables=REGULAR)
    tree.make("sagelib-no-deps", variables=EDITABLE)
    editable = tree.make("sagelib-no-deps", variables=EDITABLE)
    tree.make("sagelib-no-deps", variables=REGULAR)
    return [same, touched, editable]


def main(tree: Tree, packages: list[str], *, overlay_only: bool = False) -> None:
    name = "packages-today" if tree.is_of_today else "packages"
    lines = (CHECKOUT / "tests/sage/genuine" / name).read_text().splitlines()
    packages = packages or [line.split()[0] for line in lines]
    sides = (False,) if overlay_only else (True, False)  # with the overlay; or stock first
    rows: list[str] = []
    cells: dict[bool, list[str]] = {True: [], False: []}
    found: dict[bool, Built] = {}
    if not tree.processor:
        server = ["the same again, empty store, full one on a server"] * bool(tree.store)
        rows += [f"{len(packages)} packages, -j2, empty store", "two processors need for that at least"]
        rows += ["the same again, full store", *server]
        rows.append("all of them -clean")
        for stock in sides:
            tree.overlay(stock)
            cells[stock], found[stock] = all_packages(tree, packages, stock=stock)
    if not tree.keep_going:
        compare_small(tree, rows, cells)
    tree.overlay(stock=True)
    print("| | stock | with the overlay |\n|---|---|---|")
    for row in zip(rows, cells[True] or [""] * len(rows), cells[False], strict=True):
        print(f"| {' | '.join(row)} |")
    if len(found) > 1:
        theirs, ours = found[True], found[False]
        print(f"| below SAGE_LOCAL | {sage_files.summary(theirs.files)} | {sage_files.summary(ours.files)} |")
        print(f"| left after -clean | {len(theirs.left)} | {len(ours.left)} |")
        lines = [*sage_files.differences(theirs.files, ours.files, ("stock", "ours"))]
        lines += [f"left with the overlay: {path}" for path in ours.left]
        print("\n".join(["", *lines, f"{len(lines)} differences"]))


def switch(tree: Tree, stock: bool) -> None:
    """Put the overlay in or take it out, and let it look for the system Python, which is done once."""
    tree.overlay(stock)
    tree.make("six")
    tree.make("six-clean")


def compare_small(tree: Tree, rows: list[str], cells: dict[bool, list[str]]) -> None:
    """Append the rows of six and of sagelib."""
    sides = (True, False)
    times: dict[bool, list[list[float]]] = {stock: [] for stock in sides}
    counts: dict[bool, list[str]] = {stock: [] for stock in sides}
    tree.make("six")
    if tree.is_of_today:
        prepare_sagelib(tree)
    for _ in range(PAIRS):
        for stock in sides:
            switch(tree, stock)
            times[stock].append(six(tree) + (sagelib(tree) if tree.is_of_today else []))
    for stock in sides:
        switch(tree, stock)
        counts[stock] = pythons(tree)
        counts[stock] += [""] * (len(times[stock][0]) - len(counts[stock]))
        medians = map(median, zip(*times[stock], strict=True))
        cells[stock] += [f"{each:.2f} s{more}" for each, more in zip(medians, counts[stock], strict=True)]
    rows += SIX
    rows += SAGELIB if tree.is_of_today else ()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--keep-going", action="store_true")
    parser.add_argument("--overlay-only", action="store_true")
    parser.add_argument("--processor", action="store_true")
    parser.add_argument("--store", default="")
    parser.add_argument("directory", type=Path)
    parser.add_argument("packages", nargs="*")
    chosen = parser.parse_args()
    tree = Tree(chosen.directory.resolve(), chosen.keep_going, chosen.processor, chosen.store)
    main(tree, chosen.packages, overlay_only=chosen.overlay_only and chosen.keep_going)
