"""Promise 10: whatever changes a prefix is in its history, no secret of it is, and it can be undone.

The tool's own upgrade, and that of the pip in use, too.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

import sage_wheels
from support.index import Index
from support.run import names, tool, tool_environment
from support.trees import STATE, difference, make_prefix, site_packages, snapshot
from support.wheels import make_wheel

SECRET = "hunter2"


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    return make_prefix(tmp_path)


def run(prefix: Path, *arguments: str | Path, **variables: str) -> str:
    done = tool(*arguments, env=tool_environment(SAGE_WHEELS_PREFIX=str(prefix), **variables))
    assert done.returncode == 0, done.stderr
    return done.stderr


def last(prefix: Path) -> dict[str, object]:
    done = tool("history", "--prefix", prefix, "--json")
    entry: dict[str, object] = json.loads(done.stdout)[-1]
    return entry


def test_pip_is_in_it(prefix: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1", {"demo.py": ""})
    before = snapshot(prefix)
    run(prefix, "pip", "install", "--no-index", wheel)
    assert (last(prefix)["kind"], last(prefix)["changes"][0]["name"]) == ("install", "demo")  # type: ignore[index]
    assert last(prefix)["command"][:3] == ["sage-wheels", "pip", "install"]  # type: ignore[index]
    run(prefix, "pip", "uninstall", "--yes", "demo")
    assert last(prefix)["kind"] == "uninstall"
    run(prefix, "undo", "--to", "0")
    assert difference(before, snapshot(prefix)) == []


def test_going_back_to_where_one_is_changes_nothing_and_says_so(prefix: Path, tmp_path: Path) -> None:
    run(prefix, "install", make_wheel(tmp_path, "demo", "1", {"demo.py": ""}))
    run(prefix, "uninstall", "demo")
    assert run(prefix, "undo") == f"sage-wheels: demo 1 installed into {prefix}\n"
    before = snapshot(prefix)
    assert run(prefix, "undo", "--to", "1") == f"sage-wheels: nothing to undo: {prefix} is as it was then\n"
    assert difference(before, snapshot(prefix)) == []
    assert last(prefix)["number"] == 3


def test_move_tree_is_in_it(prefix: Path, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "share/x").mkdir(parents=True)
    (tree / "share/x/a.txt").write_text("a")
    before = snapshot(prefix)
    program = "import sys; from sage_wheels.sage.programs import move_tree; sys.exit(move_tree())"
    subprocess.run([sys.executable, "-c", program, str(tree), str(prefix)], env=tool_environment(), check=True)
    assert (prefix / "share/x/a.txt").read_text() == "a"
    assert last(prefix)["kind"] == "move-tree"
    run(prefix, "undo")
    assert difference(before, snapshot(prefix)) == []


def test_what_recovery_undid_is_in_it(prefix: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1", {"demo.py": ""})
    journal = prefix / STATE / "journal"
    kill = "import os, sys\ndef hook(event, arguments):\n    if event == 'os.rename' and 'history' in os.readlink("
    kill += "f'/proc/self/fd/{arguments[3]}') and '-' in arguments[1]: os.kill(os.getpid(), 9)\n"
    kill += "sys.addaudithook(hook)\nfrom sage_wheels.cli import main\nmain()"
    command = [sys.executable, "-c", kill, "install", "--prefix", str(prefix), str(wheel)]
    assert subprocess.run(command, env=tool_environment()).returncode == -9
    assert journal.exists()
    assert "undid an interrupted" in tool("recover", "--prefix", prefix).stderr
    assert (last(prefix)["kind"], last(prefix)["undo"]) == ("undone", False)
    assert "undid an interrupted install +demo 1" in tool("history", "--prefix", prefix).stdout


@pytest.mark.once
@pytest.mark.parametrize("option", ["-i", "--index-url", "--extra-index-url", "--index-u", "--find-links", "--proxy"])
def test_no_secret_of_an_index(prefix: Path, tmp_path: Path, option: str) -> None:
    """Of a URL that has one in user, password, path and query."""
    wheel = make_wheel(tmp_path, "demo", "1", {"demo.py": ""})
    url = f"http://{SECRET}:{SECRET}@127.0.0.1:9/{SECRET}?{SECRET}"
    for words in ([option, url], [f"{option}={url}"] if option.startswith("--") else [f"{option}{url}"]):
        run(prefix, "pip", "install", "--force-reinstall", "--no-deps", *words, wheel)
        assert SECRET not in written(prefix)
        assert str(wheel) in last(prefix)["command"]  # type: ignore[operator]


def test_no_secret_of_a_url(prefix: Path, tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "demo", "1", {"demo.py": ""})
    with Index(tmp_path, credentials=f"me:{SECRET}") as index:
        url = f"{index.files.replace('://', f'://me:{SECRET}@')}/{wheel.name}?token={SECRET}"
        run(prefix, "install", "--index", f"demo @ {url}")
    assert names(prefix) == ["demo 1"]
    assert SECRET not in written(prefix)
    change = last(prefix)["changes"][0]  # type: ignore[index]
    assert wheel.name in change["origin"]


def written(prefix: Path) -> str:
    """All that the history has written, and the lock file."""
    places = [*(prefix / STATE / "history").iterdir(), prefix / STATE / "lock"]
    return "\n".join(each.read_text() for each in places)


def test_an_entry_of_another_format_says_so(prefix: Path, tmp_path: Path) -> None:
    import zlib

    run(prefix, "install", make_wheel(tmp_path, "demo", "1", {"demo.py": ""}))
    (entry,) = (prefix / STATE / "history").iterdir()
    content = json.loads(entry.read_bytes().partition(b"\n")[2])
    body = json.dumps({**content, "format": 2, "version": "0.1"}).encode()
    entry.write_bytes(b"%08x %d\n%s" % (zlib.crc32(body), len(body), body))
    done = tool("undo", "--prefix", prefix)
    assert done.returncode == 1
    assert "number 1 cannot be undone" in done.stderr
    assert "format 2, which sage-wheels 0.1 wrote" in done.stderr
    assert "cannot be read" in tool("history", "--prefix", prefix).stdout


def test_a_moved_prefix_has_its_history(prefix: Path, tmp_path: Path) -> None:
    wheels = [make_wheel(tmp_path, "demo", v, {"demo/__init__.py": v, f"m{v}.py": ""}) for v in ("1", "2")]
    run(prefix, "install", wheels[0])
    before = snapshot(prefix)
    run(prefix, "install", wheels[1])
    moved = prefix.rename(tmp_path / "elsewhere")
    run(moved, "undo")
    assert difference(before, snapshot(moved)) == []


def test_the_size_is_told(prefix: Path, tmp_path: Path) -> None:
    for version in ("1", "2"):
        run(
            prefix, "install", make_wheel(tmp_path, "demo", version, {"demo/__init__.py": version, "x.txt": "x" * 5000})
        )
    shown = tool("history", "--size", "--prefix", prefix).stdout.splitlines()
    assert shown[-1].endswith(" of 1 transaction")
    [told] = json.loads(tool("history", "--size", "--json", "--prefix", prefix).stdout)
    assert (told["number"], told["bytes"] > 5000) == (2, True)


def contents_of(distribution: str, version: str) -> dict[str, str | bytes]:
    """The modules of an installed distribution; what says its version says that one."""
    found: dict[str, str | bytes] = {}
    for path in metadata.files(distribution) or ():
        if path.suffix == ".py" and path.parts[0] == distribution:
            found[str(path)] = Path(str(path.locate())).read_bytes()
    found[f"{distribution}/version_of_test.txt"] = version
    return found


def test_undo_of_the_upgrade_of_the_pip_in_use(prefix: Path, tmp_path: Path) -> None:
    """The pip of the prefix upgrades itself, by ours; then that is undone, and it works."""
    wheels = [make_wheel(tmp_path, "pip", version, contents_of("pip", version)) for version in ("99.1", "99.2")]
    run(prefix, "install", wheels[0])
    before = snapshot(prefix)
    run(prefix, "pip", "install", "--no-index", "--upgrade", wheels[1])
    assert names(prefix) == ["pip 99.2"]
    run(prefix, "undo")
    assert names(prefix) == ["pip 99.1"]
    assert difference(before, snapshot(prefix)) == []
    listed = [str(prefix / "bin/python"), "-I", "-B", "-m", "pip", "list", "--disable-pip-version-check"]
    assert "99.1" in subprocess.run(listed, capture_output=True, text=True, check=True).stdout


def test_undo_of_the_tools_own_upgrade(prefix: Path, tmp_path: Path) -> None:
    """It runs out of the prefix that it changes: what it brought is not there when the undo ends."""
    package = Path(sage_wheels.__file__).parent
    sources = {str(each.relative_to(package.parent)): each.read_bytes() for each in package.rglob("*.py")}
    wheels = [
        make_wheel(tmp_path, "sage_wheels", version, {**sources, f"sage_wheels/only_in_{number}.py": ""})
        for number, version in enumerate(("98", "99"))
    ]
    run(prefix, "install", wheels[0])
    # of the environment of the tests only what the tool needs, not the tool itself
    (tmp_path / "needed").mkdir()
    for name in ("packaging", "installer", "pyproject_hooks", "build", "resolvelib", "filelock"):
        found = importlib.util.find_spec(name)
        assert found
        assert found.origin
        os.symlink(Path(found.origin).parent, tmp_path / "needed" / name)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "needed"), "SAGE_WHEELS_PREFIX": str(prefix)}

    def own(*arguments: str | Path) -> str:
        command = [str(prefix / "bin/python"), "-B", "-m", "sage_wheels", *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, cwd="/")
        assert done.returncode == 0, done.stderr
        return done.stdout

    before = snapshot(prefix)
    own("install", wheels[1])
    assert names(prefix) == ["sage_wheels 99"]
    own("undo")
    assert difference(before, snapshot(prefix)) == []
    assert "sage_wheels 98" in own("list")
    own("undo")
    assert (site_packages(prefix) / "sage_wheels/only_in_1.py").exists()
    shutil.rmtree(prefix)
