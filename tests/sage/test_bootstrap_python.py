"""sage-bootstrap-python: the system Python and no other, found once."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from support.pythons import base_python

from .conftest import Scripts


def found(scripts: Scripts, **env: str) -> str:
    done = scripts.run("sage-bootstrap-python", "-c", "import sys; print(sys.executable)", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_in_these_tests_it_is_the_python_that_runs_them(scripts: Scripts) -> None:
    done = scripts.run("sage-bootstrap-python", "-c", "import sys; print(sys.executable)")
    assert os.path.realpath(done.stdout.strip()) == base_python()


def test_it_is_a_binary_in_no_prefix(scripts: Scripts) -> None:
    python = Path(found(scripts))
    assert python == python.resolve()
    assert python.read_bytes()[:2] != b"#!"
    assert not (python.parent.parent / "pyvenv.cfg").exists()


def test_arguments_status_and_standard_input_pass_through(scripts: Scripts) -> None:
    program = "import sys; print(sys.argv[1:], sys.stdin.read()); sys.exit(7)"
    done = scripts.run("sage-bootstrap-python", "-c", program, "a b", "", "*", input="in")
    assert (done.returncode, done.stdout) == (7, "['a b', '', '*'] in\n")


def test_variables_that_speak_of_other_pythons_are_gone_and_path_stays(scripts: Scripts) -> None:
    names = ["PYTHONHOME", "PYTHONPATH", "PYTHONSTARTUP", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH"]
    env = {**dict.fromkeys(names, "/nowhere"), "CFLAGS": "-O2", "PATH": f"/nowhere:{os.environ['PATH']}"}
    program = f"import os; print([n for n in {names} if n in os.environ], os.environ['CFLAGS'], os.environ['PATH'])"
    done = scripts.run("sage-bootstrap-python", "-c", program, env=env)
    assert (done.returncode, done.stdout) == (0, f"[] -O2 {env['PATH']}\n"), done.stderr


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
def test_the_second_call_starts_nothing_but_that_python(scripts: Scripts, tmp_path: Path) -> None:
    found(scripts)
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-o", str(trace), "-e", "trace=process", scripts.path("sage-bootstrap-python"), "-c", ""]
    subprocess.run(command, check=True)
    calls = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    assert len([call for call in calls if call.startswith("execve(") and call.endswith(" = 0")]) == 2
    assert not [call for call in calls if call.startswith(("fork", "vfork", "clone"))]


def test_a_python_that_went_away_is_noticed(scripts: Scripts) -> None:
    python = found(scripts)
    scripts.memory.write_text("/nowhere/python3\n")
    assert found(scripts) == python
    assert scripts.memory.read_text() == f"{python}\n"


def test_a_python_that_was_replaced_is_looked_at_again(scripts: Scripts) -> None:
    found(scripts)
    scripts.memory.write_text("/bin/sh\n")  # something newer than what is remembered
    os.utime(scripts.memory, (0, 0))
    assert Path(found(scripts)).name.startswith("python")


def test_a_memory_that_cannot_be_written_is_no_failure(scripts: Scripts) -> None:
    scripts.memory.mkdir()
    found(scripts)


def test_neither_the_prefix_nor_a_script_nor_what_is_in_sage_local(scripts: Scripts, tmp_path: Path) -> None:
    venv, shims, local = tmp_path / "venv", tmp_path / "shims", tmp_path / "local"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    shims.mkdir()
    (shims / "python3").write_text("#!/bin/sh\nexit 1\n")
    (shims / "python3").chmod(0o755)
    python = found(scripts)
    scripts.memory.unlink()
    for directory in (local, tmp_path / "another sage"):
        (directory / "bin").mkdir(parents=True)
        shutil.copy(python, directory / "bin" / "python3")
    (tmp_path / "another sage/var/lib/sage").mkdir(parents=True)
    path = f"{venv}/bin:{shims}:{local}/bin:{tmp_path}/another sage/bin:{os.environ['PATH']}"
    again = found(scripts, PATH=path, SAGE_LOCAL=str(local))
    assert not again.startswith(str(tmp_path))
    scripts.memory.write_text(f"{local}/bin/python3\n")  # remembered before that was known to be SAGE_LOCAL
    assert not found(scripts, SAGE_LOCAL=str(local)).startswith(str(tmp_path))


def test_what_a_variable_of_the_caller_has_chosen_is_not_remembered(scripts: Scripts) -> None:
    python = found(scripts)
    for remembered in (True, False):
        if not remembered:
            scripts.memory.unlink()
        scripts.run("sage-bootstrap-python", "-V", env={"SAGE_LOCAL": str(Path(python).parent.parent)})
        assert scripts.memory.exists() == remembered
        assert found(scripts) == python


def test_the_callers_libraries_neither_choose_nor_break_the_python(scripts: Scripts, tmp_path: Path) -> None:
    python = found(scripts)
    (tmp_path / "libm.so.6").write_text("junk")
    env = {"LD_LIBRARY_PATH": str(tmp_path)}
    if subprocess.run([python, "-c", ""], env={**os.environ, **env}, capture_output=True).returncode == 0:
        pytest.skip("this Python needs no libm.so.6")
    for remembered in (True, False):
        if not remembered:
            scripts.memory.unlink()
        assert found(scripts, **env) == python
        assert scripts.memory.read_text() == f"{python}\n"
    assert scripts.run("sage-wheels", "--version", env=env).returncode == 0
    done = scripts.run("sage-flock", tmp_path / "lock", "sh", "-c", "env", env=env)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"LD_LIBRARY_PATH={tmp_path}" in done.stdout.splitlines()
    assert "CALLERS_" not in done.stdout


def test_without_a_path(scripts: Scripts, tmp_path: Path) -> None:
    versions = tmp_path / "versions/3.99.0/bin"
    versions.mkdir(parents=True)
    (versions / "python3").symlink_to(found(scripts))  # the last place that is looked at
    scripts.memory.unlink()
    environ = {"PYENV_ROOT": str(tmp_path), "HOME": str(tmp_path)}
    command = [scripts.path("sage-bootstrap-python"), "-V"]
    done = subprocess.run(command, env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_memory_is_for_every_user(scripts: Scripts) -> None:
    command = ["sh", "-c", 'umask 077; exec "$1" -V', "sh", scripts.path("sage-bootstrap-python")]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    assert scripts.memory.stat().st_mode & 0o777 == 0o644


def test_a_memory_that_cannot_be_read_is_not_spoken_of(scripts: Scripts) -> None:
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as directory:
        shutil.copytree(scripts.root / "build", f"{directory}/build", symlinks=True)
        os.chmod(directory, 0o755)
        memory = Path(directory, "build/sage-wheels/python")
        memory.write_text("/nowhere\n")
        memory.chmod(0o600 if root else 0)
        command = [f"{directory}/build/bin/sage-bootstrap-python", "-V"]
        done = subprocess.run(command, capture_output=True, text=True, cwd="/", user=65534 if root else None)
    assert "ermission denied" not in done.stderr


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("sage-bootstrap-python", ["-V"]),
        ("sage-flock", ["lock", "true"]),
        ("sage-move-tree", ["--help"]),
        ("sage-pip", ["--help"]),
        ("sage-pip-install", ["--help"]),
        ("sage-pip-uninstall", ["--help"]),
        ("sage-wheels", ["--help"]),
    ],
)
def test_a_script_may_be_called_through_a_symbolic_link(
    scripts: Scripts, prefix: Path, tmp_path: Path, name: str, arguments: list[str]
) -> None:
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "another-name"
    link.symlink_to(os.path.relpath(scripts.path(name), link.parent))
    done = subprocess.run([link, *arguments], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(not shutil.which("cc"), reason="there is no C compiler")
def test_what_changes_path_is_refused(scripts: Scripts, tmp_path: Path) -> None:
    python = found(scripts)
    scripts.memory.unlink()
    (tmp_path / "bin").mkdir()
    (tmp_path / "shim.c").write_text(
        "#include <stdlib.h>\n#include <unistd.h>\nint main(int c, char **v) "
        f'{{ setenv("PATH", "/changed", 1); return execv("{python}", v); }}\n'
    )
    subprocess.run(["cc", "-o", tmp_path / "bin" / "python3", tmp_path / "shim.c"], check=True)
    found(scripts, PATH=f"{tmp_path}/bin:{os.environ['PATH']}")
    assert not scripts.memory.read_text().startswith(str(tmp_path))
    library = (scripts.root / "build/lib/system-python.sh").read_text()
    (scripts.root / "build/lib/system-python.sh").write_text(library.replace(" /usr/bin /usr/local/bin ", " ", 1))
    scripts.memory.unlink()
    tools = tmp_path / "tools"  # what the scripts themselves need
    tools.mkdir()
    for name in ("sh", "mkdir", "mv", "env", "sed"):
        (tools / name).symlink_to(str(shutil.which(name)))
    done = scripts.run("sage-bootstrap-python", "-V", env={"PATH": f"{tmp_path}/bin:{tools}", "HOME": str(tmp_path)})
    if done.returncode:  # where no other Python is in the directories that systems keep them in
        assert re.search(
            rf"no Python 3\.10 .*{re.escape(str(tmp_path))}/bin/python3 is too old or does not", done.stderr
        )
        assert done.stderr.count("\n") == 1


def test_where_there_is_only_a_virtual_environment_it_is_its_base(scripts: Scripts, tmp_path: Path) -> None:
    """passagemath#1739, #2373: a tool's own environment is all that is on PATH, and the system Python is too old."""
    library = scripts.root / "build/lib/system-python.sh"
    text = library.read_text()
    assert text.count("/usr/bin /usr/local/bin /opt/homebrew/bin\n") == 1
    library.write_text(text.replace("/usr/bin /usr/local/bin /opt/homebrew/bin\n", "/nowhere\n"))
    venv, programs = tmp_path / "tool env", tmp_path / "programs"
    subprocess.run([base_python(), "-m", "venv", "--without-pip", venv], check=True)
    programs.mkdir()
    for name in ("sh", "sed", "env", "mkdir", "mv", "readlink", "cat"):
        (programs / name).symlink_to(str(shutil.which(name)))
    python = found(scripts, PATH=f"{venv}/bin:{programs}", PYENV_ROOT="/nowhere")
    assert os.path.realpath(python) == base_python()
