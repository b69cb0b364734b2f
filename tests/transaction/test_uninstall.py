"""Install, then uninstall: the prefix is as it was (promise 4)."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

import sage_wheels
from sage_wheels.errors import NotRemovable
from support.instants import directory_that_cannot_be_renamed, once
from support.pythons import other_pythons
from support.run import install, names, python, uninstall
from support.trees import difference, faded, leftovers, make_prefix, set_aside, site_packages, snapshot
from support.wheels import make_wheel

BIG = {f"big/sub{n % 7}/m{n}.py": f"x = {n}\n" for n in range(50)}

SHAPES: dict[str, dict[str, Any]] = {
    "single module": {"files": {"mod.py": "x = 1\n"}},
    "package": {"files": {"pkg/__init__.py": "", "pkg/sub/__init__.py": "x = 1\n", "pkg/data.bin": b"\0"}},
    "many files": {"files": BIG},
    "nothing at all": {"files": {}},
    "namespace package": {"files": {"ns/one/__init__.py": "x = 1\n"}},
    "no Python": {"files": {"pkg/data.txt": "x"}},
    "source that does not compile": {"files": {"pkg/__init__.py": "x = = 1\n"}},
    "data files": {
        "files": {},
        "data": {"data/share/pkg/a.txt": "a", "data/etc/pkg/b/c.txt": "c", "data/top.txt": "t"},
    },
    "headers": {"files": {}, "data": {"headers/pkg.h": "", "headers/sub/x.h": ""}},
    "scripts": {
        "files": {"mod.py": "def main(): print('hello')\n"},
        "data": {"scripts/plain.sh": "#!/bin/sh\n", "scripts/py": "#!python\nprint()\n"},
        "entry_points": {"tool": "mod:main", "tool2": "mod:main"},
    },
    "platlib and purelib": {"files": {"a.py": ""}, "data": {"purelib/b.py": "", "platlib/c/__init__.py": ""}},
    "pth file": {"files": {"pkg.pth": "# nothing\n", "pkg/__init__.py": ""}},
    "licences": {"files": {"mod.py": ""}, "dist_info_files": {"licenses/a/LICENSE": "MIT", "sboms/x.json": "{}"}},
    "names with blanks, commas, quotes": {"files": {"pkg/a b,\"c'.txt": "x", "pkg/ü\N{LINE SEPARATOR}.txt": "y"}},
    "Python source among data": {"files": {}, "data": {"data/share/pkg/tool.py": "x = 1\n", "scripts/s.py": "x = 1\n"}},
}


def wheel(tmp_path: Path, shape: Mapping[str, Any], name: str = "shaped", version: str = "1.0") -> Path:
    return make_wheel(tmp_path / "wheels", name, version, **shape)


@pytest.mark.parametrize("compiled", [True, False], ids=["byte-code", "no byte-code"])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_tree_is_as_it_was(tmp_path: Path, shape: str, compiled: bool) -> None:
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    install(prefix, wheel(tmp_path, SHAPES[shape]), compile_bytecode=compiled)
    assert names(prefix) == ["shaped 1.0"]
    assert snapshot(prefix) != before
    report = uninstall(prefix, "shaped")
    assert difference(before, snapshot(prefix)) == []
    assert (report.set_aside, report.ignored) == ((), ())
    assert leftovers(prefix) == []
    assert names(prefix) == []


@pytest.mark.parametrize("shape", SHAPES)
def test_the_tree_is_as_it_was_beside_other_packages(tmp_path: Path, shape: str) -> None:
    prefix = make_prefix(tmp_path)
    neighbour = {**SHAPES[shape]["files"], "ns/two/__init__.py": "", "other.py": ""}
    install(
        prefix, make_wheel(tmp_path / "n", "neighbour", "1", neighbour, data={"data/share/n": "", "headers/n.h": ""})
    )
    before = snapshot(prefix)
    install(prefix, wheel(tmp_path, SHAPES[shape]))
    assert names(prefix) == ["neighbour 1", "shaped 1.0"]
    uninstall(prefix, "Shaped")
    assert difference(before, snapshot(prefix)) == []


def test_all_at_once(tmp_path: Path) -> None:
    """Every shape as a distribution of its own, in one transaction; removed in one, in the other order."""
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    wheels = []
    for number, shape in enumerate(SHAPES):
        name = f"d{number}"
        moved = {
            key: {f"{name}/{path}": text for path, text in value.items()} if key == "files" else value
            for key, value in SHAPES[shape].items()
        }
        moved["data"] = {f"data/share/{name}/{path}": text for path, text in SHAPES[shape].get("data", {}).items()}
        moved.pop("entry_points", None)
        wheels.append(wheel(tmp_path, moved, name))
    install(prefix, *wheels)
    assert len(names(prefix)) == len(SHAPES)
    uninstall(prefix, *(f"D{number}" for number in reversed(range(len(SHAPES)))))
    assert difference(before, snapshot(prefix)) == []


@pytest.mark.parametrize("first", [0, 1])
@pytest.mark.parametrize("installed_first", [0, 1])
def test_two_distributions_in_one_namespace_package(tmp_path: Path, first: int, installed_first: int) -> None:
    prefix = make_prefix(tmp_path)
    empty = snapshot(prefix)
    wheels = [
        make_wheel(tmp_path, f"ns-{name}", "1", {f"ns/{name}/__init__.py": f"x = {name!r}\n", f"ns/{name}/d/e.txt": ""})
        for name in ("one", "two")
    ]
    install(prefix, wheels[1 - first])
    alone = snapshot(prefix)
    uninstall(prefix, "ns-one", "ns-two")
    install(prefix, wheels[installed_first])
    install(prefix, wheels[1 - installed_first])
    assert python(prefix, "import ns.one, ns.two; print(ns.one.x, ns.two.x)") == "one two"
    uninstall(prefix, f"ns-{('one', 'two')[first]}")
    assert difference(faded(alone), faded(snapshot(prefix))) == []
    uninstall(prefix, f"ns-{('one', 'two')[1 - first]}")
    assert difference(empty, snapshot(prefix)) == []


@pytest.mark.parametrize("first", [0, 1])
def test_an_identical_file_of_two_distributions_stays_with_the_other(tmp_path: Path, first: int) -> None:
    prefix = make_prefix(tmp_path)
    empty = snapshot(prefix)
    shared = {"backports/__init__.py": "__path__ = __import__('pkgutil').extend_path(__path__, __name__)\n"}
    wheels = [
        make_wheel(tmp_path, f"backports.{name}", "1", {**shared, f"backports/{name}.py": "x = 1\n"}) for name in "ab"
    ]
    install(prefix, wheels[1 - first])
    alone = snapshot(prefix)
    install(prefix, wheels[first])
    assert python(prefix, "import backports.a, backports.b; print(backports.b.x)") == "1"
    uninstall(prefix, f"backports.{'ab'[first]}")
    assert difference(faded(alone), faded(snapshot(prefix))) == []
    uninstall(prefix, f"backports-{'ab'[1 - first]}")
    assert difference(empty, snapshot(prefix)) == []


def test_an_identical_file_of_two_distributions_in_one_transaction(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    empty = snapshot(prefix)
    wheels = [make_wheel(tmp_path, f"b.{name}", "1", {"b/__init__.py": "", f"b/{name}.py": ""}) for name in "xy"]
    install(prefix, *wheels)
    assert python(prefix, "import b.x, b.y; print('fine')") == "fine"
    uninstall(prefix, "b.x")
    assert python(prefix, "import b.y; print('fine')") == "fine"
    uninstall(prefix, "b.y")
    assert difference(empty, snapshot(prefix)) == []


def test_bytecode_that_came_later_goes_too(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    files = {"pkg/__init__.py": "import pkg.a\n", "pkg/a.py": "x = 1\n", "mod.py": "x = 1\n"}
    install(prefix, make_wheel(tmp_path, "pkg", "1", files, data={"data/share/pkg/s.py": ""}))
    command = [str(prefix / "bin/python"), "-c", "import pkg.a, mod"]
    for flags in ([], ["-O"], ["-OO"]):
        subprocess.run([command[0], *flags, *command[1:]], check=True, env={})
    caches = [site_packages(prefix) / "__pycache__", site_packages(prefix) / "pkg/__pycache__"]
    for each in caches:
        assert any(".opt-2." in name for name in os.listdir(each))
    for each, stem in zip(caches, ("mod", "a"), strict=True):
        (each / f"{stem}.cpython-399.pyc").write_bytes(b"of another Python")
        (each / f"{stem}.cpython-399.opt-1.pyc").write_bytes(b"of another Python")
        (each / f"{stem}.pypy310.pyc").write_bytes(b"of another Python")
        (each / f"{stem}.cpython-399-pytest-9.2.0.pyc").write_bytes(b"rewritten assertions")
        (each / f"{stem}.cpython-399.pyc.1398765").write_bytes(b"of a Python that was killed")
    data = prefix / "share/pkg/__pycache__"
    data.mkdir(exist_ok=True)
    (data / "s.cpython-399.pyc").write_bytes(b"")
    report = uninstall(prefix, "pkg")
    assert report.set_aside == ()
    assert difference(before, snapshot(prefix)) == []


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("how", ["uninstall", "upgrade"])
def test_bytecode_beside_its_source_goes_too(tmp_path: Path, how: str, shared: bool) -> None:
    """Where `python -m compileall -b` writes it; without its source, Python would import it."""
    prefix, twin = make_prefix(tmp_path), make_prefix(tmp_path / "twin")
    site = site_packages(prefix)
    old = make_wheel(tmp_path, "pkg", "1", {"pkg/__init__.py": "", "pkg/a.py": "x = 1\n", "mod.py": "x = 1\n"})
    new = make_wheel(tmp_path, "pkg", "2", {"pkg/__init__.py": ""})
    for each in (prefix, twin):
        if shared:
            (site_packages(each) / "pkg").mkdir()
            (site_packages(each) / "pkg/mine.pyc").write_bytes(b"of nobody's source")
        if how == "upgrade":
            install(each, new)
    before = snapshot(twin)
    install(prefix, old, reinstall=True)
    for name in ("pkg/__init__.pyc", "pkg/a.pyc", "pkg/a.pyo", "mod.pyc"):
        (site / name).write_bytes(b"byte-code")
    assert sage_wheels.verify("pkg", prefix) == [] or shared
    if how == "upgrade":
        install(prefix, new)
        assert sorted(os.listdir(site / "pkg")) == sorted(os.listdir(site_packages(twin) / "pkg"))
        assert sorted(os.listdir(site)) == sorted(os.listdir(site_packages(twin)))
    else:
        report = uninstall(prefix, "pkg")
        assert report.set_aside == ()
        assert difference(before, snapshot(prefix)) == []


@pytest.mark.skipif(not other_pythons(), reason="no Python of another version here")
def test_bytecode_that_other_pythons_wrote_goes_too(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"pkg/__init__.py": "", "pkg/a.py": "", "mod.py": ""}))
    for each in other_pythons():
        environment = {"PYTHONPATH": str(site_packages(prefix))}
        subprocess.run([each.executable, "-c", "import pkg.a, mod"], check=True, env=environment)
    assert len(os.listdir(site_packages(prefix) / "pkg/__pycache__")) == 2 + 2 * len(other_pythons())
    uninstall(prefix, "pkg")
    assert difference(before, snapshot(prefix)) == []


def test_bytecode_of_somebody_elses_source_stays(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    install(prefix, make_wheel(tmp_path, "other", "1", {"mod2.py": ""}))
    cache = site_packages(prefix) / "__pycache__"
    (cache / "stray.cpython-399.pyc").write_bytes(b"nobody's")
    before = snapshot(prefix)
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"mod.py": ""}))
    uninstall(prefix, "pkg")
    assert difference(before, snapshot(prefix)) == []


def test_foreign_files_stay_where_they_are(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"pkg/__init__.py": "", "pkg/sub/a.py": "", "pkg/gone/b.py": ""}))
    library = site_packages(prefix)
    mine = {
        "pkg/notes.txt": "mine",
        "pkg/sub/mine/deep.py": "mine",
        "pkg/sub/mine/__pycache__/deep.cpython-399.pyc": "mine",
        "pkg/__pycache__/nobody.cpython-399.pyc": "mine",
    }
    for name, text in mine.items():
        (library / name).parent.mkdir(parents=True, exist_ok=True)
        (library / name).write_text(text)
    (library / "pkg/empty").mkdir()
    (library / "pkg/link").symlink_to("/nowhere")
    report = uninstall(prefix, "pkg")
    left = {
        path.relative_to(library).as_posix() for path in library.rglob("*") if not path.is_dir() or path.is_symlink()
    }
    assert left == {*mine, "pkg/link"}
    assert (library / "pkg/empty").is_dir()
    assert not (library / "pkg/gone").exists()
    assert report.set_aside == ()


def test_an_empty_directory_that_was_there_before_stays(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    for each in ("share", "share/pkg", "etc"):
        (prefix / each).mkdir()
    (site_packages(prefix) / "ns").mkdir()
    (site_packages(prefix) / "ns/foreign").mkdir()
    before = snapshot(prefix)
    files = {"ns/a/__init__.py": ""}
    data = {"data/share/pkg/x": "", "data/share/other/y": "", "data/etc/z": "", "headers/p.h": ""}
    install(prefix, make_wheel(tmp_path, "pkg", "1", files, data=data))
    uninstall(prefix, "pkg")
    after = snapshot(prefix)
    assert "lib" in after
    assert set(before) - set(after) <= {"share", "share/pkg", "etc"}, "what cannot be told from our own may go"
    assert set(after) <= set(before)
    assert (site_packages(prefix) / "ns/foreign").is_dir()


def test_edited_files_are_set_aside_and_named(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    files = {"pkg/__init__.py": "", "pkg/config.ini": "theirs", "pkg/kept.txt": "same", "mod.py": "x = 1\n"}
    install(prefix, make_wheel(tmp_path, "pkg", "1", files, data={"scripts/tool": "#!/bin/sh\n"}))
    library = site_packages(prefix)
    (library / "pkg/config.ini").write_text("mine")
    (library / "mod.py").write_text("x = 2\n")
    (prefix / "bin/tool").write_text("#!/bin/bash\n")
    report = uninstall(prefix, "pkg")
    assert difference(before, snapshot(prefix)) == []
    where = library.relative_to(prefix).as_posix()
    assert set_aside(prefix) == {
        f"{where}/pkg/config.ini": b"mine",
        f"{where}/mod.py": b"x = 2\n",
        "bin/tool": b"#!/bin/bash\n",
    }
    assert sorted(Path(path).read_bytes() for path in report.set_aside) == [b"#!/bin/bash\n", b"mine", b"x = 2\n"]


@pytest.mark.parametrize("unhashed", ["one", "two"])
def test_an_edited_file_of_two_that_go_is_set_aside_whichever_knows_its_hash(tmp_path: Path, unhashed: str) -> None:
    prefix = make_prefix(tmp_path)
    install(prefix, *(make_wheel(tmp_path, name, "1", {"ns/i.py": "x = 1\n"}) for name in ("one", "two")))
    library = site_packages(prefix)
    record = library / f"{unhashed}-1.dist-info/RECORD"
    record.write_text(re.sub("ns/i.py,.*", "ns/i.py,,", record.read_text()))
    (library / "ns/i.py").write_text("mine")
    uninstall(prefix, "one", "two")
    assert list(set_aside(prefix).values()) == [b"mine"]


@pytest.mark.parametrize("first", [0, 1])
def test_a_file_that_one_of_two_that_go_installed_is_not_edited(tmp_path: Path, first: int) -> None:
    prefix = make_prefix(tmp_path)
    wheels = [make_wheel(tmp_path, name, "1", {"ns/i.py": f"x = {name!r}\n"}) for name in ("one", "two")]
    install(prefix, wheels[first])
    install(prefix, wheels[1 - first], overwrite=True)
    assert uninstall(prefix, "one", "two").set_aside == ()


def test_a_hash_of_no_fixed_length_is_none(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    install(prefix, make_wheel(tmp_path, "six", "1", {"six.py": "abc\n"}))
    record = site_packages(prefix) / "six-1.dist-info/RECORD"
    record.write_text(re.sub("six.py,.*", "six.py,shake_128=abc,4", record.read_text()))
    assert sage_wheels.verify("six", prefix) == []
    assert uninstall(prefix, "six").set_aside == ()
    assert difference(before, snapshot(prefix)) == []


@pytest.mark.parametrize("crowd", ["file", "directory", "empty directory", "link to a directory"])
@pytest.mark.parametrize("whole", [True, False], ids=["whole", "entry by entry"])
def test_what_somebody_put_into_the_dist_info_does_not_keep_it(tmp_path: Path, crowd: str, whole: bool) -> None:
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    install(prefix, make_wheel(tmp_path, "six", "1", {"six.py": ""}))
    foreign = site_packages(prefix) / "six-1.dist-info/foreign"
    if crowd == "link to a directory":
        foreign.symlink_to("..")
    elif crowd == "file":
        foreign.write_text("mine")
    else:
        (foreign / "deeper").mkdir(parents=True)
    if crowd == "directory":
        (foreign / "deeper/file").write_text("mine")
    with directory_that_cannot_be_renamed("none" if whole else "six-1.dist-info") as refused:
        report = uninstall(prefix, "six")
    assert bool(refused) != whole
    assert difference(before, snapshot(prefix)) == []
    assert len(report.set_aside) == (crowd != "empty directory")
    assert list(set_aside(prefix).values()) == {
        "file": [b"mine"],
        "directory": [b"mine"],
        "empty directory": [],
        "link to a directory": [b""],
    }.get(crowd)


def test_a_file_replaced_by_a_link_is_set_aside_as_a_link(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"pkg/__init__.py": "", "pkg/data": "x"}))
    victim = tmp_path / "victim"
    victim.write_text("precious")
    data = site_packages(prefix) / "pkg/data"
    data.unlink()
    data.symlink_to(victim)
    report = uninstall(prefix, "pkg")
    assert victim.read_text() == "precious"
    assert difference(before, snapshot(prefix)) == []
    assert [os.readlink(path) for path in report.set_aside] == [str(victim)]


def test_what_a_link_leads_to_is_not_set_aside_with_the_link(tmp_path: Path) -> None:
    """Not even what changes there between plan and commit."""
    prefix = make_prefix(tmp_path)
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"data": "x"}))
    (tmp_path / "outside").mkdir()
    data = site_packages(prefix) / "data"
    data.unlink()
    data.symlink_to(tmp_path / "outside")
    with once("committing", lambda: (tmp_path / "outside/new").write_text("precious")):
        report = uninstall(prefix, "pkg")
    assert (tmp_path / "outside/new").read_text() == "precious"
    assert len(report.set_aside) == 1, "the link"


def test_missing_files_are_no_obstacle(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"pkg/__init__.py": "", "pkg/a/b.py": "", "mod.py": ""}))
    library = site_packages(prefix)
    (library / "pkg/__init__.py").unlink()
    (library / "mod.py").unlink()
    uninstall(prefix, "pkg")
    assert difference(before, snapshot(prefix)) == []


def test_what_is_not_installed_is_no_error(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"mod.py": ""}))
    report = uninstall(prefix, "six", "pkg", "SEVEN")
    assert [change.name for change in report.changes] == ["pkg"]
    assert sorted(each.name for each in report.unchanged) == ["SEVEN", "six"]
    assert uninstall(prefix, "pkg").unchanged == (("pkg", ""),)


def test_a_clock_that_stands_still_hides_no_change_of_another_process(tmp_path: Path) -> None:
    """Of two that are removed side by side, the second one takes the files that both had: also if the clock of the file
    system, which a busy machine moves late, gives their two changes of the library one time."""
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    for name in ("one", "two"):
        install(prefix, make_wheel(tmp_path, name, "1", {"ns/__init__.py": "", f"ns/{name}.py": ""}))
    library = site_packages(prefix)
    at = library.stat().st_mtime_ns - 10**9
    os.utime(library, ns=(at, at))

    def other() -> None:
        uninstall(prefix, "two")
        os.utime(library, ns=(at, at))

    with once("planned", other) as done:
        uninstall(prefix, "one")
    assert done
    assert difference(before, snapshot(prefix)) == []


def test_all_or_none(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    install(prefix, make_wheel(tmp_path, "one", "1", {"one.py": ""}), make_wheel(tmp_path, "two", "1", {"two.py": ""}))
    (site_packages(prefix) / "two-1.dist-info/RECORD").unlink()
    before = snapshot(prefix)
    with pytest.raises(NotRemovable, match=r"^Cannot uninstall two 1: what belongs to two 1 is not known"):
        uninstall(prefix, "one", "two")
    assert difference(before, snapshot(prefix)) == []
    assert leftovers(prefix) == []


def test_a_prefix_named_by_a_link(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    link = tmp_path / "link"
    link.symlink_to(prefix)
    install(link, make_wheel(tmp_path, "pkg", "1", {"pkg/__init__.py": ""}, entry_points={"t": "pkg:f"}))
    assert (prefix / "bin/t").read_text().startswith(f"#!{link}/bin/python\n")
    uninstall(prefix, "pkg")
    assert difference(before, snapshot(prefix)) == []


def test_lib64_that_links_to_lib(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    (prefix / "lib64").symlink_to("lib")
    before = snapshot(prefix)
    files = {"a.py": "", "p/__init__.py": ""}
    install(prefix, make_wheel(tmp_path, "pkg", "1", files, data={"data/lib64/x.so": ""}, root_is_purelib=False))
    assert (prefix / "lib/x.so").exists()
    uninstall(prefix, "pkg")
    assert difference(before, snapshot(prefix)) == []


def test_a_prefix_whose_python_is_gone(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    for name in os.listdir(prefix / "bin"):
        (prefix / "bin" / name).unlink()
    before = snapshot(prefix)
    install(prefix, make_wheel(tmp_path, "pkg", "1", {"pkg/__init__.py": ""}, entry_points={"t": "pkg:f"}))
    uninstall(prefix, "pkg")
    assert difference(before, snapshot(prefix)) == []


@pytest.mark.parametrize("first", [0, 1])
def test_a_directory_of_which_everything_is_shared_stays_with_the_other(tmp_path: Path, first: int) -> None:
    prefix = make_prefix(tmp_path)
    wheels = [make_wheel(tmp_path, name, "1", {"same/__init__.py": "", "same/a/b.txt": "x"}) for name in ("one", "two")]
    install(prefix, wheels[1 - first])
    alone = snapshot(prefix)
    install(prefix, wheels[first])
    uninstall(prefix, ("one", "two")[first])
    assert difference(faded(alone), faded(snapshot(prefix))) == []


def test_a_directory_in_which_the_other_has_nothing_but_the_shared_file(tmp_path: Path) -> None:
    prefix = make_prefix(tmp_path)
    install(prefix, make_wheel(tmp_path, "small", "1", {"b/__init__.py": ""}))
    alone = snapshot(prefix)
    install(prefix, make_wheel(tmp_path, "large", "1", {"b/__init__.py": "", "b/x.py": "", "b/y/z.py": ""}))
    uninstall(prefix, "large")
    assert difference(faded(alone), faded(snapshot(prefix))) == []
