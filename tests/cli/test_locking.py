"""`lock` writes what others can read, and `list --outdated-by` compares with a wheelhouse or a lock."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from packaging.pylock import Pylock

from sage_wheels.cli import main
from sage_wheels.requirements import toml
from sage_wheels.requirements.pylock import sources_in
from sage_wheels.requirements.sources import digest_of
from support.trees import make_prefix
from support.wheels import make_wheel


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    found = make_prefix(tmp_path)
    monkeypatch.setenv("SAGE_WHEELS_PREFIX", str(found))
    return found


def test_a_lock_of_what_is_there(prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = make_wheel(tmp_path / 'a "quoted" place', "one", "1.0", {"one.py": ""})
    assert main(["install", str(one)]) == 0
    assert main(["lock", "--output", str(tmp_path / "pylock.toml")]) == 0
    text = (tmp_path / "pylock.toml").read_text()
    (package,) = Pylock.from_dict(toml.loads(text)).packages
    assert (package.name, str(package.version)) == ("one", "1.0")
    assert package.archive
    assert package.archive.hashes == {"sha256": digest_of(str(one))}
    assert package.archive.path == str(one)
    (source,) = sources_in(str(tmp_path / "pylock.toml"), {})
    assert source.endswith(f"--hash=sha256:{digest_of(str(one))}")


def test_what_came_from_an_index(prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """pip says nothing of where it came from: only the wheelhouse knows the hash."""
    two = make_wheel(tmp_path / "wheels", "two", "2.0", {"two.py": ""})
    pip = [sys.executable, "-I", "-m", "pip", "--isolated", "--python", str(prefix / "bin/python"), "install", "-q"]
    subprocess.run([*pip, "--no-index", "--find-links", str(two.parent), "two"], check=True)
    assert main(["lock"]) == 4
    ran = capsys.readouterr()
    assert not Pylock.from_dict(toml.loads(ran.out)).packages
    assert '# not locked, because its origin is not known: "two 2.0"' in ran.out
    assert "the origin of two 2.0 is not known" in ran.err
    assert main(["lock", "--find-links", str(two.parent)]) == 0
    (package,) = Pylock.from_dict(toml.loads(capsys.readouterr().out)).packages
    assert package.wheels
    assert package.wheels[0].hashes == {"sha256": digest_of(str(two))}


def test_outdated(prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two", "three"):
        assert main(["install", str(make_wheel(tmp_path, name, "1.10", {}))]) == 0
    wheels = tmp_path / "newer"
    for name, version in (("one", "1.9"), ("two", "1.9"), ("two", "1.11")):
        make_wheel(wheels, name, version, {})
    make_wheel(wheels, "three", "2", {}, tag="cp27-cp27m-win32")
    (wheels / "no-wheel.whl").touch()
    capsys.readouterr()
    assert main(["list", "--outdated-by", str(wheels)]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("two 1.10 ")
    assert line.endswith("1.11 is available")
    lock = tmp_path / "pylock.toml"
    assert main(["lock", "--output", str(lock)]) == 0
    assert main(["list", "--outdated-by", str(lock)]) == 0
    assert capsys.readouterr().out == ""
    assert main(["install", str(wheels / "one-1.9-py3-none-any.whl")]) == 0
    assert main(["list", "--outdated-by", str(lock)]) == 0
    assert capsys.readouterr().out.startswith("one 1.9 ")
    assert main(["list", "--outdated-by", str(tmp_path / "absent.toml")]) == 1
