"""What is done to a prefix in the kill and error tests: a state before, a command, and so a state after.

The packages are made to have everything in them that is planned in a way of its own: directories of one owner,
crowded ones, single modules, scripts, `.pth` files, data, headers, a namespace package and a file that two
distributions own, a module that becomes a package and the other way round, byte-code that no RECORD lists, an edited
file and files of nobody.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from support.puppet import ON_AN_OVERLAY, WITHOUT_EXCHANGE, Command, Outcome, Puppet
from support.trees import STATE, Tree, difference, leftovers, make_prefix, set_aside, site_packages, snapshot
from support.wheels import Content, make_wheel


def demo(directory: Path, version: str, marker: str = "") -> str:
    """A wheel of the distribution `demo`: version "1.0" or "2.0", whose files `marker` makes different."""
    one = version == "1.0"
    text = f"VERSION = {version + marker!r}\n"
    files: dict[str, Content] = {
        "demo/__init__.py": text,
        "demo/core.py": text + "def main():\n    print(VERSION)\n",
        "demo/sub/__init__.py": "",
        "demo/sub/table.txt": f"table {version} {marker}\n",
        "demo/crowded/__init__.py": text,
        "demo_single.py": text,
        "crowded/here.py": text,
        "crowded/same.txt": "always the same\n",
        "demo.pth": f"# {version} {marker}\n",
        "nspkg/demo/__init__.py": text,
        "nspkg/common.txt": "shared by demo and neighbour\n",
    }
    data: dict[str, Content] = {
        "scripts/demo-script": f"#!python\nprint({version + marker!r})\n",
        "data/share/demo/a.txt": f"{version} {marker}\n",
        "headers/demo.h": f"/* {version} {marker} */\n",
    }
    if one:
        files.update(
            {
                "demo/gone.py": text,
                "demo/gone/deep/er.py": "",
                "demo_gone.py": text,
                "demo_gone.pth": "# gone\n",
                "demo_turn.py": text,
                "crowded/gone.py": text,
                "nspkg/demo/gone.py": text,
            }
        )
        data.update({"scripts/demo-gone": "#!/bin/sh\n", "data/share/gone/b.txt": "b", "data/share/turn": "a file"})
    else:
        files.update(
            {
                "demo/new.py": text,
                "demo/new_dir/__init__.py": "",
                "demo_new.py": text,
                "demo_new.pth": "# new\n",
                "demo_turn/__init__.py": text,
                "crowded/new.py": text,
                "nspkg/demo/new.py": text,
            }
        )
        data.update({"scripts/demo-new": "#!/bin/sh\n", "data/share/new/b.txt": "b", "data/share/turn/c.txt": "c"})
    points = {"demo": "demo.core:main", f"demo-{version[0]}": "demo.core:main"}
    return str(make_wheel(directory / (marker or "plain"), "demo", version, files, data=data, entry_points=points))


def neighbour(directory: Path, version: str) -> str:
    files: dict[str, Content] = {
        "nspkg/neighbour.py": f"VERSION = {version!r}\n",
        "nspkg/common.txt": "shared by demo and neighbour\n",
        "neighbour/__init__.py": f"VERSION = {version!r}\n",
    }
    data = {"data/share/neighbour.txt": version}
    return str(make_wheel(directory / "plain", "neighbour", version, files, data=data))


class Scenario(NamedTuple):
    """`prepare` brings an empty prefix into the state before, `command` makes the command from it."""

    prepare: Callable[[Puppet, Path, Path], None]
    command: Callable[[Path, Path], Command]


def _install(puppet: Puppet, prefix: Path, *wheels: str, compile: bool = False) -> None:
    done = puppet.run(Command("install", str(prefix), list(wheels), compile=compile))
    assert done.status == 0, done


def _nothing(puppet: Puppet, prefix: Path, wheels: Path) -> None:
    pass


def _neighbour_there(puppet: Puppet, prefix: Path, wheels: Path) -> None:
    _install(puppet, prefix, neighbour(wheels, "1.0"))


def _both_there(puppet: Puppet, prefix: Path, wheels: Path, compile: bool = False) -> None:
    _install(puppet, prefix, neighbour(wheels, "1.0"), compile=compile)
    _install(puppet, prefix, demo(wheels, "1.0"), compile=compile)
    site = site_packages(prefix)
    (site / "crowded/foreign.txt").write_text("nobody's")
    (site / "demo/__pycache__").mkdir(exist_ok=True)
    (site / "demo/__pycache__/core.cpython-39.opt-1.pyc").write_bytes(b"of another Python")
    (site / "crowded/__pycache__").mkdir(exist_ok=True)
    (site / "crowded/__pycache__/gone.cpython-39.pyc").write_bytes(b"of another Python")
    os.chmod(prefix / "share/gone", 0o750)


def _compiled_there(puppet: Puppet, prefix: Path, wheels: Path) -> None:
    _both_there(puppet, prefix, wheels, compile=True)


def _edited_there(puppet: Puppet, prefix: Path, wheels: Path) -> None:
    _both_there(puppet, prefix, wheels)
    site = site_packages(prefix)
    (site / "demo/core.py").write_text("edited = True\n")
    (prefix / "share/gone/b.txt").write_text("edited")
    (site / "demo_new.py").write_text("# nobody's, and in the way\n")
    (prefix / "bin/demo-new").write_text("#!/bin/sh\n# nobody's, and in the way\n")
    other = make_wheel(wheels / "plain", "other", "1.0", {"other.py": "", "demo_new.pth": "# the other's\n"})
    _install(puppet, prefix, str(other))


def _small(directory: Path, version: str) -> str:
    """A wheel whose upgrade has every kind of step once or twice."""
    text = f"VERSION = {version!r}\n"
    files = {"small/__init__.py": text, "mixed/mine.py": text, f"small_{version[0]}.py": text}
    files["small.pth"] = f"# {version}\n"
    if version == "1.0":
        files["mixed/deep/gone.py"] = text
    return str(make_wheel(directory / "plain", "small", version, files))


def _small_there(puppet: Puppet, prefix: Path, wheels: Path) -> None:
    _install(puppet, prefix, _small(wheels, "1.0"))
    (site_packages(prefix) / "mixed/foreign.txt").write_text("nobody's")
    os.chmod(site_packages(prefix) / "mixed/deep", 0o750)


def _upgraded(puppet: Puppet, prefix: Path, wheels: Path) -> None:
    _edited_there(puppet, prefix, wheels)
    done = puppet.run(Command("install", str(prefix), [demo(wheels, "2.0")], overwrite=True))
    assert done.status == 0, done


def _upgraded_and_removed(puppet: Puppet, prefix: Path, wheels: Path) -> None:
    _upgraded(puppet, prefix, wheels)
    assert puppet.run(Command("uninstall", str(prefix), ["demo", "neighbour"])).status == 0


def _small_upgraded(puppet: Puppet, prefix: Path, wheels: Path) -> None:
    _small_there(puppet, prefix, wheels)
    _install(puppet, prefix, _small(wheels, "2.0"))


def _damaged(puppet: Puppet, prefix: Path, wheels: Path) -> None:
    """Files are missing, edited, or left by a killed pip; the old version's files, some of which fit, are kept."""
    _upgraded(puppet, prefix, wheels)
    site = site_packages(prefix)
    for path in (site / "demo/core.py", prefix / "bin/demo-script", site / "demo-2.0.dist-info/METADATA"):
        path.unlink()
    shutil.rmtree(site / "demo/new_dir")
    (site / "crowded/same.txt").unlink()
    (site / "demo_single.py").write_text("edited since\n")
    (site / "~emo/deep").mkdir(parents=True)
    (site / "~emo/deep/er.py").write_text("left")


def _small_damaged(puppet: Puppet, prefix: Path, wheels: Path) -> None:
    _small_there(puppet, prefix, wheels)
    site = site_packages(prefix)
    (site / "small/__init__.py").write_text("edited")
    shutil.rmtree(site / "mixed/deep")
    (site / "~mall").mkdir()


SMALL_SCENARIOS: dict[str, Scenario] = {
    "small repair": Scenario(_small_damaged, lambda p, w: Command("repair", str(p), [_small(w, "1.0")])),
    "small undo": Scenario(_small_upgraded, lambda p, w: Command("undo", str(p))),
    "small undo to nothing": Scenario(_small_upgraded, lambda p, w: Command("undo", str(p), to=0)),
    "small install": Scenario(_nothing, lambda p, w: Command("install", str(p), [_small(w, "2.0")])),
    "small upgrade": Scenario(_small_there, lambda p, w: Command("install", str(p), [_small(w, "2.0")])),
    "small upgrade without exchange": Scenario(
        _small_there, lambda p, w: Command("install", str(p), [_small(w, "2.0")], file_system=WITHOUT_EXCHANGE)
    ),
    "small upgrade on an overlay": Scenario(
        _small_there, lambda p, w: Command("install", str(p), [_small(w, "2.0")], file_system=ON_AN_OVERLAY)
    ),
    "small uninstall": Scenario(_small_there, lambda p, w: Command("uninstall", str(p), ["small"])),
    "small uninstall on an overlay": Scenario(
        _small_there, lambda p, w: Command("uninstall", str(p), ["small"], file_system=ON_AN_OVERLAY)
    ),
}

SCENARIOS: dict[str, Scenario] = {
    "first install": Scenario(_nothing, lambda p, w: Command("install", str(p), [demo(w, "1.0")])),
    "install": Scenario(_neighbour_there, lambda p, w: Command("install", str(p), [demo(w, "1.0")])),
    "install, compiled": Scenario(
        _neighbour_there, lambda p, w: Command("install", str(p), [demo(w, "1.0")], compile=True)
    ),
    "upgrade": Scenario(_both_there, lambda p, w: Command("install", str(p), [demo(w, "2.0")])),
    "upgrade, compiled": Scenario(
        _compiled_there, lambda p, w: Command("install", str(p), [demo(w, "2.0")], compile=True)
    ),
    "upgrade, durable": Scenario(_both_there, lambda p, w: Command("install", str(p), [demo(w, "2.0")], durable=True)),
    "upgrade without exchange": Scenario(
        _both_there, lambda p, w: Command("install", str(p), [demo(w, "2.0")], file_system=WITHOUT_EXCHANGE)
    ),
    "upgrade on an overlay": Scenario(
        _both_there, lambda p, w: Command("install", str(p), [demo(w, "2.0")], file_system=ON_AN_OVERLAY)
    ),
    "reinstall with other content": Scenario(
        _both_there, lambda p, w: Command("install", str(p), [demo(w, "1.0", "rebuilt")])
    ),
    "reinstall": Scenario(_both_there, lambda p, w: Command("install", str(p), [demo(w, "1.0")], reinstall=True)),
    "upgrade of several": Scenario(
        _both_there,
        lambda p, w: Command(
            "install",
            str(p),
            [demo(w, "2.0"), neighbour(w, "2.0"), str(make_wheel(w, "third", "1.0", {"third/__init__.py": ""}))],
        ),
    ),
    "overwrite": Scenario(_edited_there, lambda p, w: Command("install", str(p), [demo(w, "2.0")], overwrite=True)),
    "uninstall": Scenario(_both_there, lambda p, w: Command("uninstall", str(p), ["demo"])),
    "uninstall, compiled": Scenario(_compiled_there, lambda p, w: Command("uninstall", str(p), ["demo"])),
    "uninstall of both": Scenario(_both_there, lambda p, w: Command("uninstall", str(p), ["demo", "neighbour"])),
    "uninstall on an overlay": Scenario(
        _both_there, lambda p, w: Command("uninstall", str(p), ["demo"], file_system=ON_AN_OVERLAY)
    ),
    "uninstall of edited files": Scenario(_edited_there, lambda p, w: Command("uninstall", str(p), ["demo"])),
    "undo an upgrade": Scenario(_upgraded, lambda p, w: Command("undo", str(p))),
    "undo an upgrade without exchange": Scenario(
        _upgraded, lambda p, w: Command("undo", str(p), file_system=WITHOUT_EXCHANGE)
    ),
    "undo a removal and an upgrade": Scenario(_upgraded_and_removed, lambda p, w: Command("undo", str(p), to=3)),
    "upgrade that lets go what was kept": Scenario(
        _upgraded, lambda p, w: Command("install", str(p), [demo(w, "1.0", "rebuilt")], overwrite=True, history=1)
    ),
    "repair": Scenario(_damaged, lambda p, w: Command("repair", str(p), [demo(w, "2.0")])),
    "undo everything, durable": Scenario(
        _upgraded_and_removed, lambda p, w: Command("undo", str(p), to=0, durable=True)
    ),
}


class Stand(NamedTuple):
    """A scenario that is set up: the prefix in its old state, and what the old and the new state are.

    `operations` are those of the command when nothing disturbs it; `copy` is a copy of the old prefix.
    """

    puppet: Puppet
    command: Command
    prefix: Path
    copy: Path
    old: Tree
    new: Tree
    old_aside: dict[str, bytes]
    new_aside: dict[str, bytes]
    operations: list[str]

    def state(self, *, more_aside: bool = False) -> str:
        """ "old" or "new"; fails if the prefix is neither, or if there is something left over.

        With `more_aside`, more files than necessary may have been set aside.
        """
        tree = snapshot(self.prefix)
        assert leftovers(self.prefix) == []
        if tree == self.old:
            assert set_aside(self.prefix) == self.old_aside
            return "old"
        if tree != self.new:  # not `assert`: pytest would take minutes to print the difference
            found = [
                f"{word} state and now: {each}" for word in ("old", "new") for each in self._difference(word, tree)
            ]
            raise AssertionError("neither old nor new:\n" + "\n".join(found))
        aside = set_aside(self.prefix)
        assert self.new_aside.items() <= aside.items() if more_aside else aside == self.new_aside
        return "new"

    def _difference(self, word: str, tree: Tree) -> list[str]:
        return difference(self.old if word == "old" else self.new, tree)

    def restore(self) -> None:
        """Back to the old state, as it was when it was set up."""
        shutil.rmtree(self.prefix)
        shutil.copytree(self.copy, self.prefix, symlinks=True)

    def forget(self) -> None:
        """Make the tool's own directory what it was, so that the operations are the same every time."""
        top = STATE if (self.copy / STATE).is_dir() else STATE.partition("/")[0]
        shutil.rmtree(self.prefix / top, ignore_errors=True)
        if (self.copy / STATE).is_dir():
            shutil.copytree(self.copy / STATE, self.prefix / STATE, symlinks=True)

    def recover(self) -> Outcome:
        return self.puppet.run(Command("recover", str(self.prefix)))


def set_up(puppet: Puppet, name: str, directory: Path) -> Stand:
    scenario = (SCENARIOS | SMALL_SCENARIOS)[name]
    prefix, copy, wheels = make_prefix(directory), directory / "copy", directory / "wheels"
    scenario.prepare(puppet, prefix, wheels)
    shutil.rmtree(prefix / STATE / "cache", ignore_errors=True)
    shutil.copytree(prefix, copy, symlinks=True)
    # it is a copy every time: in what was never copied, an undo needs no RECORD to know what a change has brought
    shutil.rmtree(prefix)
    shutil.copytree(copy, prefix, symlinks=True)
    old, old_aside = snapshot(prefix), set_aside(prefix)
    command = scenario.command(prefix, wheels)
    done = puppet.run(command)
    assert done.status == 0, done
    new, new_aside = snapshot(prefix), set_aside(prefix)
    if new == old:
        raise AssertionError("the command changed nothing")
    assert leftovers(prefix) == []
    stand = Stand(puppet, command, prefix, copy, old, new, old_aside, new_aside, done.operations)
    stand.restore()
    assert snapshot(prefix) == old
    return stand
