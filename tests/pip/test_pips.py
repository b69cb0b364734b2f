"""Which pip is used: the prefix's, or one found elsewhere if there is none, or none whose inner parts are known."""

from __future__ import annotations

import glob
import importlib
import json
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.pip.candidates import candidates
from sage_wheels.prefix import find_prefix
from support.index import Index
from support.pythons import Python, make_installation, other_pythons
from support.run import names, python
from support.trees import leftovers, make_prefix, site_packages, snapshot
from support.twins import Done, Twins, copy_prefix, end, environment, our_command, pack_pip, start
from support.wheels import make_wheel

TOOL = ("sage_wheels", "build", "filelock", "installer", "packaging", "pyproject_hooks", "resolvelib")
VERSION = "import pip; print(pip.__version__)"


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A prefix without pip."""
    return make_prefix(tmp_path, "bare")


@pytest.fixture(scope="session")
def wheelhouse(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wheelhouse with a pip that calls itself 99."""
    return pack_pip(tmp_path_factory.mktemp("pips"), "99").parent


class Tool:
    """Our tool, run by a Python of its own in whose library there is no pip."""

    def __init__(self, root: Path) -> None:
        self.python = make_installation(root)
        self.packages = root / "packages"
        self.packages.mkdir()
        self.ensurepip = root / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}" / "ensurepip"
        for name in TOOL:
            file = importlib.import_module(name).__file__
            assert file
            (self.packages / name).symlink_to(Path(file).parent)

    def run(self, prefix: Path, *arguments: str, env: dict[str, str], system_wheels: bool = False) -> Done:
        """Run it, with or without the wheels that some systems keep for ensurepip."""
        hide = "" if system_wheels else "import sysconfig; sysconfig.get_config_vars()['WHEEL_PKG_DIR'] = None\n"
        program = f"""{hide}import sys
sys.path.insert(0, {str(self.packages)!r})
from sage_wheels.cli import main
sys.exit(main())
"""
        command = [self.python, "-I", "-c", program, "pip", "--prefix", str(prefix), *arguments]
        return end(start(command, env))


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    return Tool(tmp_path / "tool")


def test_a_prefix_without_pip(bare: Path, home: Path, index: Index) -> None:
    """The tool's own pip does it, and sees what is in the prefix, not what is around the tool."""
    done = end(start(our_command(bare, "install", "-i", index.url, "app"), environment(home)))
    assert done.returncode == 0, done.stderr
    assert names(bare) == ["app 2.0", "lib 2.1"]
    done = end(start(our_command(bare, "list", "--format=freeze"), environment(home)))
    assert done.stdout.splitlines() == ["app==2.0", "lib==2.1"], done.stderr
    done = end(start(our_command(bare, "uninstall", "-y", "app"), environment(home)))
    assert done.returncode == 0, done.stderr
    assert names(bare) == ["lib 2.1"]


def test_the_pip_of_the_wheelhouse(bare: Path, home: Path, index: Index, wheelhouse: Path, tool: Tool) -> None:
    env = environment(home, SAGE_SPKG_WHEELS=str(wheelhouse))
    said = tool.run(bare, "--version", env=env).stdout
    assert said.startswith("pip 99 from ")
    done = tool.run(bare, "install", "-i", index.url, "app", env=env)
    assert done.returncode == 0, done.stderr
    assert names(bare) == ["app 2.0", "lib 2.1"]


def test_the_pip_of_ensurepip(bare: Path, home: Path, index: Index, tool: Tool) -> None:
    kept = [sysconfig.get_config_var("WHEEL_PKG_DIR"), f"{sysconfig.get_path('stdlib')}/ensurepip/_bundled"]
    if not any(glob.glob(f"{each}/pip-*.whl") for each in kept if each):
        pytest.skip("this Python has no ensurepip")
    done = tool.run(bare, "install", "-i", index.url, "app", env=environment(home), system_wheels=True)
    assert done.returncode == 0, done.stderr
    assert names(bare) == ["app 2.0", "lib 2.1"]


@pytest.mark.skipif(not other_pythons(), reason="no Python of another version here")
@pytest.mark.parametrize(
    "python",
    [each for each in other_pythons() if each.version >= (3, 8)],
    ids=lambda each: "{}.{}".format(*each.version),
)
def test_a_pip_that_is_for_the_python_of_the_prefix(tmp_path: Path, home: Path, python: Python) -> None:
    bundled = glob.glob(f"{Path(python.executable).parent.parent}/lib/python*/ensurepip/_bundled/pip-*.whl")
    if not bundled:
        pytest.skip("it has no ensurepip")
    prefix = tmp_path / "bare"
    subprocess.run([python.executable, "-I", "-m", "venv", "--without-pip", prefix], check=True)
    wheel = make_wheel(tmp_path, "plain", "1.0", {"plain.py": ""})
    for line in (["install", "--no-index", str(wheel)], ["list"], ["uninstall", "-y", "plain"]):
        done = end(start(our_command(prefix, *line), environment(home)))
        assert done.returncode == 0, done.stderr


def pip_wheel(directory: Path, version: str, requires_python: str, *named: str) -> str:
    headers = "\n".join(f"Classifier: Programming Language :: Python :: {each}" for each in named)
    wheel = make_wheel(
        directory, "pip", version, {"pip/__init__.py": ""}, headers=headers, requires_python=requires_python
    )
    return str(wheel)


def test_the_order_of_the_pips_that_there_are(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    house = tmp_path / "wheelhouse"
    own = "{}.{}".format(*sys.version_info)
    fits = [pip_wheel(house, "23.2", ">=3.7", "3", "3.9", own), pip_wheel(house, "9.9", "", "3", own)]
    untold = pip_wheel(house, "22.0", ">=3.7")
    older = pip_wheel(house, "30.1", ">=3.7", "3", "3.9")
    pip_wheel(house, "40.0", ">=3.99", own)
    (house / "pip-50.0-py3-none-any.whl").write_bytes(b"damaged")
    monkeypatch.setenv("SAGE_SPKG_WHEELS", str(house))
    found = [each for each in candidates(find_prefix(make_prefix(tmp_path))) if each.startswith(str(house))]
    assert found == [fits[0], untold, fits[1], f"{house}/pip-50.0-py3-none-any.whl", older]


@pytest.mark.parametrize("command", ["install plain", "list"])
def test_no_pip_at_all(tmp_path: Path, home: Path, tool: Tool, command: str) -> None:
    tool.ensurepip.unlink()
    bare = tmp_path / "bare"
    subprocess.run([tool.python, "-m", "venv", "--without-pip", bare], check=True)
    before = snapshot(bare)
    done = tool.run(bare, *command.split(), env=environment(home))
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("sage-wheels: error: ")
    assert snapshot(bare) == before


def change_inner_parts(prefix: Path) -> None:
    """Make the pip of `prefix` one that is not known: a function that we stand in for has another name."""
    for each in ("commands/install.py", "req/__init__.py"):
        file = site_packages(prefix) / "pip/_internal" / each
        text = file.read_text()
        assert "install_given_reqs" in text
        file.unlink()
        file.write_text(text.replace("install_given_reqs", "install_all_reqs"))


def test_a_pip_with_unknown_inner_parts_is_not_used(prefix: Path, home: Path, index: Index) -> None:
    change_inner_parts(prefix)
    pip = names(prefix)
    done = end(start(our_command(prefix, "install", "-v", "-i", index.url, "plain"), environment(home)))
    assert done.returncode == 0, done.stderr
    assert f"from {prefix}" not in done.stdout.splitlines()[0]
    assert names(prefix) == sorted([*pip, "plain 1.0"])
    assert leftovers(prefix) == []


def make_abstract(prefix: Path) -> None:
    """As Python 3.15 takes pip 24.3 and older ones: a method that is abstract there is missing."""
    file = site_packages(prefix) / "pip/_internal/metadata/importlib/_dists.py"
    text = file.read_text()
    file.unlink()
    file.write_text(f"{text}\nWheelDistribution.__abstractmethods__ = frozenset({{'locate_file'}})\n")


def fill_with_nul(prefix: Path) -> None:
    file = site_packages(prefix) / "pip/_internal/commands/install.py"
    file.unlink()
    file.write_bytes(bytes(500))


def cut_byte_code(prefix: Path) -> None:
    [file] = (site_packages(prefix) / "pip/_internal/commands/__pycache__").glob("install.*.pyc")
    beginning = file.read_bytes()[:200]
    file.unlink()
    file.write_bytes(beginning)


@pytest.mark.parametrize("damage", [fill_with_nul, cut_byte_code, make_abstract])
def test_a_damaged_pip_is_not_used(prefix: Path, home: Path, index: Index, damage: Callable[[Path], None]) -> None:
    """As after a loss of power, however Python takes it; or a Python that is too new for it."""
    damage(prefix)
    done = end(start(our_command(prefix, "install", "-v", "-i", index.url, "plain"), environment(home)))
    assert done.returncode == 0, done.stderr
    assert f"from {prefix}" not in done.stdout.splitlines()[0]
    assert "plain 1.0" in names(prefix)


def test_nothing_is_done_if_only_such_a_pip_is_there(prefix: Path, home: Path, index: Index, tool: Tool) -> None:
    change_inner_parts(prefix)
    tool.ensurepip.unlink()
    (prefix / "pyvenv.cfg").unlink()  # a hard link
    (prefix / "pyvenv.cfg").write_text(f"home = {Path(tool.python).parent}\nversion = {sys.version.split()[0]}\n")
    before = snapshot(prefix)
    done = tool.run(prefix, "install", "-i", index.url, "plain", env=environment(home))
    assert done.returncode == 1
    assert done.stderr.startswith("sage-wheels: error: ")
    assert done.stderr.count("\n") == 1
    assert {path: what for path, what in snapshot(prefix).items() if "__pycache__" not in path} == {
        path: what for path, what in before.items() if "__pycache__" not in path
    }
    # what only reads is pip's business, whatever that looks like inside
    assert tool.run(prefix, "list", env=environment(home)).returncode == 0


def test_pip_upgrades_itself(twins: Twins, wheelhouse: Path, index: Index) -> None:
    theirs, own = twins.run("install", "-U", "--no-compile", "--no-index", "-f", str(wheelhouse), "pip")
    assert (own.returncode, theirs.returncode) == (0, 0), own.stderr
    assert "Successfully installed pip-99" in own.stdout
    assert "Traceback" not in own.stderr
    assert [python(each, VERSION) for each in twins.both] == ["99", "99"]
    assert names(twins.ours) == ["pip 99"]
    twins.assert_alike()
    _, own = twins.run("install", "-v", "-i", index.url, "plain")
    assert own.stdout.startswith("Using pip 99 from "), own.stderr


def test_direct_url_is_what_that_pip_writes(prefix: Path, home: Path, tmp_path: Path) -> None:
    """Since pip 26 it is more than the dictionary of it: "hash" for old readers."""
    file = site_packages(prefix) / "pip/_internal/models/direct_url.py"
    text = file.read_text()
    file.unlink()  # for it is linked
    file.write_text(f"{text}\nDirectUrl.to_json = lambda self: json.dumps({{'url': self.url, 'written': 'so'}})\n")
    wheel = make_wheel(tmp_path, "local", "1.0", {"local.py": ""})
    done = end(start(our_command(prefix, "install", "--no-index", str(wheel)), environment(home)))
    assert done.returncode == 0, done.stderr
    origin = site_packages(prefix) / "local-1.0.dist-info/direct_url.json"
    assert json.loads(origin.read_text()) == {"url": wheel.as_uri(), "written": "so"}


def test_what_was_just_installed_is_not_imported(prefix: Path, home: Path, tmp_path: Path) -> None:
    """CVE-2026-6357: a pip that imports something late gets what the wheel brought."""
    file = site_packages(prefix) / "pip/_internal/commands/install.py"
    late = "            lib_locations = get_lib_location_guesses("
    text = file.read_text()
    assert text.count(late) == 1
    file.unlink()
    # pip 26.3 keeps it out, too, and raises an error of its own
    attempt = "try:\n                import probe\n            except Exception:\n                print('kept out')"
    file.write_text(text.replace(late, f"            {attempt}\n{late}"))
    wheel = make_wheel(tmp_path, "probe", "1.0", {"probe.py": "print('got in')\n"})
    done = end(start(our_command(prefix, "install", "--no-index", str(wheel)), environment(home)))
    assert done.returncode == 0, done.stderr
    assert "kept out" in done.stdout
    assert "Successfully installed probe-1.0" in done.stdout


@pytest.mark.parametrize("line", ["list", "install --no-index -f {files} plain"])
def test_nothing_is_imported_from_the_current_directory(
    prefix: Path, home: Path, tmp_path: Path, files: Path, line: str
) -> None:
    """As with `python -m pip`: a project may have a logging.py."""
    for name in ("importlib", "json", "logging", "pip", "runpy", "shutil", "signal", "tempfile", "threading"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('that of the project')\n")
    command = our_command(prefix, *line.replace("{files}", str(files)).split())
    done = end(start(command, environment(home), cwd=tmp_path))
    assert done.returncode == 0, done.stderr


def test_pip_comes_into_a_prefix_without_one(bare: Path, home: Path, wheelhouse: Path) -> None:
    line = ("install", "--no-compile", "--no-index", "-f", str(wheelhouse), "pip")
    done = end(start(our_command(bare, *line), environment(home)))
    assert done.returncode == 0, done.stderr
    assert names(bare) == ["pip 99"]
    assert python(bare, VERSION) == "99"


def test_pip_uninstalls_itself(prefix: Path, home: Path) -> None:
    done = end(start(our_command(prefix, "uninstall", "-y", "pip"), environment(home)))
    assert done.returncode == 0, done.stderr
    assert names(prefix) == []


@pytest.mark.parametrize("line", ["", "--prefix {prefix}"])
def test_a_python_that_spells_paths_otherwise(
    tmp_path: Path, template: Path, home: Path, index: Index, line: str
) -> None:
    """Its file system encoding is ASCII here, that of ours, which heeds no PYTHON* variable, is UTF-8."""
    prefix = copy_prefix(template, tmp_path / "p é x")
    temporary = tmp_path / "t é"
    temporary.mkdir()
    (site_packages(prefix) / "pip/_internal/commands/install.py").unlink()  # takes another pip
    options = [each.replace("{prefix}", str(prefix)) for each in line.split()]
    variables = {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0", "TMPDIR": str(temporary)}
    command = our_command(prefix, "install", "-i", index.url, *options, "plain", "both")
    done = end(start(command, environment(home, **variables)))
    assert done.returncode == 0, done.stderr
    assert ("is locked" in done.stderr) == bool(line)
    assert {"plain 1.0", "both 2.0"} < set(names(prefix))


def test_a_python_that_does_not_run(prefix: Path, home: Path) -> None:
    (prefix / "bin/python").unlink()
    (prefix / "bin/python").symlink_to(prefix / "nowhere")
    done = end(start(our_command(prefix, "list"), environment(home)))
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("command", [["list"], ["install", "nothing"]])
def test_a_python_that_is_too_old(bare: Path, home: Path, command: list[str]) -> None:
    (bare / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.6.15\n")
    (bare / "bin/python3").unlink(missing_ok=True)  # it leads to another one
    done = end(start(our_command(bare, *command), environment(home)))
    assert done.returncode == 1
    assert "is 3.6, and pip is run here from 3.7 on" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_memory_that_runs_out_where_a_thread_begins(prefix: Path, home: Path) -> None:
    """`Thread.start` waits for ever then."""
    broken = "import threading; threading.Thread._bootstrap = lambda self: [0] * (1 << 62)\n"
    (site_packages(prefix) / "broken.pth").write_text(broken)
    done = end(start(our_command(prefix, "list"), environment(home)))
    assert done.returncode == 0, done.stderr


def test_memory_that_runs_out_while_an_answer_is_read(prefix: Path, home: Path, tmp_path: Path) -> None:
    """pip has decided then, and the change was made."""
    (site_packages(prefix) / "broken.pth").write_text(
        "import json, threading; json.loads = lambda *a, loads=json.loads, threading=threading, "
        "ours=threading.current_thread(), **b: "
        "loads(*a, **b) if threading.current_thread() is ours else [0] * (1 << 62)\n"
    )
    wheel = make_wheel(tmp_path, "plain", "1.0", {"plain.py": ""})
    done = end(start(our_command(prefix, "install", "--no-index", wheel), environment(home)))
    assert done.returncode == 0, done.stderr
    assert "sage-wheels: pip ended with status 1; the change had been made" in done.stderr
    assert "plain 1.0" in names(prefix)


@pytest.mark.parametrize("command", [["list"], ["install", "plain"]])
@pytest.mark.parametrize(
    "error",
    [
        "MemoryError",
        "OSError(12, 'Cannot allocate memory')",
        "ImportError('x.so: failed to map segment from shared object')",
    ],
)
def test_memory_that_runs_out_while_pip_is_imported(prefix: Path, home: Path, command: list[str], error: str) -> None:
    """That says nothing of the pip which is there, and no other one is tried."""
    for name in ("commands/install.py", "cli/main.py"):
        module = site_packages(prefix) / "pip/_internal" / name
        module.unlink()  # it is a link to that of the template
        module.write_text(f"raise {error}\n")
    done = end(start(our_command(prefix, *command), environment(home)))
    assert done.returncode == 1
    assert done.stderr.startswith("sage-wheels: error: there is too little memory to run pip")
    assert len(done.stderr.splitlines()) == 1
