"""The user's own directory, and what lies outside of the prefix: as pip does it."""

from __future__ import annotations

import os
import subprocess
import zipfile
from pathlib import Path

import pytest

import sage_wheels
from support.pythons import make_installation
from support.run import names
from support.trees import make_prefix, site_packages
from support.twins import Done, end, environment, our_command, start
from support.wheels import make_wheel

IMPORTED = "import one; print(one.version)"


class Machine:
    """A whole installation, a user with a directory of their own, and wheels of two versions."""

    def __init__(self, directory: Path) -> None:
        make_installation(directory / "installation")
        self.prefix = directory / "installation"
        self.user = directory / "user"
        self.env = environment(directory / "home", PYTHONUSERBASE=str(self.user), PIP_NO_INDEX="1")
        self.wheels = {}
        for version in ("1", "2", "3"):
            files = {"one.py": f"version = {version}\n"}
            self.wheels[version] = str(make_wheel(directory, "one", version, files))

    def run(self, *arguments: str) -> Done:
        return end(start(our_command(self.prefix, *arguments), self.env))

    def install(self, version: str, *options: str) -> Done:
        done = self.run("install", *options, self.wheels[version])
        assert done.returncode == 0, done.stderr
        return done

    def imported(self) -> str:
        """The version that the Python of the prefix imports; "" for none."""
        return end(start([f"{self.prefix}/bin/python3", "-c", IMPORTED], self.env)).stdout.strip()


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_an_upgrade_replaces_the_users_copy(machine: Machine) -> None:
    machine.install("1", "--user")
    assert machine.imported() == "1"
    done = machine.install("2", "-U")
    assert machine.imported() == "2"
    assert names(machine.prefix) == ["one 2"]
    assert not list(machine.user.rglob("one*"))
    assert "Successfully uninstalled one-1" in done.stdout


def test_the_users_copy_stays_if_the_transaction_fails(machine: Machine, tmp_path: Path) -> None:
    machine.install("1", "--user")
    other = make_wheel(tmp_path, "other", "1", {"other.py": "", "one.py": "the other's\n"})
    sage_wheels.install([str(other)], machine.prefix)
    done = machine.run("install", "-U", machine.wheels["2"])
    assert done.returncode == 1
    assert "belongs to other 1" in done.stderr
    assert machine.imported() == "1"
    assert names(machine.prefix) == ["other 1"]


def test_the_users_copy_goes_first(machine: Machine) -> None:
    machine.install("1")
    machine.install("2", "--user", "--ignore-installed")
    assert machine.imported() == "2"
    done = machine.run("uninstall", "-y", "one")
    assert (done.returncode, machine.imported()) == (0, "1"), done.stderr
    assert machine.run("uninstall", "-y", "one").returncode == 0
    assert machine.imported() == ""
    assert "Skipping one as it is not installed" in machine.run("uninstall", "-y", "one").stderr


def test_of_several_each_goes_from_where_it_is(machine: Machine, tmp_path: Path) -> None:
    machine.install("2", "--user")
    sage_wheels.install([str(make_wheel(tmp_path, "other", "1", {"other.py": ""}))], machine.prefix)
    done = machine.run("uninstall", "-y", "other", "one", "neither")
    assert done.returncode == 0, done.stderr
    assert (names(machine.prefix), machine.imported()) == ([], "")
    assert "Skipping neither as it is not installed" in done.stderr


def test_a_user_directory_that_this_python_does_not_see_stays(machine: Machine) -> None:
    machine.install("1", "--user")
    machine.env["PYTHONNOUSERSITE"] = "1"
    assert "Skipping one as it is not installed" in machine.run("uninstall", "-y", "one").stderr
    machine.install("2", "-U")
    del machine.env["PYTHONNOUSERSITE"]
    assert machine.imported() == "1"


@pytest.mark.parametrize("how", [".pth", "PYTHONPATH", "system"])
def test_what_lies_outside_is_named_and_stays(tmp_path: Path, home: Path, how: str) -> None:
    outside = tmp_path / "outside"
    prefix = make_prefix(tmp_path)
    env = environment(home)
    if how == "system":
        python = make_installation(tmp_path / "installation")
        (outside,) = (tmp_path / "installation").glob("lib/python*/site-packages")
        prefix = tmp_path / "sees-it"
        subprocess.run([python, "-m", "venv", "--without-pip", "--system-site-packages", prefix], check=True)
    elif how == ".pth":
        (site_packages(prefix) / "elsewhere.pth").write_text(f"{outside}\n")
    else:
        env["PYTHONPATH"] = str(outside)
    info = outside / "Out_Of.It-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: Out-Of.It\nVersion: 1\n")
    done = end(start(our_command(prefix, "uninstall", "-y", "out.of_it", "neither"), env))
    assert done.returncode == 0
    assert done.stdout.splitlines() == [
        "Found existing installation: Out-Of.It 1",
        f"Not uninstalling out-of-it at {outside}, outside environment {prefix}",
        "Can't uninstall 'Out-Of.It'. No files were found to uninstall.",
    ]
    assert done.stderr == "WARNING: Skipping neither as it is not installed.\n"
    assert (info / "METADATA").exists()


@pytest.mark.parametrize("where", ["user", "system", "PYTHONPATH"])
def test_an_installation_over_what_lies_outside(tmp_path: Path, home: Path, where: str) -> None:
    """The prefix gets its own, pip's three lines name the other one, and that stays, by whatever it is found."""
    machine = Machine(tmp_path)
    machine.prefix = tmp_path / "environment"
    python = f"{tmp_path}/installation/bin/python3"
    options = ["-m", "venv", "--without-pip", "--system-site-packages"]
    subprocess.run([python, *options, machine.prefix], check=True)
    if where == "user":
        outside = Path(
            end(start([f"{machine.prefix}/bin/python3", "-m", "site", "--user-site"], machine.env)).stdout[:-1]
        )
    elif where == "system":
        (outside,) = (tmp_path / "installation").glob("lib/python*/site-packages")
    else:
        outside = tmp_path / "outside"
        machine.env["PYTHONPATH"] = str(outside)
    with zipfile.ZipFile(machine.wheels["1"]) as wheel:
        wheel.extractall(outside)
    done = machine.install("2", "-U")
    assert (
        f"""\
    Found existing installation: one 1
    Not uninstalling one at {outside}, outside environment {machine.prefix}
    Can't uninstall 'one'. No files were found to uninstall.
Successfully installed one-2
"""
        in done.stdout
    )
    assert names(machine.prefix) == ["one 2"]
    assert machine.imported() == ("1" if where == "PYTHONPATH" else "2")
    machine.install("3", "-U")
    assert machine.run("uninstall", "-y", "one").returncode == 0
    assert names(machine.prefix) == []
    assert machine.imported() == "1"


def test_a_whole_installation_leaves_what_lies_outside(machine: Machine, tmp_path: Path) -> None:
    """There pip itself takes everything for its own, and would remove it."""
    outside = tmp_path / "outside"
    with zipfile.ZipFile(machine.wheels["1"]) as wheel:
        wheel.extractall(outside)
    machine.env["PYTHONPATH"] = str(outside)
    assert f"Not uninstalling one at {outside}, outside environment" in machine.install("2", "-U").stdout
    assert (machine.imported(), names(machine.prefix)) == ("1", ["one 2"])


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everything")
def test_who_may_not_write_the_prefix_installs_for_themselves(machine: Machine) -> None:
    check_unwritable(machine)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to become somebody else")
def test_another_user_installs_for_themselves(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    """pip asks os.access, which is made to say what it says to others: a Python below /root cannot be run by them."""
    library = next(machine.prefix.glob("lib/python*/site-packages"))
    says = "import os; os.access = lambda path, mode, ask=os.access: "
    says += f"not str(path).startswith({str(machine.prefix)!r}) and ask(path, mode)"
    (library / "unwritable.pth").write_text(says + "\n")
    asking = [f"{machine.prefix}/bin/python3", "-c", "import os, sys; print(os.access(sys.prefix, os.W_OK))"]
    if end(start(asking, machine.env)).stdout != "False\n":
        pytest.skip("this Python (Debian's) reads no .pth there")
    check_unwritable(machine)


def check_unwritable(machine: Machine) -> None:
    library = next(machine.prefix.glob("lib/python*/site-packages"))
    library.chmod(0o555)
    try:
        done = machine.install("1")
        assert "Defaulting to user installation" in done.stdout
        assert "--user" not in done.stderr, "nobody has given that option"
        assert machine.imported() == "1"
        assert names(machine.prefix) == []
        assert list(machine.user.rglob("one.py"))
        machine.install("3", "-U")
        assert machine.imported() == "3"
    finally:
        library.chmod(0o755)
