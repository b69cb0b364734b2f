"""Build the packages of Sage that make would build for some goals, those that the longest chain waits for first.

GNU make considers each target once in a pass over all of them, and while all jobs are busy, it waits in the middle of a
pass. So a package whose dependency is still being built when it is considered waits for the next pass, which begins
when everything else that could begin has begun: each link of a chain waits for most of the whole run. Here, a package
begins when all that it depends on is there, and the one with the longest chain of others behind it comes first.

What is to be built, and what depends on what, is asked of make itself (`make -n -p`). The recipe of each package is
that of Sage's Makefile, `$(MAKE_REC) PACKAGE-TREE-no-deps`, and runs as a job of make's jobserver. Only packages are
built here whose dependencies are all known to be there by then; the rest, and everything that is no package, is left to
make. sage-make-packages runs it afterwards. What it needs to know then is written to descriptor 9: if a package has
failed, a definition of MAKE_REC by which make does not try it again; and, without -k, the target with which make then
ends.

This file uses only the standard library of Python 3.10.
"""

from __future__ import annotations

import contextlib
import heapq
import os
import re
import select
import signal
import subprocess
import sys
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import FrameType

ANSWER = 9  # the descriptor for sage-make-packages
_WANTED = "sage-wheels-wanted"  # what `make -n` prints for each recipe that calls make
_RECIPE = re.compile(rf"\t\+(?:\$\(MAKE_REC\)|echo {_WANTED}) ((\w+)-SAGE_\w+-no-deps)")
_JOBSERVER = re.compile(r"--jobserver-(?:auth|fds)=(?:fifo:(\S+)|(\d+),(\d+))")
# Options of make under which this order is right: -k, -s, -w, -r, -R, and those by which make calls itself.
_FLAGS = re.compile(r"[kswrR]*( -j\d*| --jobserver-(auth|fds)=\S+| --no-print-directory| -)*( [A-Za-z]\w*=.*)?")
# What make may be asked about in turn, if it would call itself for it: nothing whose recipe would run with -n.
_NESTED = re.compile(r"all-sage[a-z-]*|\w+|/\S+")


class Rule(NamedTuple):
    """What make knows about a target: its prerequisites, and the recipe."""

    normal: list[str]
    order_only: list[str]
    recipe: list[str]


class Package(NamedTuple):
    """A package that is to be built: its stamp, the target that builds it, and its name."""

    stamp: str
    target: str
    name: str


def rules_of(database: str) -> dict[str, Rule]:
    """The rules in what `make -p` has printed.

    >>> rules_of("\\n# Files\\n\\na: b | c\\n#  Phony target\\n\\tgo\\n\\n# Not a target:\\nb:\\n")
    {'a': Rule(normal=['b'], order_only=['c'], recipe=['\\tgo'])}
    """
    found: dict[str, Rule] = {}
    for block in database.partition("\n# Files\n")[2].split("\n\n"):
        lines = block.strip("\n").split("\n")
        head = re.fullmatch(r"([^#\t\s][^:=]*):(?: (.*))?", lines[0])
        if head:
            normal, _, order_only = (head[2] or "").partition("|")
            recipe = [line for line in lines[1:] if line.startswith("\t")]
            found[head[1]] = Rule(normal.split(), order_only.split(), recipe)
    return found


def plan(rules: dict[str, Rule], wanted: Iterable[str]) -> tuple[list[Package], list[str]]:
    """The packages with a target in `wanted` that can be built here, in the order of `wanted`.

    Also returns files that have to be made before them, which depend on no package (the virtual environment).
    """
    packages: dict[str, Package] = {}
    for stamp, rule in rules.items():
        found = _RECIPE.fullmatch(rule.recipe[0]) if len(rule.recipe) == 1 else None
        if found:
            packages[stamp] = Package(stamp, found[1], found[2])
    by_target = {package.target: package for package in packages.values()}
    chosen = {by_target[target].stamp: by_target[target] for target in wanted if target in by_target}
    asked = set(chosen)

    def simple(path: str) -> bool:
        """Whether `path` is a file with prerequisites of this kind alone, and those for the order only."""
        rule = rules.get(path)
        if rule is None:
            return os.path.exists(path)
        return path.startswith("/") and not rule.normal and all(map(simple, rule.order_only))

    def known(path: str) -> bool:
        if path in packages:
            return path in chosen or (path not in asked and os.path.exists(path))
        return simple(path)

    while True:
        unknown = [stamp for stamp in chosen if not all(map(known, _prerequisites(rules[stamp])))]
        if not unknown:
            break
        for stamp in unknown:
            del chosen[stamp]
    others = (path for stamp in chosen for path in _prerequisites(rules[stamp]) if path not in packages)
    return list(chosen.values()), [path for path in dict.fromkeys(others) if not os.path.exists(path)]


def _prerequisites(rule: Rule) -> list[str]:
    return [*rule.normal, *rule.order_only]


def remaining(packages: list[Package], rules: dict[str, Rule], root: str) -> dict[str, float]:
    """The length of the chain that begins with each package, in the order of make: dependencies come first."""
    waiting: dict[str, list[str]] = {package.stamp: [] for package in packages}
    for package in packages:
        for path in _prerequisites(rules[package.stamp]):
            waiting.get(path, []).append(package.stamp)
    found: dict[str, float] = {}
    for package in reversed(packages):
        after = max((found.get(each, 0.0) for each in waiting[package.stamp]), default=0.0)
        found[package.stamp] = cost(package.name, root) + after
    return found


def cost(name: str, root: str) -> float:
    """An estimate of how long a package takes: next to nothing if it is a wheel, else by the size of its archive."""
    try:
        with open(f"{root}/build/pkgs/{name}/checksums.ini") as file:
            archive = re.search(r"^tarball=(\S+)", file.read(), re.MULTILINE)
        with open(f"{root}/build/pkgs/{name}/package-version.txt") as file:
            version = re.sub(r"\.p\d+$", "", file.readline().strip())
    except OSError:
        return 1.0
    if not archive or archive[1].endswith(".whl"):
        return 0.1
    path = re.sub(r"\$\{VERSION\}|VERSION", version, archive[1])
    try:
        return 1.0 + os.path.getsize(f"{root}/upstream/{path}") / 1e6
    except OSError:  # it is still to be downloaded
        return 1.0


class Jobserver:
    """The free jobs of make: each job but the first takes a token, and gives it back."""

    def __init__(self, flags: str) -> None:
        found = _JOBSERVER.search(flags)
        assert found
        # opened anew, because others share the flags of the inherited descriptor
        mode = os.O_NONBLOCK | os.O_CLOEXEC
        self.reader = os.open(found[1] or f"/dev/fd/{found[2]}", mode | (os.O_RDWR if found[1] else os.O_RDONLY))
        self.writer = self.reader if found[1] else os.open(f"/dev/fd/{found[3]}", mode | os.O_WRONLY)
        self.own_is_free = True  # the job that this process is

    def take(self) -> bytes | None:
        """A token, or None if there is none now."""
        if self.own_is_free:
            self.own_is_free = False
            return b""
        if not select.select([self.reader], [], [], 0)[0]:  # where O_NONBLOCK does not count (macOS), a read would wait
            return None
        try:
            return os.read(self.reader, 1) or None
        except BlockingIOError:
            return None

    def give_back(self, token: bytes) -> None:
        if token:
            os.write(self.writer, token)
        else:
            self.own_is_free = True


class Run:
    """Builds packages; `failed` are those that could not be built. After a signal, nothing more is started."""

    def __init__(self, packages: list[Package], rules: dict[str, Rule], make: list[str], root: str) -> None:
        self.flags = os.environ.get("MAKEFLAGS", "")
        self.make = make
        self.jobserver = Jobserver(self.flags)
        self.signal = 0
        self.failed: list[Package] = []
        self.running: dict[subprocess.Popen[bytes], tuple[Package, bytes]] = {}
        self.first = {
            package.stamp: set(_prerequisites(rules[package.stamp])) & {each.stamp for each in packages}
            for package in packages
        }
        self.unstarted = {package.stamp: package for package in packages}
        lengths = remaining(packages, rules, root)
        self.rank = {package.stamp: (-lengths[package.stamp], at) for at, package in enumerate(packages)}
        self.ready: list[tuple[float, int, Package]] = []

    def until_the_end(self) -> None:
        woken, wakes = os.pipe()
        os.set_blocking(wakes, False)
        os.set_blocking(woken, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self.hear)
        self.make_ready()
        while self.start_what_can() or self.running:
            select.select([woken, *[self.jobserver.reader] * bool(self.ready)], [], [])
            with contextlib.suppress(BlockingIOError):
                os.read(woken, 4096)
            self.reap()

    def hear(self, number: int, _: FrameType | None) -> None:
        """As make does: pass the signal on, unless it is one that a terminal sends to all; then wait for the jobs."""
        self.signal = number
        for process in [] if number == signal.SIGINT else self.running:
            process.send_signal(number)

    def make_ready(self) -> None:
        for stamp in [stamp for stamp in self.unstarted if not self.first[stamp]]:
            heapq.heappush(self.ready, (*self.rank[stamp], self.unstarted.pop(stamp)))

    def start_what_can(self) -> bool:
        """Start what is ready, as long as there are free jobs; whether anything has started."""
        if self.signal or (self.failed and not _has(self.flags, "k")):
            self.ready.clear()
        started = False
        while self.ready and (token := self.jobserver.take()) is not None:
            package = heapq.heappop(self.ready)[-1]
            command = [*self.make, "--no-print-directory", package.target]
            if not _has(self.flags, "s"):
                print(*command, flush=True)
            process = subprocess.Popen(command, close_fds=False)  # with the descriptors of the jobserver
            self.running[process] = (package, token)
            started = True
        return started

    def reap(self) -> None:
        for process in [process for process in self.running if process.poll() is not None]:
            package, token = self.running.pop(process)
            self.jobserver.give_back(token)
            if process.returncode:
                self.failed.append(package)
                continue
            for first in self.first.values():
                first.discard(package.stamp)
            self.make_ready()


def _has(flags: str, letter: str) -> bool:
    """Whether `flags`, the variable MAKEFLAGS, has the option `letter`; the letters are its first word."""
    return not flags.startswith("-") and letter in flags.split(" ")[0]


def ask(make: list[str], goals: list[str]) -> tuple[dict[str, Rule], list[list[str]]]:
    """The rules of the Makefile, and with which arguments make would call itself for `goals`, in that order.

    Nothing if make refuses that. No recipe runs but those that make itself runs with -n: those that call make.
    """
    flags = re.sub(r" -j\d*| --jobserver-(auth|fds)=\S+", "", os.environ.get("MAKEFLAGS", ""))
    done = subprocess.run(
        [*make, "-n", "-p", f"MAKE_REC=echo {_WANTED}", *goals],
        env={**os.environ, "MAKEFLAGS": flags, "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        errors="surrogateescape",
    )
    if done.returncode:
        return {}, []
    calls = re.findall(rf"^{_WANTED} (.*)", done.stdout, re.MULTILINE)
    return rules_of(done.stdout), [call.split() for call in calls]


def main() -> int:
    goals = os.environ.pop("LONGEST_FIRST", "").split()
    os.environ.pop("LONGEST_FIRST_PYTHON", None)
    os.set_inheritable(ANSWER, False)
    flags = os.environ.get("MAKEFLAGS", "")
    make = [word for word in os.environ["MAKE"].split() if not word.startswith("-j")]  # as MAKE_REC
    if not _FLAGS.fullmatch(flags) or not _JOBSERVER.search(flags) or "-j" in os.environ["MAKE"].split():
        return 0
    rules, calls = ask(make, goals)
    nested = [goal for call in calls if all(map(_NESTED.fullmatch, call)) for goal in call]
    if not all(goal.startswith("/") for goal in nested):  # as all-build, which builds toolchain-deps, and then all-sage
        if any("toolchain-deps" in _prerequisites(rules[goal]) for goal in goals if goal in rules):
            status = subprocess.run([*make, "--no-print-directory", "toolchain-deps"], close_fds=False).returncode
            if status:
                return status
        rules, calls = ask(make, nested)
    packages, before = plan(rules, [call[0] for call in calls])
    if len(packages) < 2:
        return 0
    if before and subprocess.run([*make, "--no-print-directory", *before], close_fds=False).returncode:
        return 0  # make tells what is wrong
    run = Run(packages, rules, make, os.path.realpath("../.."))
    run.until_the_end()
    if run.signal:
        signal.signal(run.signal, signal.SIG_DFL)
        os.kill(os.getpid(), run.signal)
    if run.failed:
        targets = ",".join(package.target for package in run.failed)
        answer = f"MAKE_REC=sage-make-packages --but-not {targets} $(MAKE:-j%=) --no-print-directory"
        answer += "" if _has(flags, "k") else f"\n{run.failed[0].stamp}"
        os.write(ANSWER, answer.encode())
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:  # before anything was started; later, Run hears it
        sys.exit(130)
