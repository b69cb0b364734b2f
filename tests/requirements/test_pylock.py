"""Lock files: what a pylock.toml pins is built, and nothing that has another hash."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from sage_wheels.errors import SourceError
from sage_wheels.requirements.pylock import sources_in
from support.projects import make_sdist, make_tree
from support.run import tool

HEAD = 'lock-version = "1.0"\ncreated-by = "tests"\n'


def locked(directory: Path, *names: str, digest: str = "", marker: str = "", url: str = "") -> Path:
    """A lock file of sdists beside it."""
    text = HEAD
    for name in names:
        sdist = make_sdist(directory, make_tree(directory / f"tree-{name}", name, "1.0"), name, "1.0")
        found = digest or hashlib.sha256(sdist.read_bytes()).hexdigest()
        where = f'url = "{url}/{sdist.name}"' if url else f'path = "{sdist.name}"'
        text += f'[[packages]]\nname = "{name}"\nversion = "1.0"\n' + (f'marker = "{marker}"\n' if marker else "")
        text += f'sdist = {{ name = "{sdist.name}", {where}, hashes = {{ sha256 = "{found}" }} }}\n'
    lock = directory / "pylock.toml"
    lock.write_text(text)
    return lock


def build(directory: Path, *arguments: object) -> tuple[int, str, list[str]]:
    options = ["build", "--cache-dir", directory / "cache", "-w", directory / "wheels", *arguments]
    done = tool(*map(str, options), cwd=directory)
    wheels = directory / "wheels"
    return done.returncode, done.stderr, sorted(each.name for each in wheels.iterdir()) if wheels.exists() else []


def test_what_is_pinned_is_built(tmp_path: Path) -> None:
    status, said, wheels = build(tmp_path, "-r", locked(tmp_path, "one", "two"))
    assert (status, wheels) == (0, ["one-1.0-py3-none-any.whl", "two-1.0-py3-none-any.whl"]), said


def test_another_hash(tmp_path: Path) -> None:
    status, said, wheels = build(tmp_path, "-r", locked(tmp_path, "one", digest="0" * 64))
    assert (status, wheels) == (1, [])
    assert "one-1.0.tar.gz" in said
    assert "Traceback" not in said


def test_from_find_links(tmp_path: Path) -> None:
    """A URL that leads nowhere, and the file in a directory."""
    lock = locked(tmp_path, "one", url="https://example.invalid/files")
    status, said, wheels = build(tmp_path, "--find-links", tmp_path, "-r", lock)
    assert (status, wheels) == (0, ["one-1.0-py3-none-any.whl"]), said


def test_markers(tmp_path: Path) -> None:
    lock = locked(tmp_path, "one", marker="python_version < '3'")
    assert sources_in(str(lock), {"python_version": "3.11"}) == []
    status, said, _ = build(tmp_path, "-r", lock)
    assert (status, "contains no requirement" in said) == (0, True)
    undefined = locked(tmp_path, "two", marker="os_name ~= 'x'")
    with pytest.raises(SourceError, match=r"the marker of two in .* cannot be evaluated"):
        sources_in(str(undefined), {"python_version": "3.11"})


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", HEAD, 'lock-version = "9.0"\ncreated-by = "x"\npackages = []\n', "a = [" * 5000, "\ud800"],
)
def test_what_is_no_lock(tmp_path: Path, text: str) -> None:
    lock = tmp_path / "pylock.x.toml"
    lock.write_bytes(text.encode(errors="surrogatepass"))
    status, said, _ = build(tmp_path, "-r", lock)
    assert status == 1
    assert f"{lock} is no lock file" in said
    assert "Traceback" not in said


def test_no_source(tmp_path: Path) -> None:
    lock = tmp_path / "pylock.toml"
    wheel = '[{ name = "a-1-py3-none-any.whl", url = "https://example.invalid/a.whl", hashes = { sha256 = "0" } }]'
    lock.write_text(f'{HEAD}[[packages]]\nname = "a"\nversion = "1"\nwheels = {wheel}\n')
    with pytest.raises(SourceError, match="pins no source of a"):
        sources_in(str(lock), {})
