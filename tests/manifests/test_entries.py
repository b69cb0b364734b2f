"""What packages have brought, as their manifests say."""

from __future__ import annotations

from pathlib import Path

import pytest

from sage_wheels.errors import FileOperationFailed
from sage_wheels.manifests.entries import add_entry
from sage_wheels.manifests.entries import entries as all_entries
from sage_wheels.prefix import find_prefix
from sage_wheels.requirements.names import all_named
from support.house import MANIFESTS, House, entries, record
from support.run import tool


def test_a_plain_prefix_has_no_packages(prefix: Path) -> None:
    assert entries(find_prefix(prefix)) == {}
    assert not (prefix / "var").exists()


# Another way to write `six @ file:///w/six-1.0-py3-none-any.whl`, by pip's rules.
SPELT = {
    "mark": b"\xef\xbb\xbfsix @ file:///w/six-1.0-py3-none-any.whl\n",
    "utf-16": "\ufeffsix @ file:///w/six-1.0-py3-none-any.whl\r\n".encode("utf-16-le"),
    "continued": b"six @ \\\n  file:///w/six-1.0-py3-none-any.whl\n",
    "variable": b"s${X}x @ file:///w/s${X}x-1.0-py3-none-any.whl\n",
    "comment": b"# of six\nsix @ file:///w/six-1.0-py3-none-any.whl  # why\n",
    "hash": b"six @ file:///w/six-1.0-py3-none-any.whl --hash=sha256:00\n",
    "marker": b"six @ file:///w/six-1.0-py3-none-any.whl ; python_version > '3'\n",
    "extra": b"six[more]@file:/w/six-1.0-py3-none-any.whl#sha256=00",
}


@pytest.mark.parametrize("spelling", SPELT)
def test_a_manifest_is_read_by_pips_rules(prefix: Path, monkeypatch: pytest.MonkeyPatch, spelling: str) -> None:
    monkeypatch.setenv("X", "i")
    file = record(prefix, f"{MANIFESTS}/p", SPELT[spelling])
    (entry,) = entries(find_prefix(prefix)).values()
    assert (entry.name, entry.source) == ("six", "/w/six-1.0-py3-none-any.whl")
    assert all_named([], [str(file)]) == ["six"]  # what uninstalls agrees


@pytest.mark.parametrize(
    "line", ["six @@ nonsense", "six==1.0", "-r other", "six @ https://example.org/six.whl", "six"]
)
def test_a_line_that_is_no_entry_is_named(prefix: Path, line: str) -> None:
    record(prefix, f"{MANIFESTS}/p", f"# one\n\n{line}\nok @ file:///w/ok-1-py3-none-any.whl\n")
    (note,) = notes_of(prefix, "ok")
    assert note.startswith(f"line 3 of {prefix}/{MANIFESTS}/p is ignored")


def test_a_file_that_cannot_be_decoded_is_named(prefix: Path) -> None:
    record(prefix, f"{MANIFESTS}/a", "# coding: klingon\nx @ file:///w/x-1-py3-none-any.whl\n")
    record(prefix, f"{MANIFESTS}/b", b"\xff\xfe\0")
    record(prefix, f"{MANIFESTS}/c", "ok @ file:///w/ok-1-py3-none-any.whl\n")
    assert ["cannot be decoded" in note for note in notes_of(prefix, "ok")] == [True, True]


def test_list_and_show_name_a_line_once(house: House) -> None:
    house.package("lib", house.wheel())
    record(house.prefix, f"{MANIFESTS}/p", "six @@ nonsense\n")
    for command in (("list",), ("show", "lib", "lib")):
        ran = tool(command[0], "--prefix", str(house.prefix), *command[1:])
        assert ran.returncode == 0
        assert ran.stderr.count("line 1 of") == 1, ran.stderr


def notes_of(prefix: Path, *names: str) -> list[str]:
    """The sentences about the manifests in a prefix, which have entries for `names` only."""
    notes: list[str] = []
    assert tuple(all_entries(find_prefix(prefix), notes.append)) == names
    return notes


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
    assert len(notes_of(prefix, "ok")) > 8


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
