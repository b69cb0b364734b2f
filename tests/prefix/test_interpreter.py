"""`sage_wheels.prefix.interpreter`: what is known without asking, what is asked once, and what breaks. Promise 6."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import packaging
import pytest

import sage_wheels
from sage_wheels.errors import InterpreterError
from sage_wheels.prefix import Prefix, find_prefix, interpreter
from support.pythons import Python, base_python, make_installation, other_pythons
from support.trees import make_prefix

VERSION = sys.version_info[:2]


def counting_python(path: Path, count: Path, python: str = sys.executable) -> None:
    """An interpreter that leaves a line in the file `count` whenever it is started."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f'#!/bin/sh\necho run >> "{count}"\nexec "{python}" "$@"\n')
    path.chmod(0o755)


def foreign_prefix(tmp_path: Path) -> Prefix:
    """A virtual environment whose interpreter is not ours by name: one that counts how often it is asked."""
    home = tmp_path / "home"
    counting_python(home / "python3", tmp_path / "count")
    root = make_prefix(tmp_path)
    version = ".".join(map(str, VERSION))
    (root / "pyvenv.cfg").write_text(f"home = {home}\nversion = {version}.99\n")
    prefix = find_prefix(root)
    os.makedirs(prefix.state)
    return prefix


def runs(tmp_path: Path) -> int:
    count = tmp_path / "count"
    return len(count.read_text().splitlines()) if count.exists() else 0


def test_our_own_interpreter_is_not_run(tmp_path: Path) -> None:
    prefix = find_prefix(make_prefix(tmp_path))
    started: list[object] = []
    listening = True
    sys.addaudithook(lambda event, args: started.append(args) if listening and event == "subprocess.Popen" else None)
    facts = interpreter.ask(prefix)
    listening = False
    assert started == []
    assert facts.full_version == sys.version.split()[0].rstrip("+")
    assert f"py{VERSION[0]}-none-any" in facts.tags
    assert facts.cache_tag == sys.implementation.cache_tag
    assert not os.path.exists(prefix.state)


def test_another_interpreter_is_asked_once_and_remembered(tmp_path: Path) -> None:
    prefix = foreign_prefix(tmp_path)
    facts = interpreter.ask(prefix)
    assert facts.full_version == sys.version.split()[0].rstrip("+")
    assert interpreter.ask(prefix) == facts
    assert interpreter.ask(find_prefix(prefix.root)) == facts
    assert runs(tmp_path) == 1


def test_a_changed_interpreter_is_noticed(tmp_path: Path) -> None:
    prefix = foreign_prefix(tmp_path)
    interpreter.ask(prefix)
    counting_python(tmp_path / "home" / "new", tmp_path / "count")
    os.replace(tmp_path / "home" / "new", tmp_path / "home" / "python3")
    interpreter.ask(prefix)
    assert runs(tmp_path) == 2


def test_an_interpreter_that_is_gone_meanwhile_is_remembered(tmp_path: Path) -> None:
    prefix = foreign_prefix(tmp_path)
    facts = interpreter.ask(prefix)
    os.unlink(tmp_path / "home" / "python3")
    for name in ("python", "python3", f"python{VERSION[0]}.{VERSION[1]}"):
        os.unlink(prefix.path(f"bin/{name}"))
    assert interpreter.ask(prefix) == facts


@pytest.mark.parametrize(
    "garbage", ["", "{", "[]", '{"key": 1}', '{"key": null, "facts": {}}', "\0\0", "[" * 100_000], ids=lambda g: g[:20]
)
def test_a_memory_that_is_garbage_is_as_none(tmp_path: Path, garbage: str) -> None:
    prefix = foreign_prefix(tmp_path)
    facts = interpreter.ask(prefix)
    memo = Path(prefix.state, "cache", "interpreter.json")
    whole = memo.read_bytes()
    memo.write_text(garbage)
    assert interpreter.ask(prefix) == facts
    assert memo.read_bytes() == whole, "it was made again"


def test_asking_leaves_nothing_in_a_prefix_that_is_not_ours(tmp_path: Path) -> None:
    prefix = foreign_prefix(tmp_path)
    os.rmdir(prefix.state)
    facts = interpreter.ask(prefix)
    assert not os.path.exists(prefix.state)
    assert interpreter.ask(find_prefix(prefix.root)) == facts
    assert runs(tmp_path) == 1, "it is run once in a process, also where nothing may be cached"


def test_another_system_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The C library and the kernel may be others, as in a container that has the same prefix."""
    prefix = foreign_prefix(tmp_path)
    interpreter.ask(prefix)
    memo = Path(prefix.state, "cache", "interpreter.json")
    before = memo.read_bytes()
    uname = os.uname()
    other = os.uname_result((uname.sysname, uname.nodename, "2.4.0", uname.version, uname.machine))
    monkeypatch.setattr(os, "uname", lambda: other)
    interpreter.ask(prefix)
    assert memo.read_bytes() != before
    assert b"2.4.0" in memo.read_bytes()


def test_facts_of_our_own_interpreter_are_remembered(tmp_path: Path) -> None:
    """Outside a virtual environment: computing them imports packaging, which takes as long as installing a wheel."""
    root = make_prefix(tmp_path)
    os.makedirs(find_prefix(root).state)
    program = "import sys; sys.path[:0] = sys.argv[1:3]; from sage_wheels.prefix import find_prefix, interpreter; "
    program += "print(sorted(interpreter.ask(find_prefix(sys.argv[3])).markers), 'packaging' in sys.modules)"
    above = [str(Path(str(module.__file__)).parents[1]) for module in (sage_wheels, packaging)]
    command = [base_python(), "-I", "-S", "-c", program, *above, str(root)]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    assert first == second.replace("False", "True")
    assert second.endswith("False\n")


@pytest.mark.parametrize(
    "program",
    ["#!/bin/sh\nexit 3\n", "#!/bin/sh\necho no JSON\n", "#!/bin/sh\necho {}\n", "#!/no/such/interpreter\n", "garbage"],
    ids=["fails", "talks", "knows-nothing", "bad-shebang", "no-program"],
)
def test_an_interpreter_that_cannot_run_is_named_in_one_sentence(tmp_path: Path, program: str) -> None:
    prefix = foreign_prefix(tmp_path)
    python = tmp_path / "home" / "python3"
    python.write_text(program)
    with pytest.raises(InterpreterError) as caught:
        interpreter.ask(prefix)
    assert str(python) in str(caught.value)
    assert str(caught.value).endswith("; repair that Python, or name another prefix")
    assert "\n" not in str(caught.value)


def test_the_interpreter_that_is_asked_imports_nothing_of_the_prefix(tmp_path: Path) -> None:
    prefix = foreign_prefix(tmp_path)
    trap = prefix.path(f"{prefix.scheme.purelib}/sitecustomize.py")
    Path(trap).write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    interpreter.ask(prefix)
    assert not (tmp_path / "sprung").exists()


_OLD = [each for each in other_pythons() if each.version < (3, 10)]


@pytest.mark.skipif(not _OLD, reason="no Python here that is too old for packaging")
@pytest.mark.parametrize("python", _OLD, ids=lambda each: "{}.{}".format(*each.version))
def test_a_python_that_is_too_old_for_packaging_has_the_tags_that_its_own_pip_finds(
    tmp_path: Path, python: Python
) -> None:
    subprocess.run([python.executable, "-I", "-m", "venv", "--without-pip", str(tmp_path / "p")], check=True)
    program = (
        "import ensurepip, glob, os, sys; sys.path[:0] = glob.glob(f'{os.path.dirname(ensurepip.__file__)}/*/pip*')\n"
    )
    program += "from pip._vendor.packaging import markers, tags; import json\n"
    program += "print(json.dumps([list(map(str, tags.sys_tags())), markers.default_environment()]))"
    answer = subprocess.run([tmp_path / "p/bin/python", "-I", "-c", program], capture_output=True)
    if answer.returncode:
        pytest.skip("it has no ensurepip")
    tags, markers = json.loads(answer.stdout)
    facts = interpreter.ask(find_prefix(tmp_path / "p"))
    newer = f"cp3{python.version[1]}-none-any"  # which packaging knows since version 24
    assert set(facts.tags) - {newer} == set(tags)
    assert facts.tags[0].startswith(f"cp3{python.version[1]}-cp3{python.version[1]}-")
    assert facts.markers == markers


def test_a_version_with_a_plus_is_that_of_its_release(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    program = "import platform, sys\nplatform.python_version = lambda: '.'.join(map(str, sys.version_info[:3])) + '+'\n"
    program += "del sys.argv[:4]\nexec(sys.argv.pop(1))"  # -c -I -S -B -c SOURCE PACKAGING HOME
    (home / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -c "{program}" "$@"\n')
    (home / "python3").chmod(0o755)
    root = make_prefix(tmp_path)
    (root / "pyvenv.cfg").write_text(f"home = {home}\nversion = {'.'.join(map(str, VERSION))}\n")
    facts = interpreter.ask(find_prefix(root))
    release = ".".join(map(str, sys.version_info[:3]))
    assert (facts.full_version, facts.markers["python_full_version"]) == (release, release)


@pytest.mark.skipif(not other_pythons(), reason="no Python of another version here")
@pytest.mark.parametrize("python", other_pythons(), ids=lambda each: "{}.{}".format(*each.version))
def test_other_pythons_tell_what_they_are(tmp_path: Path, python: Python) -> None:
    subprocess.run([python.executable, "-I", "-m", "venv", "--without-pip", str(tmp_path / "p")], check=True)
    major, minor = python.version
    prefix = find_prefix(tmp_path / "p")
    facts = interpreter.ask(prefix)
    assert facts.full_version.startswith(f"{major}.{minor}.")
    assert facts.cache_tag == f"cpython-{major}{minor}"
    assert facts.tags[0].startswith(f"cp{major}{minor}-cp{major}{minor}")
    assert facts.markers["python_version"] == f"{major}.{minor}"
    assert not interpreter.is_ours(prefix)
    assert not interpreter.makes_our_bytecode(prefix)


def test_our_bytecode_is_that_of_a_venv_of_ours(tmp_path: Path) -> None:
    prefix = find_prefix(make_prefix(tmp_path))
    assert interpreter.is_ours(prefix)
    assert interpreter.makes_our_bytecode(prefix)
    assert interpreter.makes_our_bytecode(foreign_prefix(tmp_path / "other"))  # another release of the same version


@pytest.mark.parametrize("version", ["3.11.0rc1", "3.11.0a7", "3.11.0+", "3.11.0.candidate.1"])
def test_bytecode_before_a_release_is_not_taken_for_ours(tmp_path: Path, version: str) -> None:
    prefix = foreign_prefix(tmp_path)
    full = version.replace("3.11", ".".join(map(str, VERSION)))
    assert not interpreter.makes_our_bytecode(prefix._replace(full_version=full))


@pytest.mark.parametrize(("version", "is_ours"), [("0rc1", False), ("0", True), ("99", True)])
def test_what_pyvenv_cfg_does_not_say_is_asked(tmp_path: Path, version: str, is_ours: bool) -> None:
    prefix = foreign_prefix(tmp_path)
    answer = interpreter.ask(prefix)._asdict()
    told, feature = tmp_path / "told.json", ".".join(map(str, VERSION))
    told.write_text(json.dumps({**answer, "full_version": f"{feature}.{version}"}))
    (tmp_path / "home/python3").write_text(f"#!/bin/sh\ncat '{told}'\n")
    assert interpreter.full_version(prefix._replace(full_version=feature)) == f"{feature}.{version}"
    assert interpreter.makes_our_bytecode(prefix._replace(full_version=feature)) == is_ours


def test_a_version_that_nobody_tells_counts_as_a_release(tmp_path: Path) -> None:
    prefix = foreign_prefix(tmp_path)._replace(full_version=".".join(map(str, VERSION)))
    (tmp_path / "home/python3").write_text("garbage")
    assert interpreter.makes_our_bytecode(prefix)


def test_a_copied_interpreter_is_another_one(tmp_path: Path) -> None:
    executable = make_installation(tmp_path / "p")
    prefix = find_prefix(tmp_path / "p")
    assert interpreter.base_executable(prefix) == executable
    assert not interpreter.is_ours(prefix)
    os.makedirs(prefix.state)
    before = time.time_ns()
    assert interpreter.ask(prefix).executable == executable
    remembered = Path(prefix.state, "cache", "interpreter.json")
    assert remembered.stat().st_mtime_ns > before - 10**9


def test_the_base_is_the_interpreter_that_the_environment_links_to(tmp_path: Path) -> None:
    """Beside python3.14 there may be python3.14t, with other tags; a copy in the environment tells nothing of it."""
    major, minor = sys.version_info[:2]
    home = tmp_path / "base" / "bin"
    home.mkdir(parents=True)
    usual, other = f"python{major}.{minor}", f"python{major}.{minor}t"
    for name in (usual, other):
        (home / name).write_text("")
    prefix = make_prefix(tmp_path)
    cfg = prefix / "pyvenv.cfg"
    cfg.write_text(re.sub(r"(?m)^home = .*$", f"home = {home}", cfg.read_text()))
    for name in ("python", f"python{major}", usual):
        (prefix / "bin" / name).unlink(missing_ok=True)
    python = prefix / "bin" / "python"
    python.symlink_to(home / other)
    assert interpreter.base_executable(find_prefix(prefix)) == str(home / other)
    python.unlink()
    python.write_text("")
    assert interpreter.base_executable(find_prefix(prefix)) == str(home / usual)
