"""A build in a sandbox sees what it is given, and one that reads anything else fails there and says what it was."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sage_wheels.building import BuildOptions, BuiltWheel, build_wheel, parse_source
from sage_wheels.building.backend.sandbox import sandbox
from sage_wheels.building.project import explain
from sage_wheels.errors import BuildFailed, SageWheelsError, UsageError
from support import wheels
from support.projects import WRITING, make_tree
from support.run import tool, tool_environment
from support.sandboxes import no_sandbox
from support.users import NOBODY

MakeProject = Callable[..., Path]


needs_sandbox = pytest.mark.skipif(bool(no_sandbox()), reason=no_sandbox() or "there is a sandbox")


def build(tree: Path, options: BuildOptions, **more: Any) -> BuiltWheel:
    options = options._replace(**{"sandbox": True, "cache_system": "tests", **more})
    return build_wheel(parse_source(str(tree)), wheel_dir=options.cache_root() + "/dist", options=options)


def told(built: BuiltWheel) -> Any:
    """What `TELLS` has written into the wheel."""
    with zipfile.ZipFile(built.path) as archive:
        return eval(archive.read("told.py").decode())


TELLS = "content['told.py'] = repr({})\n"


@needs_sandbox
def test_what_a_backend_sees(make_project: MakeProject, options: BuildOptions, tmp_path: Path) -> None:
    hook = f"""
import os, sys
if hook.startswith("build"):
    home = os.environ["HOME"]
    told = [os.getcwd(), sys.prefix, home, os.listdir(home), os.listdir("/tmp"), os.uname().nodename]
    {TELLS.format("[*told, os.getpid() < 100, os.path.exists(sys.argv[0])]")}"""
    seen = told(build(make_project(hook=hook), options))
    where = "/sage-wheels/build"
    assert seen[0].startswith(f"{where}/src/")
    assert seen[1:] == [f"{where}/env", "/sage-wheels/home", [], [], "sage-wheels", True, True]


@needs_sandbox
@pytest.mark.parametrize("where", ["/usr", "/", "/etc", "the interpreter", "what is shown"])
def test_nothing_can_be_written_but_the_build(
    make_project: MakeProject, options: BuildOptions, tmp_path: Path, where: str
) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    (shown / "data").write_text("there")
    target = {"the interpreter": os.path.dirname(os.path.realpath(sys.executable)), "what is shown": str(shown)}
    path = f"{target.get(where, where)}/of-a-test"
    hook = (
        f"try:\n    open({path!r}, 'w').close()\nexcept OSError as error:\n    number = error.errno\n"
        + TELLS.format(f"[number, open({str(shown / 'data')!r}).read()]")
    )
    assert told(build(make_project(hook=hook), options, sandbox_read=(str(shown),))) == [30, "there"]  # EROFS


@needs_sandbox
def test_what_lies_in_the_home_is_not_seen_and_is_named(
    make_project: MakeProject, options: BuildOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    settings = tmp_path / "home" / ".settings"
    settings.write_text("hidden")
    tree = make_project(hook="import os\nopen(os.path.expanduser('~/.settings'))\n")
    with pytest.raises(BuildFailed) as raised:
        build(tree, options)
    assert f"failed in get_requires_for_build_wheel in a sandbox that does not show {settings} (" in raised.value.what
    assert raised.value.advice == "give --sandbox-read DIR for what it needs, or leave --sandbox out"
    assert not build(tree, options, sandbox=False).is_stored


@needs_sandbox
@pytest.mark.parametrize("way", ["beside", "by its path", "in its sandbox"])
def test_a_file_beside_the_source_is_not_seen_and_is_named(
    make_project: MakeProject, options: BuildOptions, tmp_path: Path, way: str
) -> None:
    version = tmp_path / "VERSION"
    version.write_text("1")
    path = "../VERSION" if way == "beside" else str(version)
    tree = make_project(hook=f"open({path!r})\n")
    if way == "in its sandbox":
        build(tree, options, sandbox_read=(str(tmp_path),))
        return
    with pytest.raises(BuildFailed, match=f" in a sandbox that does not show {version} "):
        build(tree, options)


@needs_sandbox
def test_there_is_no_network(make_project: MakeProject, options: BuildOptions) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        tree = make_project(hook=f"import socket\nsocket.create_connection(('127.0.0.1', {port}), 5)\n")
        with pytest.raises(BuildFailed, match="in a sandbox that has no network") as raised:
            build(tree, options)
        assert raised.value.advice == "put what it fetches beside its files, or leave --sandbox out"
        build(tree, options, sandbox=False)


@needs_sandbox
def test_variables_that_are_no_input_do_not_reach_it(
    make_project: MakeProject, options: BuildOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}:/usr/bin")
    for name in ("XDG_CACHE_HOME", "TERM", "https_proxy", "CCACHE_BASEDIR", "SAGE_WHEELS_X"):
        monkeypatch.setenv(name, "x")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("CFLAGS", "-O1")
    seen = told(build(make_project(hook="import os\n" + TELLS.format("dict(os.environ)")), options))
    assert not {"TERM", "https_proxy", "CCACHE_BASEDIR", "SAGE_WHEELS_X"} & seen.keys()
    assert (seen["CFLAGS"], seen["TMPDIR"]) == ("-O1", "/tmp")
    assert seen["PATH"].startswith("/sage-wheels/build/env/bin:")
    assert seen["PATH"].endswith(":/usr/bin")
    assert str(tmp_path) not in str(seen)


@needs_sandbox
def test_scripts_of_the_environment_run(make_project: MakeProject, options: BuildOptions, tmp_path: Path) -> None:
    house = tmp_path / "wheelhouse"
    wheels.make_wheel(house, "tiny", "1.0", {"tiny.py": WRITING})
    files = {
        "tool.py": "def main(): print('from', __file__)\n",
        "tool-1.0.dist-info/entry_points.txt": "[console_scripts]\ntool = tool:main\n",
    }
    wheels.make_wheel(house, "tool", "1.0", files)
    hook = "import subprocess\n" + TELLS.format("subprocess.check_output('tool', text=True)")
    built = build(make_project(requires=["tiny", "tool"], hook=hook), options, find_links=(str(house),))
    assert told(built).startswith("from /sage-wheels/build/env/lib/")


@needs_sandbox
@pytest.mark.skipif(not shutil.which("git"), reason="needs git")
@pytest.mark.parametrize("part", ["", "below"])
def test_git_works_there(make_project: MakeProject, options: BuildOptions, tmp_path: Path, part: str) -> None:
    top = tmp_path / "repository"
    if part:
        top.mkdir()
    hook = f"""
import subprocess
def git(*words): return subprocess.check_output(["git", *words], text=True)
{TELLS.format("[git('describe', '--tags'), git('status', '-s'), git('ls-files')]")}"""
    tree = top / part if part else top
    make_project(hook=hook, at=tree)
    (tree / ".gitignore").write_text("__pycache__\n")
    who = ["-c", "user.name=x", "-c", "user.email=x@y"]
    for command in (["init", "-q"], ["add", "-A"], [*who, "commit", "-qm", "x"], ["tag", "v1.5"]):
        subprocess.run(["git", "-C", top, *command], check=True, capture_output=True)
    described, status, files = told(build(tree, options))
    assert (described, status) == ("v1.5\n", "")
    assert "hook.py" in files


@needs_sandbox
def test_the_place_of_the_build_is_no_part_of_the_key(
    make_project: MakeProject, options: BuildOptions, tmp_path: Path
) -> None:
    """A wheel that speaks of where it was built is good everywhere."""
    tree = make_project(hook="import os\n" + TELLS.format("os.getcwd()"))
    first = build(tree, options, usual_build_dir=str(tmp_path / "one"))
    second = build(tree, options, usual_build_dir=str(tmp_path / "two"))
    assert (first.is_stored, second.is_stored) == (False, True)
    assert told(first) == told(second)
    assert "/sage-wheels/build" in told(first)


@needs_sandbox
def test_who_asks_for_it_takes_only_what_was_built_in_a_sandbox(
    make_project: MakeProject, options: BuildOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # settings there are inputs where they are seen,
    monkeypatch.setenv("PATH", "/usr/bin:/bin")  # and so are compilers
    tree = make_project()

    def is_stored(**more: Any) -> bool:
        return build(tree, options, **more).is_stored

    assert not is_stored(sandbox=False)
    assert is_stored(sandbox=False)
    found = explain(parse_source(str(tree)), options._replace(sandbox=True, cache_system="tests"))
    assert (found.is_stored, found.differences) == (False, ["the wheel in the store was not built in a sandbox"])
    assert not is_stored(sandbox=False, store_sandboxed=True)
    assert not is_stored()  # --sandbox asks for it, too
    assert is_stored()
    assert is_stored(sandbox=False, store_sandboxed=True)
    assert is_stored(sandbox=False)


@needs_sandbox
def test_both_reports_say_whether_it_was_built_in_one(tmp_path: Path) -> None:
    make_tree(tmp_path / "tree", "tree", "1.0")
    (tmp_path / "home").mkdir()
    env = tool_environment(HOME=str(tmp_path / "home"), PATH="/usr/bin:/bin")

    def report(*options: str) -> tuple[bool, bool]:
        usual = ("--cache-dir", "cache", "-w", "dist", "--cache-system", "tests")
        done = tool("build", *usual, *options, "--json", "./tree", cwd=tmp_path, env=env)
        [told] = json.loads(done.stdout)
        return told["is_stored"] if "is_stored" in told else told["status"] == "stored", told["is_sandboxed"]

    several = ("--report", "report.json")
    assert report("--sandbox") == (False, True)
    assert report() == (True, True), "where it comes from counts"
    assert report(*several) == (True, True)
    assert report("--rebuild", *several) == (False, False)
    assert report() == (True, False)
    assert report("--sandbox", *several) == (False, True)


@needs_sandbox
def test_a_compiler_cache_is_there_only_if_it_is_named(
    make_project: MakeProject, options: BuildOptions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "ccache"
    monkeypatch.setenv("CCACHE_DIR", str(cache))
    tree = make_project(hook="import os\nopen(os.environ['CCACHE_DIR'] + '/object', 'w').close()\n")
    assert not build(tree, options).is_stored
    assert (cache / "object").exists()
    assert build(tree, options).is_stored
    assert not build(tree, options, sandbox=False, store_sandboxed=True).is_stored


@needs_sandbox
def test_what_it_may_read_is_an_input(make_project: MakeProject, options: BuildOptions, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    shown.mkdir()
    tree = make_project()

    def is_stored() -> bool:
        more: dict[str, Any] = {"cache_system": None, "sandbox_read": (str(shown),), "sandbox": True}
        return build_wheel(
            parse_source(str(tree)), wheel_dir=tmp_path / "dist", options=options._replace(**more)
        ).is_stored

    assert [is_stored(), is_stored()] == [False, True]
    (shown / "data").write_text("x")
    assert [is_stored(), is_stored()] == [False, True]


@needs_sandbox
def test_a_build_in_it_is_compared_with_another_one(make_project: MakeProject, options: BuildOptions) -> None:
    [note] = build(make_project(), options, verify_store=True).notes
    assert note == "hello is reproducible: another build in the sandbox gives the same files"


@needs_sandbox
def test_an_sdist_and_what_is_built_from_one(make_project: MakeProject, options: BuildOptions, tmp_path: Path) -> None:
    tree = make_project()
    build(tree, options, sdist_then_wheel=True)


@needs_sandbox
@pytest.mark.skipif(os.geteuid() != 0, reason="this user is none")
def test_an_unprivileged_user_has_it() -> None:
    where = tempfile.mkdtemp()  # `tmp_path` is for root alone
    os.chown(where, NOBODY, NOBODY)
    command = sandbox(where, [], [], {}).command(where, os.environ)
    done = subprocess.run(
        [*command, "/bin/sh", "-c", "id -u; pwd; ls /tmp; touch made"],
        capture_output=True,
        text=True,
        check=False,
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
    )
    assert (done.stdout, done.stderr) == (f"{NOBODY}\n/sage-wheels/build\n", "")
    assert os.listdir(where) == ["made"]
    shutil.rmtree(where)


def test_without_bubblewrap_one_sentence_says_so(
    make_project: MakeProject, options: BuildOptions, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(UsageError, match="--sandbox needs bubblewrap, which is not installed"):
        build(make_project(), options)


def test_where_bubblewrap_does_not_work_one_sentence_says_so(
    make_project: MakeProject, options: BuildOptions, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The kernel, or who runs the container, may not allow it."""
    program = tmp_path / "bin" / "bwrap"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 'bwrap: No permissions to create a new namespace' >&2\nexit 1\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    with pytest.raises(SageWheelsError, match=r"cannot be made here \(bubblewrap says: No permissions to create"):
        build(make_project(), options)


@pytest.mark.parametrize("directory", ["/", "{tmp_path}/missing"])
def test_what_is_shown_is_a_directory(
    make_project: MakeProject, options: BuildOptions, directory: str, tmp_path: Path
) -> None:
    if not shutil.which("bwrap"):
        pytest.skip("needs bubblewrap")
    directory = directory.format(tmp_path=tmp_path)
    with pytest.raises(UsageError, match=f"--sandbox-read {directory} shows "):
        build(make_project(), options, sandbox_read=(directory,))


@pytest.mark.parametrize("how", ["editable", "in_place"])
def test_a_build_in_the_tree_itself_cannot_be_in_a_sandbox(
    make_project: MakeProject, options: BuildOptions, how: str
) -> None:
    with pytest.raises(UsageError, match="cannot be in a sandbox"):
        build(make_project(), options, **{how: True})


@needs_sandbox
@pytest.mark.skipif(not shutil.which("make"), reason="needs make")
def test_many_builds_share_their_slots_there(tmp_path: Path) -> None:
    """A make that is older than fifos has a program before it in PATH, which the sandbox shows."""
    hook = "import subprocess, os\nopen('Makefile', 'w').write('all: ; @echo flags $(MAKEFLAGS)')\n"
    hook += "assert subprocess.check_output('make', text=True).startswith('flags '), 1\n"
    for name in ("one", "two"):
        make_tree(tmp_path / name, name, "1.0", hook=hook)
    options = ("--sandbox", "-j2", "--cache-dir", "cache", "-w", "dist")
    done = tool("build", *options, "./one", "./two", cwd=tmp_path, check=False)
    assert done.returncode == 0, done.stderr
    assert sorted(os.listdir(tmp_path / "dist")) == ["one-1.0-py3-none-any.whl", "two-1.0-py3-none-any.whl"]
