"""What packages have brought, as their manifests say."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_wheels.errors import FileOperationFailed
from sage_wheels.manifests.entries import add_entry, entries
from sage_wheels.prefix import find_prefix
from support.house import MANIFESTS, House, record


def test_a_plain_prefix_has_no_packages(prefix: Path) -> None:
    assert entries(find_prefix(prefix)) == {}
    assert not (prefix / "var").exists()


def test_what_is_damaged_is_skipped(prefix: Path) -> None:
    record(prefix, f"{MANIFESTS}/binary", bytes(range(256)) * 9)
    record(
        prefix, f"{MANIFESTS}/lines", "\n# comment\nsix==1.0\n-r x\n@ file:///x\n../x @ file:///x\na @ https://x/y\nb\n"
    )
    record(prefix, f"{MANIFESTS}/latin", b"caf\xe9 @ file:///x.whl\nok @ file:///caf\xe9/ok-1-py3-none-any.whl\n")
    record(prefix, f"{MANIFESTS}/empty", "")
    record(prefix, f"{MANIFESTS}/new\nline", "no @ file:///x.whl\n")
    (prefix / MANIFESTS / "directory").mkdir()
    (prefix / MANIFESTS / "link").symlink_to("nowhere")
    (prefix / MANIFESTS / "loop").symlink_to("loop")
    assert list(entries(find_prefix(prefix))) == ["ok"]


def test_paths_quoted_or_not(prefix: Path, tmp_path: Path) -> None:
    with_percent = record(tmp_path, "100%25/a-1-py3-none-any.whl", "")
    text = (
        f"a @ file://{with_percent}\nb @ file:///w%20h/b%2B.whl#sha256=0\nc @ file:///w h/c.whl\nd @ file:/d/.//d.whl"
    )
    record(prefix, f"{MANIFESTS}/p", text)
    found = entries(find_prefix(prefix))
    assert [entry.source for entry in found.values()] == [str(with_percent), "/w h/b+.whl", "/w h/c.whl", "/d/d.whl"]


def test_manifests_that_cannot_be_read_are_an_error(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or a package of the collection would be taken for a user's."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "denied", str(house.manifests))

    house.package("lib", house.wheel())
    where = find_prefix(house.prefix)
    for function in ("os.listdir", "builtins.open"):
        with monkeypatch.context() as patch:
            patch.setattr(function, refuse)
            with pytest.raises(FileOperationFailed, match="reading the manifests of the packages failed"):
                entries(where)


def test_one_writer_and_one_reader(prefix: Path) -> None:
    """Whatever is in a path, what is written is read, and the same line is written once."""
    file = prefix / MANIFESTS / "p"
    paths = ["/w/a-1-py3-none-any.whl", "/w h/100%25#x/b;c.whl", "/caf\udce9/[d]/d.whl", "/tree @ file/$X"]
    for _ in range(2):
        for number, path in enumerate(paths):
            add_entry(str(file), f"n{number}", path)
    assert [entry.source for entry in entries(find_prefix(prefix)).values()] == paths
    assert file.read_bytes().count(b"\n") == len(paths)
