"""What the Python of a prefix sees beside it counts for what a wheel requires, where that Python sees it."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from sage_wheels.installed.relations import check
from sage_wheels.prefix import find_prefix
from sage_wheels.prefix.beside import libraries_beside
from support.pythons import make_installation
from support.run import install
from support.wheels import make_wheel


@pytest.mark.parametrize("nouser", ["", "1"])
@pytest.mark.parametrize("kind", ["alone", "sees-system", "installation"])
def test_what_python_itself_sees(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, nouser: str) -> None:
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path / "user"))
    monkeypatch.setenv("PYTHONNOUSERSITE", nouser)
    root = tmp_path / "installation"
    python = make_installation(root)
    (system,) = root.glob("lib/python*/site-packages")
    users = tmp_path / "user" / system.relative_to(root)
    if kind == "installation":  # Debian's Python has its own packages elsewhere
        system = Path(find_prefix(root).path(find_prefix(root).scheme.purelib))
    for library, name in ((system, "of_system"), (users, "of_user")):
        (library / f"{name}-1.0.dist-info").mkdir(parents=True)
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n"
        (library / f"{name}-1.0.dist-info/METADATA").write_text(text)
    if kind != "installation":
        root = tmp_path / "prefix"
        more = ["--system-site-packages"] if kind == "sees-system" else []
        subprocess.run([python, "-m", "venv", "--without-pip", *more, root], check=True)
    prefix = find_prefix(root)
    program = "import sys; print(*sys.path[1:], sep='\\n')"
    seen = subprocess.run([prefix.python, "-c", program], capture_output=True, text=True, check=True).stdout.split("\n")
    own = prefix.path(prefix.scheme.purelib)
    assert libraries_beside(prefix) == [each for each in seen if each.endswith("site-packages") and each != own]
    wheel = make_wheel(tmp_path, "needy", "1", {"needy.py": ""}, requires=["of-system", "of-user>=1", "nobodys"])
    unmet = " ".join(install(root, wheel).unmet)
    assert "nobodys" in unmet
    assert ("of-system" in unmet) is (kind == "alone")
    assert ("of-user" in unmet) is (kind == "alone" or bool(nouser))


@pytest.mark.skipif(os.geteuid() == 0, reason="root can read everything")
def test_what_nobody_may_read_there_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root has installed it for himself alone, say."""
    monkeypatch.setenv("PYTHONUSERBASE", str(tmp_path / "user"))
    monkeypatch.delenv("PYTHONNOUSERSITE", raising=False)
    root = tmp_path / "installation"
    make_installation(root)
    (system,) = root.glob("lib/python*/site-packages")
    secret = tmp_path / "user" / system.relative_to(root) / "secret-1.0.dist-info/METADATA"
    secret.parent.mkdir(parents=True)
    secret.touch(mode=0)
    wheel = make_wheel(tmp_path, "needy", "1", {"needy.py": ""}, requires=["secret>=1", "nobodys"])
    assert install(root, wheel).unmet == ("needy 1 needs nobodys, which is not installed",)
    assert [each.problem for each in check(find_prefix(root))] == ["needy 1 needs nobodys, which is not installed"]
