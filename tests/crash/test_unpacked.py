"""Installing through the store: killed, or failed, at each operation on prefix or store, with nothing there and with
an unpacked wheel there.

Promises 2 and 8: the prefix is as ever, and an error of the store is none of the command.
"""

from __future__ import annotations

import errno
import itertools
import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from support.chance import faults
from support.puppet import Command, Outcome, Puppet
from support.trees import Tree, difference, leftovers, make_prefix, snapshot
from support.wheels import make_wheel

ERRORS = ("ENOSPC", "EIO", "EACCES", "EXDEV", "EROFS", "EDQUOT", "EMFILE", "EMLINK")


class Scenario(NamedTuple):
    """A directory with a prefix and a store, and what the prefix is before and after."""

    puppet: Puppet
    root: Path
    copy: Path
    old: Tree
    new: Tree

    @property
    def prefix(self) -> Path:
        return self.root / "prefix"

    def install(self, prefix: Path, at: int = 0, fail: int = 0, lasting: str = "") -> Outcome:
        environ = {"SAGE_WHEELS_LINK_MODE": "hardlink", "SAGE_WHEELS_CACHE": f"{self.root}/store"}
        environ["TMPDIR"] = f"{self.root}/tmp"
        line = ["install", "--json", "--prefix", str(prefix), str(self.root / "wheels" / NEW)]
        command = Command("main", str(self.root), line, environ=environ)
        return self.puppet.run(command.failing(at, fail, lasting) if fail else command.killed(at))

    def restore(self) -> None:
        shutil.rmtree(self.root)
        shutil.copytree(self.copy, self.root, symlinks=True)

    def state(self) -> str:
        assert self.puppet.run(Command("recover", str(self.prefix))).status == 0
        assert leftovers(self.prefix) == []
        tree = snapshot(self.prefix)
        if tree == self.old:
            return "old"
        assert difference(self.new, tree) == []
        return "new"

    def check_store(self) -> None:
        """What is in the store leads to no wrong file. Of what was there before, that is known."""
        if snapshot(self.root / "store/trees") != snapshot(self.copy / "store/trees"):
            other = make_prefix(self.root, "other")
            assert self.install(other).status == 0
            for path, what in snapshot(other).items():
                if path.startswith("lib/") and not path.endswith(("/RECORD", ".pyc")):  # in which the prefix is
                    assert self.new[path] == what, path


NEW = "small-2.0-py3-none-any.whl"


@pytest.fixture(params=["empty", "filled"])
def scenario(request: pytest.FixtureRequest, puppet: Puppet, fast_path: Path) -> Scenario:
    root = fast_path / "root"
    (root / "tmp").mkdir(parents=True)
    text = "VERSION = {!r}\n"
    for version in ("1.0", "2.0"):
        files = {"small/__init__.py": text.format(version), "small/data/x.txt": "same\n", "single.py": ""}
        files[f"mixed/of{version[0]}.py"] = ""
        make_wheel(root / "wheels", "small", version, files, entry_points={"small": "small:main"})
    prefix = make_prefix(root)
    made = Scenario(puppet, root, fast_path / "copy", {}, {})
    assert puppet.run(Command("install", str(prefix), [str(root / "wheels/small-1.0-py3-none-any.whl")])).status == 0
    (next(prefix.glob("lib/*/site-packages")) / "mixed/foreign.txt").write_text("nobody's")
    shutil.rmtree(root / "store", ignore_errors=True)
    if request.param == "filled":
        assert made.install(make_prefix(root, "first")).status == 0
        shutil.rmtree(root / "first")
    (root / "store/trees").mkdir(parents=True, exist_ok=True)
    for each in (root / "store", root / "store/trees"):
        each.chmod(0o700)
    old = snapshot(prefix)
    shutil.copytree(root, made.copy, symlinks=True)
    made.restore()
    assert made.install(prefix).status == 0
    made = made._replace(old=old, new=snapshot(prefix))
    made.restore()
    return made


def test_killed_before_every_operation(scenario: Scenario) -> None:
    states = []
    for at in itertools.count(1):
        outcome = scenario.install(scenario.prefix, at=at)
        if outcome.status == 0:
            break
        assert outcome.killed, outcome
        states.append(scenario.state())
        scenario.check_store()
        scenario.restore()
    assert states.count("old") > 20
    assert sorted(states, reverse=True) == states
    print(f"{len(states)} points")


@pytest.mark.parametrize("lasting", ["", "space"])
def test_every_operation_fails(scenario: Scenario, lasting: str) -> None:
    """Where it is one on the store, the command does without it. All of those, and of the others a third by chance."""
    chance = faults()
    store = f"{scenario.root}/store"
    operations = scenario.install(scenario.prefix).operations
    of_store = {at for at, operation in enumerate(operations, 1) if f" {store}" in operation}
    assert of_store
    others = sorted(set(range(1, len(operations))) - of_store)
    scenario.restore()
    for at in [*sorted(of_store.union(chance.sample(others, len(others) // 3))), len(operations) + 20]:
        error = "ENOSPC" if lasting else chance.choice(ERRORS)
        outcome = scenario.install(scenario.prefix, at=at, fail=getattr(errno, error), lasting=lasting)
        where = f"{error} at {at}, {outcome.operations[at - 1 : at]}: {outcome._replace(operations=[])}"
        assert outcome.status in (0, 1), where
        assert outcome.descriptors == 0, where
        assert "Traceback" not in "".join(outcome.said), where
        state = scenario.state()
        assert state == "new" or outcome.status == 1, where
        if len(outcome.operations) < at:  # the last, or something need not be done twice
            assert outcome.status == 0, where
            scenario.restore()
            continue
        operation = outcome.operations[at - 1]
        if f" {store}" in operation and not lasting:
            assert outcome.status == 0, where
        scenario.check_store()
        scenario.restore()
