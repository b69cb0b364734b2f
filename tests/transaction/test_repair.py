"""`repair` puts back what is missing or changed, exactly, from wheels and from the history, and guesses nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sage_wheels.cli import main
from support.index import Index
from support.trees import STATE, leftovers, make_prefix, site_packages, snapshot
from support.wheels import make_wheel


@pytest.fixture
def prefix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SAGE_WHEELS_CACHE", str(tmp_path / "cache"))
    found = make_prefix(tmp_path)
    monkeypatch.setenv("SAGE_WHEELS_PREFIX", str(found))
    return found


def wheel(tmp_path: Path, version: str = "1") -> str:
    text = f"VERSION = {version!r}\n"
    files = {"alpha/__init__.py": text, "alpha/same.txt": "the same\n", "alpha/deep/er.py": text, "single.py": text}
    points = {"alpha-run": "alpha:run"}
    return str(make_wheel(tmp_path / "wheels", "alpha", version, files, entry_points=points))


def content(path: Path) -> dict[str, object]:
    """Everything but byte-code, whose times are others, and what the tool keeps."""
    return {
        name: each for name, each in snapshot(path).items() if "__pycache__" not in name and not name.startswith(STATE)
    }


def damage(prefix: Path) -> list[Path]:
    site = site_packages(prefix)
    (site / "alpha/__init__.py").write_text("edited\n")
    (site / "alpha/deep/er.py").unlink()
    (prefix / "bin/alpha-run").unlink()
    for name in ("METADATA", "INSTALLER"):
        (site / f"alpha-1.dist-info/{name}").unlink()
    names = ["alpha/__init__.py", "alpha/deep/er.py", "alpha-1.dist-info/METADATA", "alpha-1.dist-info/INSTALLER"]
    return [*(site / name for name in names), prefix / "bin/alpha-run"]


def test_from_a_wheelhouse(prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", wheel(tmp_path)]) == 0
    before = content(prefix)
    damaged = damage(prefix)
    assert main(["verify"]) == 4
    broken = content(prefix)
    assert main(["repair", "--dry-run", "--find-links", str(tmp_path / "wheels")]) == 0
    assert content(prefix) == broken
    capsys.readouterr()
    assert main(["repair", "--json", "--find-links", str(tmp_path / "wheels")]) == 0
    told = json.loads(capsys.readouterr().out)
    assert {each["path"] for each in told["faults"]} == {str(each) for each in damaged}
    assert all(each["source"] for each in told["faults"])
    assert content(prefix) == before
    assert leftovers(prefix) == []
    assert [Path(each).read_text() for each in told["set_aside"]] == ["edited\n"]
    assert main(["verify"]) == 0
    version = [str(prefix / "bin/python"), "-c", "import alpha, alpha.deep.er; print(alpha.VERSION)"]
    assert subprocess.run(version, capture_output=True, text=True, check=True).stdout == "1\n"
    # a change like any other: it is in the history, and can be taken back and made again
    assert main(["undo"]) == 0
    assert content(prefix).keys() == broken.keys()
    assert (site_packages(prefix) / "alpha/__init__.py").read_text() == "edited\n"
    assert main(["undo"]) == 0
    assert content(prefix) == before


def test_from_the_history(prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The old version is kept; of what is the same in it, the content is there."""
    assert main(["install", wheel(tmp_path)]) == 0
    assert main(["install", wheel(tmp_path, "2")]) == 0
    site = site_packages(prefix)
    (site / "alpha/same.txt").unlink()
    (site / "single.py").unlink()
    (tmp_path / "wheels").rename(tmp_path / "elsewhere")
    assert main(["repair"]) == 4
    told = capsys.readouterr().err
    assert f"{site / 'alpha/same.txt'} put back (number 2 of the history)" in told
    assert f"{site / 'single.py'} is missing: no content with the hash of RECORD was found" in told
    assert (site / "alpha/same.txt").read_text() == "the same\n"
    assert not (site / "single.py").exists()


def test_another_wheel_of_the_same_name_is_not_used(prefix: Path, tmp_path: Path) -> None:
    path = wheel(tmp_path)
    assert main(["install", path]) == 0
    os.unlink(site_packages(prefix) / "single.py")
    os.unlink(path)
    other = make_wheel(tmp_path / "other", "alpha", "1", {"single.py": "VERSION = '9'\n"})
    assert main(["repair", "--find-links", str(other.parent)]) == 4
    assert not (site_packages(prefix) / "single.py").exists()


def test_from_the_store(prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from sage_wheels.store.store import Store, digest_of

    path = wheel(tmp_path)
    assert main(["install", path]) == 0
    Store(str(tmp_path / "cache")).local.put_content(digest_of(path)[0], path)
    (tmp_path / "wheels").rename(tmp_path / "elsewhere")
    os.unlink(site_packages(prefix) / "single.py")
    assert main(["repair", "alpha"]) == 0, capsys.readouterr().err
    assert (site_packages(prefix) / "single.py").read_text() == "VERSION = '1'\n"


def test_a_lost_record_is_named(prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", wheel(tmp_path)]) == 0
    os.unlink(site_packages(prefix) / "alpha-1.dist-info/RECORD")
    os.unlink(site_packages(prefix) / "single.py")
    assert main(["repair", "--find-links", str(tmp_path / "wheels")]) == 4
    told = capsys.readouterr().err
    assert "what belongs to alpha 1 is not known" in told
    assert "install --reinstall alpha==1" in told
    assert not (site_packages(prefix) / "single.py").exists()


def test_what_a_killed_pip_has_left(prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["install", wheel(tmp_path)]) == 0
    site = site_packages(prefix)
    (site / "~lpha/deep").mkdir(parents=True)
    (site / "~lpha/deep/x.py").write_text("old")
    (site / "beta-1.dist-info").mkdir()
    (site / "beta-1.dist-info/METADATA").write_text("Metadata-Version: 2.1\nName: beta\nVersion: 1\n")
    before = content(prefix)
    assert main(["repair"]) == 4
    told = capsys.readouterr().err
    assert f"{site / '~lpha'} is left: a killed pip left it" in told
    assert f"{site / 'beta-1.dist-info'} is left: it has no RECORD" in told
    assert content(prefix) == before
    main(["repair", "--clear"])
    assert not (site / "~lpha").exists()
    assert not (site / "beta-1.dist-info").exists()
    assert main(["verify"]) == 0
    assert leftovers(prefix) == []
    assert main(["undo"]) == 0
    assert content(prefix) == before


def test_from_where_direct_url_says_only_with_index(
    prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """By http, as pip has installed it, and from a file; not if the file there is another one."""
    path, single = Path(wheel(tmp_path)), site_packages(prefix) / "single.py"
    with Index(path.parent) as index:
        pip_install(prefix, f"{index.files}/{path.name}")
        before = content(prefix)
        os.unlink(single)
        index.asked.clear()
        assert main(["repair"]) == 4
        assert index.asked == []
        assert main(["repair", "--index", "--dry-run"]) == 0
        assert not single.exists()
        assert main(["repair", "--index"]) == 0, capsys.readouterr().err
        assert any(path.name in each for each in index.asked)
        assert content(prefix) == before
        os.unlink(single)
        other = make_wheel(tmp_path / "other", "alpha", "1", {"single.py": "VERSION = '9'\n"})
        path.write_bytes(other.read_bytes())
        capsys.readouterr()
        assert main(["repair", "--index"]) == 4
        assert f"{single} is missing: no content with the hash of RECORD was found" in capsys.readouterr().err
        assert not single.exists()
    capsys.readouterr()
    monkeypatch.setenv("PIP_RETRIES", "0")
    assert main(["repair", "--index"]) == 4
    assert "what direct_url.json of alpha 1 names cannot be obtained" in capsys.readouterr().err


def test_from_the_file_that_direct_url_names(prefix: Path, tmp_path: Path) -> None:
    path, site = wheel(tmp_path), site_packages(prefix)
    pip_install(prefix, path)
    os.unlink(site / "single.py")
    assert main(["repair", "alpha"]) == 4
    assert main(["repair", "--index", "alpha"]) == 0
    assert (site / "single.py").read_text() == "VERSION = '1'\n"


def test_a_damaged_direct_url_is_named(prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pip_install(prefix, wheel(tmp_path))
    site = site_packages(prefix)
    (site / "alpha-1.dist-info/direct_url.json").write_text("[]")
    os.unlink(site / "single.py")
    assert main(["repair", "--index", "alpha"]) == 4
    assert "direct_url.json of alpha 1 is damaged" in capsys.readouterr().err


def pip_install(prefix: Path, what: str) -> None:
    pip = [sys.executable, "-I", "-m", "pip", "--isolated", "--python", str(prefix / "bin/python"), "install", "-q"]
    subprocess.run([*pip, "--no-index", "--no-deps", "--no-cache-dir", what], check=True)


def test_what_pip_has_installed(prefix: Path, tmp_path: Path) -> None:
    """Scripts that pip writes are others than ours: such a one is put back only if its hash fits."""
    path = wheel(tmp_path)
    pip_install(prefix, path)
    before = content(prefix)
    site = site_packages(prefix)
    for name in ("alpha/__init__.py", "alpha-1.dist-info/INSTALLER", "alpha-1.dist-info/REQUESTED"):
        os.unlink(site / name)
    assert main(["repair", "--find-links", str(tmp_path / "wheels")]) == 0
    assert content(prefix) == before
