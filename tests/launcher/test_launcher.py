"""`build/bin/sage-wheels` with real processes, in a copy of the checkout that only looks around."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from support.pythons import other_pythons, path_to_this_python
from support.wheels import make_wheel

DEPENDENCIES = ("build", "filelock", "installer", "packaging", "pyproject_hooks", "resolvelib")
UNREACHABLE = {"PIP_CONFIG_FILE": os.devnull, "PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0"}

LOOK_AROUND = f"""
import importlib, json, os, sys

def main():
    if sys.argv[1:] == ["fail"]:
        return 3
    where = {{name: importlib.import_module(name).__file__ for name in {DEPENDENCIES!r}}}
    print(json.dumps({{
        "where": where, "path": sys.path, "argv": sys.argv, "executable": sys.executable,
        "site": "site" in sys.modules, "cwd": os.getcwd(), "environ": dict(os.environ),
    }}))
"""


def launcher(checkout: Path) -> str:
    return str(checkout / "build" / "bin" / "sage-wheels")


def start(
    checkout: Path, *arguments: str, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [launcher(checkout), *arguments],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **environment},
        timeout=120,
    )


def look_around(checkout: Path, *arguments: str, cwd: Path | None = None, **environment: str) -> dict[str, Any]:
    done = start(checkout, *arguments, cwd=cwd, **environment)
    assert (done.returncode, done.stderr) == (0, "")
    seen: dict[str, Any] = json.loads(done.stdout)
    return seen


def tools(checkout: Path) -> list[str]:
    return sorted(path.name for path in (checkout / ".cache").glob("tool-*"))


def write_without_extras(checkout: Path, copy: Path) -> None:
    """Write pyproject.toml into `copy`. Without what the extras require, the preparation takes half the time."""
    text = (checkout / "pyproject.toml").read_text()
    text, count = re.subn(r"^(fast|store) = \[\n.*?^\]", r"\1 = [\n]", text, flags=re.MULTILINE | re.DOTALL)
    assert count == 2
    (copy / "pyproject.toml").write_text(text)


@pytest.fixture
def fresh(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in which nothing is prepared."""
    monkeypatch.setenv("PATH", path_to_this_python())
    copy = tmp_path / "check out"
    shutil.copytree(checkout / "build", copy / "build", ignore=shutil.ignore_patterns("__pycache__"))
    write_without_extras(checkout, copy)
    (copy / "sage_wheels" / "cli").mkdir(parents=True)
    (copy / "sage_wheels" / "__init__.py").touch()
    (copy / "sage_wheels" / "cli" / "__init__.py").write_text(LOOK_AROUND)
    return copy


@pytest.fixture(scope="module")
def _prepared_once(tmp_path_factory: pytest.TempPathFactory, checkout: Path, index_environment: dict[str, str]) -> Path:
    copy = tmp_path_factory.mktemp("prepared")
    shutil.copytree(checkout / "build", copy / "build")
    write_without_extras(checkout, copy)
    (copy / "sage_wheels" / "cli").mkdir(parents=True)
    (copy / "sage_wheels" / "cli" / "__init__.py").write_text("def main():\n    pass\n")
    subprocess.run([launcher(copy)], check=True, env={**index_environment, "PATH": path_to_this_python()})
    return copy


@pytest.fixture
def prepared(fresh: Path, _prepared_once: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout that has been started once and was copied since, with no index from now on."""
    for name, value in UNREACHABLE.items():
        monkeypatch.setenv(name, value)
    shutil.copytree(_prepared_once / ".cache", fresh / ".cache", symlinks=True)
    os.utime(fresh / ".cache" / "tool")
    return fresh


@pytest.mark.network
def test_first_start_speaks_one_line_on_standard_error(fresh: Path) -> None:
    done = start(fresh, "an argument")
    assert done.returncode == 0
    assert done.stderr == "sage-wheels: getting ready for its first run here\n"
    assert json.loads(done.stdout)["argv"] == ["sage-wheels", "an argument"]


@pytest.mark.network
def test_two_first_starts_at_once(fresh: Path) -> None:
    processes = [subprocess.Popen([launcher(fresh)], stdout=subprocess.PIPE, stderr=subprocess.PIPE) for _ in range(3)]
    results = [(process.communicate(timeout=120), process.returncode) for process in processes]
    assert [status for _, status in results] == [0, 0, 0]
    assert sum(err.count(b"getting ready") for (_, err), _ in results) == 1
    assert len(tools(fresh)) == 1
    assert len({json.loads(out)["path"][0] for (out, _), _ in results}) == 1


@pytest.mark.network
@pytest.mark.parametrize("seconds", [0.0, 0.3, 1.0])
def test_killed_preparation_confuses_nobody(fresh: Path, seconds: float) -> None:
    process = subprocess.Popen([launcher(fresh)], start_new_session=True, stdout=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list((fresh / ".cache").glob("tool-*.tmp")) and process.poll() is None:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    time.sleep(seconds)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    done = start(fresh)
    assert done.returncode == 0, done.stderr
    assert len(tools(fresh)) == 1
    assert not list((fresh / ".cache").glob("*.tmp"))


def test_without_an_index_the_first_start_fails_in_one_sentence(fresh: Path) -> None:
    done = start(fresh, cwd=None, **UNREACHABLE)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines()[1:] == [done.stderr.splitlines()[-1]]
    assert re.search(r"sage-wheels: cannot get build>=.* from the package index; .*tool\.log: ERROR: ", done.stderr)
    assert tools(fresh) == []


@pytest.mark.network
def test_the_callers_pip_settings_do_not_disturb_the_preparation(fresh: Path, tmp_path: Path) -> None:
    done = start(
        fresh,
        PIP_USER="1",
        PIP_TARGET=str(tmp_path / "elsewhere"),
        PIP_REQUIRE_VIRTUALENV="1",
        PIP_CONSTRAINT=str(tmp_path / "missing"),
        PIP_NO_BINARY=":all:",
        PYTHONHOME=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.network
def test_a_python_without_pip_gets_one_for_the_occasion(fresh: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "venv"], check=True)
    prepare = fresh / "build" / "lib" / "prepare.py"
    subprocess.run([tmp_path / "venv" / "bin" / "python", "-I", prepare, fresh], check=True)
    [tool] = (fresh / ".cache").glob("tool-*")
    assert {path.name for path in tool.iterdir()} >= {*DEPENDENCIES, "sage_wheels"}
    assert not (tool / "pip").exists()


@pytest.mark.network
def test_what_is_prepared_is_for_the_oldest_python_as_well(prepared: Path) -> None:
    """A bundle is made of it, and may be run by another Python than the one that has made it."""
    tool = prepared / ".cache" / tools(prepared)[0]
    assert (tool / "tomli").is_dir()  # for Python 3.10, whatever runs this
    program = "import sys; sys.path.insert(0, sys.argv[1]); import tomli, " + ", ".join(DEPENDENCIES)
    for python in other_pythons():
        if python.version >= (3, 10):
            subprocess.run([python.executable, "-I", "-S", "-c", program, tool], check=True)


@pytest.mark.network
def test_the_extras_are_prepared_too(fresh: Path, checkout: Path) -> None:
    shutil.copy(checkout / "pyproject.toml", fresh)
    assert start(fresh).returncode == 0
    tool = fresh / ".cache" / tools(fresh)[0]
    program = "import sys; sys.path.insert(0, sys.argv[1]); import cryptography.hazmat.bindings._rust, urllib3"
    subprocess.run([sys.executable, "-I", "-S", "-c", program, tool], check=True)
    assert (tool / "zlib_ng").is_dir()


def test_an_extra_is_left_out_if_pip_cannot_get_it(fresh: Path, checkout: Path, tmp_path: Path) -> None:
    """Of the extra `store`, cryptography has no wheel for some machines, and urllib3 has one for all."""
    shutil.copy(checkout / "pyproject.toml", fresh)
    for name in (*DEPENDENCIES, "tomli", "urllib3"):
        make_wheel(tmp_path, name, "99.0", files={f"{name}/__init__.py": ""})
    done = start(fresh, PIP_CONFIG_FILE=os.devnull, PIP_NO_INDEX="1", PIP_FIND_LINKS=str(tmp_path))
    assert done.returncode == 0, done.stderr
    [tool] = (fresh / ".cache").glob("tool-*")
    assert {path.name for path in tool.iterdir() if "." not in path.name} == {
        *(*DEPENDENCIES, "tomli", "urllib3", "sage_wheels")
    }


@pytest.mark.network
def test_what_is_prepared_is_for_every_user(fresh: Path) -> None:
    subprocess.run(["sh", "-c", 'umask 077; exec "$1"', "sh", launcher(fresh)], check=True, capture_output=True)
    state = fresh / ".cache" / "tool"
    assert [path.stat().st_mode & 0o777 for path in (state, fresh / ".cache" / tools(fresh)[0])] == [0o644, 0o755]


@pytest.mark.network
def test_what_runs_comes_from_the_private_directory(prepared: Path) -> None:
    seen = look_around(prepared)
    tool = prepared / ".cache" / tools(prepared)[0]
    assert seen["path"][0] == str(tool)
    assert not seen["site"]
    assert not [path for path in seen["path"] if "site-packages" in path or "dist-packages" in path]
    assert {name: Path(where).parent for name, where in seen["where"].items()} == {
        name: tool / name for name in DEPENDENCIES
    }


@pytest.mark.network
def test_the_interpreter_is_a_binary_outside_virtual_environments(prepared: Path, tmp_path: Path) -> None:
    venv = tmp_path / "venv"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True)
    shims = tmp_path / "shims"
    shims.mkdir()
    (shims / "python3").write_text("#!/bin/sh\nexit 1\n")
    (shims / "python3").chmod(0o755)
    (prepared / ".cache" / "tool").unlink()
    seen = look_around(prepared, PATH=f"{shims}:{venv}/bin:{os.environ['PATH']}")
    executable = Path(seen["executable"])
    assert executable == executable.resolve()
    assert executable.read_bytes()[:2] != b"#!"
    assert not (executable.parent.parent / "pyvenv.cfg").exists()


@pytest.mark.network
def test_nothing_of_the_callers_python_gets_in(prepared: Path, tmp_path: Path) -> None:
    for name in (*DEPENDENCIES, "sage_wheels", "json", "sitecustomize", "startup"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from outside')\n")
    seen = look_around(
        prepared,
        cwd=tmp_path,
        PYTHONPATH=str(tmp_path),
        PYTHONHOME=str(tmp_path),
        PYTHONSTARTUP=str(tmp_path / "startup.py"),
        PYTHONSAFEPATH="",
        PYTHONWARNINGS="error",
    )
    assert str(tmp_path) not in seen["path"]
    assert seen["cwd"] == str(tmp_path)
    assert seen["environ"]["PYTHONPATH"] == str(tmp_path)  # what the tool starts is the tool's business


@pytest.mark.network
def test_the_folder_build_is_not_the_package_build(prepared: Path) -> None:
    (prepared / "build" / "__init__.py").write_text("raise SystemExit('the wrong build')\n")
    look_around(prepared, cwd=prepared)


@pytest.mark.network
def test_a_checkout_can_be_moved(prepared: Path, tmp_path: Path) -> None:
    moved = prepared.rename(tmp_path / "moved")
    assert look_around(moved)["path"][0].startswith(str(moved))


@pytest.mark.network
@pytest.mark.parametrize("directory", [".", "build", "build/bin"])
def test_started_by_a_relative_name(prepared: Path, directory: str) -> None:
    cwd = prepared / directory
    name = os.path.join(".", os.path.relpath(launcher(prepared), cwd))
    for command in ([name, "x"], ["sh", name, "x"]):
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
        assert json.loads(done.stdout)["argv"] == ["sage-wheels", "x"]


@pytest.mark.network
def test_started_through_a_symbolic_link(prepared: Path, tmp_path: Path) -> None:
    link = tmp_path / "bin" / "wheels"
    link.parent.mkdir()
    link.symlink_to(launcher(prepared))
    assert subprocess.run([link], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.network
def test_the_exit_status_is_the_tools(prepared: Path) -> None:
    assert start(prepared, "fail").returncode == 3


@pytest.mark.network
def test_the_second_start_forks_nothing_and_compiles_nothing(prepared: Path, tmp_path: Path) -> None:
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    look_around(prepared)
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-o", str(trace), "-e", "trace=process,openat,open", launcher(prepared)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    calls = [line.split(maxsplit=1)[1] for line in trace.read_text().splitlines()]
    assert len([call for call in calls if call.startswith("execve(") and call.endswith(" = 0")]) == 2
    assert not [call for call in calls if call.startswith(("fork", "vfork", "clone"))]
    assert not [call for call in calls if "O_CREAT" in call and str(prepared) in call]


@pytest.mark.network
def test_a_changed_way_to_prepare_is_used(prepared: Path) -> None:
    prepare = prepared / "build" / "lib" / "prepare.py"
    prepare.write_text(f"{prepare.read_text()}\nprint('another way', file=sys.stderr)\n")
    os.utime(prepare, (time.time() + 5, time.time() + 5))
    done = start(prepared)
    assert (done.returncode, done.stderr) == (0, "another way\n")


@pytest.mark.network
def test_changed_requirements_are_noticed(prepared: Path) -> None:
    pyproject = prepared / "pyproject.toml"
    text, changed = re.subn(r'"resolvelib[^"]*"', '"no-such-project-sage-wheels"', pyproject.read_text())
    assert changed == 1
    pyproject.write_text(text)
    os.utime(pyproject, (time.time() + 5, time.time() + 5))
    done = start(prepared)
    assert done.returncode == 1
    assert "no-such-project-sage-wheels" in done.stderr


@pytest.mark.network
def test_an_interpreter_that_is_gone_is_noticed(prepared: Path) -> None:
    state = prepared / ".cache" / "tool"
    was = state.read_text()
    state.write_text(re.sub("python=[^ ]*", "python=/nowhere/python3", was))
    look_around(prepared)
    assert state.read_text() == was


@pytest.mark.network
def test_without_any_python_it_says_what_was_looked_for(prepared: Path, tmp_path: Path) -> None:
    script = (prepared / "build" / "lib" / "system-python.sh").read_text()
    for bin_directory in ("/usr/bin", "/usr/local/bin", "/opt/homebrew/bin"):
        script = script.replace(f" {bin_directory} ", " ")
    (prepared / "build" / "lib" / "system-python.sh").write_text(re.sub(r"(\$\{PATH-\}).*", r"\1", script, count=1))
    (prepared / ".cache" / "tool").unlink()
    done = start(prepared, PATH=str(tmp_path), HOME=str(tmp_path), PYENV_ROOT="")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("sage-wheels: no Python 3.10 or newer")
    assert done.stderr.count("\n") == 1


def test_the_requirements_are_those_of_the_project(checkout: Path) -> None:
    tomllib = pytest.importorskip("tomllib" if sys.version_info >= (3, 11) else "tomli")
    text = (checkout / "pyproject.toml").read_text()
    script = str(checkout / "build" / "lib" / "prepare.py")
    code = "import json, runpy, sys; read = runpy.run_path(sys.argv[1])['requirements']; "
    code += "print(json.dumps(read(sys.stdin.read())))"
    command = [sys.executable, "-c", code, script]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == tomllib.loads(text)["project"]["dependencies"]
