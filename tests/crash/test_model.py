"""Random sequences of commands, kills, edits and foreign files against a simple model of what must be in the tree.

The model knows which files each wheel brings (each was installed once into an empty prefix), who owns what, and the
rules of promises 2 and 4; it knows nothing of stages, plans and journals. The sequences are the same at every run.
"""

from __future__ import annotations

import copy
import os
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from support.puppet import Command, Outcome, Puppet
from support.trees import STATE, leftovers, make_prefix, site_packages, snapshot
from support.wheels import changing, make_wheel

NAMES = ("alpha", "beta", "gamma")
VERSIONS = ("1", "2", "3")
# The last operation of the longest command here has a lower number than this; a higher one kills nothing.
LAST_OPERATION = 160

File = tuple[int, bytes]
Files = dict[str, File]
Wheels = dict[tuple[str, str], str]
Images = dict[tuple[str, str], Files]


class ExpectedConflict(Exception):
    """The model says that the command must be refused."""


class Model:
    """What must be there: files by path, directories, versions by name, and what must have been set aside so far."""

    def __init__(self, images: Images, prefix: Path) -> None:
        self._images = images
        self.files, self.directories = files_and_directories(prefix)
        self._lasting = {*self.directories, ""}
        self.installed: dict[str, str] = {}
        self.aside: Counter[tuple[str, bytes]] = Counter()

    def copy(self) -> Model:
        return copy.deepcopy(self, {id(self._images): self._images})

    def same(self, other: Model) -> bool:
        mine = (self.files, self.directories, self.installed, self.aside)
        return mine == (other.files, other.directories, other.installed, other.aside)

    def uninstall(self, names: set[str]) -> None:
        self._remove(names & self.installed.keys())

    def install(self, wanted: dict[str, str], *, overwrite: bool, reinstall: bool) -> None:
        """Raises `ExpectedConflict`, and has changed nothing then."""
        coming = {n: v for n, v in wanted.items() if reinstall or not self._is_installed(n, v)}
        new: Files = {}
        for name, version in coming.items():
            for path, file in self._images[name, version].items():
                if new.setdefault(path, file) != file:
                    raise ExpectedConflict(path)
        going = coming.keys() & self.installed.keys()
        goes = self._goes(going)
        placed = {path: file for path, file in new.items() if not self._stays(path, file, goes, overwrite)}
        others = self.installed.keys() - going
        for path in placed.keys() & self.files.keys() - goes:
            content = self.files[path][1]
            if not any(self._image(name).get(path, (0, b""))[1] == content for name in others):
                self.aside[path, content] += 1
        self._remove(going)
        self.files.update(placed)
        self.directories.update(above for path in placed for above in ancestors(path))
        self.installed.update(coming)

    def user_writes(self, path: str, content: bytes) -> None:
        self.files[path] = (0o644, content)
        self.directories.update(ancestors(path))

    def _image(self, name: str) -> Files:
        return self._images[name, self.installed[name]]

    def _is_installed(self, name: str, version: str) -> bool:
        """Whether it is there as it was installed; what was edited is installed again."""
        if self.installed.get(name) != version:
            return False
        return all(path in self.files and self.files[path][1] == file[1] for path, file in self._image(name).items())

    def _goes(self, names: set[str]) -> set[str]:
        """Paths that the distributions `names` own, and nobody else."""
        kept = {path for name in self.installed.keys() - names for path in self._image(name)}
        return {path for name in names for path in self._image(name)} - kept

    def _stays(self, path: str, file: File, goes: set[str], overwrite: bool) -> bool:
        """Whether what stands at `path` is the new file already. Raises `ExpectedConflict`."""
        if any(above in self.files and above not in goes for above in ancestors(path)):
            raise ExpectedConflict(path)
        if path in self.directories and not self._all_goes(path, goes):
            raise ExpectedConflict(path)
        if path not in self.files or path in goes:
            return False
        if self.files[path][1] == file[1]:
            return True
        if not overwrite:
            raise ExpectedConflict(path)
        return False

    def _all_goes(self, directory: str, goes: set[str]) -> bool:
        """Whether a directory holds files that go, in it or in directories that hold such files, and nothing else."""
        inside = {each for each in self.files if each.startswith(f"{directory}/")}
        needed = {above for each in inside for above in ancestors(each)}
        return inside <= goes and {d for d in self.directories if f"{d}/".startswith(f"{directory}/")} <= needed

    def _remove(self, names: set[str]) -> None:
        goes = self._goes(names)
        removed = goes & self.files.keys()
        installed = {(path, file[1]) for name in names for path, file in self._image(name).items()}
        for path in removed:
            if (path, self.files[path][1]) not in installed and not path.endswith("/RECORD"):
                self.aside[path, self.files[path][1]] += 1
        for path in removed:
            del self.files[path]
        emptied = {above for path in removed for above in ancestors(path)} - self._lasting
        for directory in sorted(emptied, key=len, reverse=True):
            if not any(each.startswith(f"{directory}/") for each in (*self.files, *self.directories)):
                self.directories.discard(directory)
        for name in names:
            del self.installed[name]


def ancestors(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def files_and_directories(prefix: Path) -> tuple[Files, set[str]]:
    tree = snapshot(prefix)
    files = {p: (mode, os.fsencode(what)) for p, (kind, mode, what) in tree.items() if kind != "directory"}
    return files, {path for path, (kind, _, _) in tree.items() if kind == "directory"}


def all_aside(prefix: Path) -> Counter[tuple[str, bytes]]:
    """What was set aside: path below the directory of its transaction, and content."""
    top = prefix / STATE / "set-aside"
    found = [each for each in top.rglob("*") if each.is_file()] if top.is_dir() else []
    return Counter((each.relative_to(top).as_posix().partition("/")[2], each.read_bytes()) for each in found)


def wheel_of(directory: Path, name: str, version: str) -> str:
    """Whole directories, a shared one, a file of all three, one about which two quarrel, a file that turns."""
    files, data = changing(name, version)
    if version == "2":
        files["space/quarrel.txt"] = f"mine, says {name}\n"
    if version == "3":
        del files["space/common.txt"], data["data/share/all/common.txt"]
    return str(make_wheel(directory, name, version, files, data=data, entry_points={f"{name}-run": f"{name}:run"}))


class Prefix(RuleBasedStateMachine):
    """The machine; what all runs of it share is set in the class by the test."""

    puppet: ClassVar[Puppet]
    directory: ClassVar[Path]
    wheels: ClassVar[Wheels]
    images: ClassVar[Images]
    happened: ClassVar[Counter[str]]

    def __init__(self) -> None:
        super().__init__()
        self.prefix = new_prefix(self.directory)
        self.model = Model(self.images, self.prefix)
        self.or_this: Model | None = None  # after a kill the prefix may be in this state as well
        self.serial = 0

    # --- commands ---

    @rule(
        wanted=st.dictionaries(st.sampled_from(NAMES), st.sampled_from(VERSIONS), min_size=1),
        overwrite=st.booleans(),
        reinstall=st.booleans(),
        at=st.just(0) | st.integers(1, LAST_OPERATION),
    )
    def install(self, wanted: dict[str, str], overwrite: bool, reinstall: bool, at: int) -> None:
        self.decide()
        after = self.model.copy()
        refused = False
        try:
            after.install(wanted, overwrite=overwrite, reinstall=reinstall)
        except ExpectedConflict:
            refused = True
        items = [self.wheels[each] for each in wanted.items()]
        command = Command("install", str(self.prefix), items, overwrite=overwrite, reinstall=reinstall).killed(at)
        self.done(self.puppet.run(command), after, refused)

    @rule(names=st.sets(st.sampled_from(NAMES), min_size=1), at=st.just(0) | st.integers(1, LAST_OPERATION))
    def uninstall(self, names: set[str], at: int) -> None:
        self.decide()
        after = self.model.copy()
        after.uninstall(names)
        self.done(self.puppet.run(Command("uninstall", str(self.prefix), sorted(names)).killed(at)), after, False)

    @rule(at=st.just(0) | st.integers(1, 20))
    def recover(self, at: int) -> None:
        self.decide()
        outcome = self.puppet.run(Command("recover", str(self.prefix)).killed(at))
        self.done(outcome, self.model, False)
        if not outcome.killed:
            assert leftovers(self.prefix) == []

    # --- people ---

    @precondition(lambda self: self.or_this is None)
    @rule(data=st.data(), how=st.sampled_from(["longer", "as long"]))
    def edit(self, data: st.DataObject, how: str) -> None:
        mine = [path for path in sorted(self.model.files) if path.endswith((".py", ".txt", "-run"))]
        if mine:
            path = data.draw(st.sampled_from(mine))
            self.serial += 1
            size = len(self.model.files[path][1])
            content = b"# edited %d" % self.serial
            mode = self.model.files[path][0]
            self.write(path, content.ljust(size)[:size] if how == "as long" else content.ljust(size + 1))
            self.model.files[path] = (mode, self.model.files[path][1])
            self.happened["edited"] += 1

    @precondition(lambda self: self.or_this is None)
    @rule(data=st.data(), name=st.sampled_from(NAMES))
    def add(self, data: st.DataObject, name: str) -> None:
        """A file of nobody, in a directory of a package, or where a package will want to have a file."""
        site = site_packages(self.prefix).relative_to(self.prefix).as_posix()
        candidates = [f"{site}/{name}/{each}" for each in ("notes.txt", "deep/notes.txt", "v2/only.py", "__init__.py")]
        candidates += [
            f"{site}/space/turn_{name}",
            f"{site}/space/notes.txt",
            f"share/{name}.txt",
            "share/all/notes.txt",
        ]
        path = data.draw(st.sampled_from(candidates))
        free = path not in self.model.directories and path not in self.model.files
        if free and not any(above in self.model.files for above in ancestors(path)):
            self.serial += 1
            self.write(path, b"nobody's %d" % self.serial)
            self.happened["added"] += 1

    @precondition(lambda self: self.or_this is None)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        mine = [path for path in sorted(self.model.files) if path.endswith((".py", ".txt", "-run"))]
        if mine:
            path = data.draw(st.sampled_from(mine))
            (self.prefix / path).unlink()
            del self.model.files[path]

    def write(self, path: str, content: bytes) -> None:
        destination = self.prefix / path
        destination.parent.mkdir(parents=True, exist_ok=True)
        destination.write_bytes(content)
        self.model.user_writes(path, content)

    # --- the comparison ---

    def done(self, outcome: Outcome, after: Model, refused: bool) -> None:
        if outcome.killed:
            if (self.prefix / STATE / "journal").exists():
                self.happened["killed in the commit"] += 1
            self.or_this = after
        elif refused:
            assert outcome.error == "Conflict", outcome
            self.happened["conflict"] += 1
        else:
            assert outcome.status == 0, outcome
            self.happened["set aside"] += (after.aside - self.model.aside).total()
            self.model = after

    def decide(self) -> None:
        """Which of two states a killed command has left: the old one if its journal still counts."""
        if self.or_this is None:
            return
        if not (self.prefix / STATE / "journal").exists() and not self.or_this.same(self.model):
            now = self.now()
            is_new = now == (self.or_this.files, self.or_this.directories, self.or_this.aside)
            self.happened["killed, and new" if is_new else "killed, and old"] += 1
            if is_new:
                self.model = self.or_this
            else:
                self.compare("old or new after a kill")
        self.or_this = None

    def now(self) -> tuple[Files, set[str], Counter[tuple[str, bytes]]]:
        return (*files_and_directories(self.prefix), all_aside(self.prefix))

    @invariant()
    def as_expected(self) -> None:
        if self.or_this is None:
            self.compare("the state")

    def compare(self, what: str) -> None:
        files, directories, aside = self.now()
        model = self.model
        problems = [f"missing: {each}" for each in sorted(model.files.keys() - files.keys())]
        problems += [f"too much: {each}" for each in sorted(files.keys() - model.files.keys())]
        both = sorted(files.keys() & model.files.keys())
        problems += [f"{p}: {files[p]} not {model.files[p]}" for p in both if files[p] != model.files[p]]
        problems += [f"directory: {each}" for each in sorted(directories ^ model.directories)]
        problems += [f"not set aside: {each}" for each in (model.aside - aside)]
        problems += [f"set aside without need: {each}" for each in (aside - model.aside)]
        if problems:
            raise AssertionError(f"{what} is not as expected:\n" + "\n".join(problems))

    def teardown(self) -> None:
        """In the end nothing is left of anything that was killed."""
        self.recover(0)
        self.as_expected()


def new_prefix(directory: Path) -> Path:
    """An empty prefix, always at the same place, because scripts name it."""
    shutil.rmtree(directory / "prefix", ignore_errors=True)
    return make_prefix(directory)


@pytest.mark.slow
def test_random_sequences(puppet: Puppet, fast_path: Path) -> None:
    wheels = {(name, version): wheel_of(fast_path / "wheels", name, version) for name in NAMES for version in VERSIONS}
    images: Images = {}
    for each, wheel in wheels.items():
        prefix = new_prefix(fast_path)
        before, _ = files_and_directories(prefix)
        assert puppet.run(Command("install", str(prefix), [wheel])).status == 0
        after, _ = files_and_directories(prefix)
        images[each] = {path: file for path, file in after.items() if path not in before}
        assert len(images[each]) > 10
    shared = {"puppet": puppet, "directory": fast_path, "wheels": wheels, "images": images, "happened": Counter()}
    machine = type("Machine", (Prefix,), shared)
    run_state_machine_as_test(
        machine,
        settings=settings(
            derandomize=True,
            database=None,
            max_examples=80,
            stateful_step_count=30,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        ),
    )
    happened: Counter[str] = machine.happened  # type: ignore[attr-defined]
    print(dict(happened))
    wanted = {"killed in the commit", "killed, and old", "killed, and new", "conflict", "set aside", "edited", "added"}
    assert {each for each in wanted if happened[each] < 5} == set()
