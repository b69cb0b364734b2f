"""What gets installed is what pip installs for the same wheel, and each removes exactly what the other installed."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from sage_wheels.installed.files import source_of_bytecode
from support.run import install, names, uninstall
from support.trees import STATE, Tree, difference, faded, make_prefix, site_packages, snapshot

pytestmark = pytest.mark.network

Both = tuple[Path, Tree, Path, Tree]


def pip(pip_wheel: Path, prefix: Path, *arguments: str | Path) -> None:
    """Run pip in the environment `prefix`, without an index."""
    command = [
        str(prefix / "bin/python"),
        "-I",
        f"{pip_wheel}/pip",
        "--disable-pip-version-check",
        *map(str, arguments),
    ]
    environment = {"PATH": os.environ["PATH"], "PIP_CONFIG_FILE": os.devnull, "PIP_NO_INDEX": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr


def pip_install(pip_wheel: Path, prefix: Path, *wheels: Path) -> None:
    pip(pip_wheel, prefix, "install", "-q", "--no-deps", "--root-user-action=ignore", *wheels)


def rows(record: bytes) -> dict[str, tuple[str, str]]:
    return {path: (digest, size) for path, digest, size in csv.reader(record.decode().split("\n")[:-1])}


def without_legitimate_differences(tree: Tree, root: Path) -> Tree:
    """`tree` without INSTALLER's content, byte-code's and the launchers' text, and the RECORD rows that hash those.

    The root is taken out of shebangs and of direct_url.json, for two environments cannot have the same.
    """
    result: Tree = {}
    for path, (kind, mode, what) in faded(tree).items():
        name = path.rpartition("/")[2]
        if isinstance(what, bytes):
            what = what.replace(os.fsencode(root), b"ROOT")
            if name == "INSTALLER":
                what = b""
            if path.startswith("bin/") and b"sys.exit(" in what:
                what = b"launcher"
            if name == "RECORD" and ".dist-info/" in path:
                kept = rows(what)
                for row in kept:
                    if row.endswith(".dist-info/INSTALLER") or row.startswith("../../../bin/"):
                        kept[row] = ("", "")
                what = repr(sorted(kept.items()))
        result[path] = (kind, mode, what)
    return result


def new_environment(path: Path) -> Path:
    venv.create(path, symlinks=True, with_pip=False)
    return path


@pytest.fixture(scope="session")
def both(tmp_path_factory: pytest.TempPathFactory, wheels: dict[str, Path], pip_wheel: Path) -> Both:
    """Two fresh environments of one name, ours and pip's, with everything in them."""
    directory = tmp_path_factory.mktemp("same")
    ours, theirs = new_environment(directory / "ours" / "env"), new_environment(directory / "pips" / "env")
    install(ours, *wheels.values(), pip_wheel)
    pip_install(pip_wheel, theirs, *wheels.values(), pip_wheel)
    return ours, snapshot(ours), theirs, snapshot(theirs)


def test_same_paths_contents_and_modes(both: Both) -> None:
    ours, our_tree, theirs, their_tree = both
    assert len(our_tree) > 5000
    one, other = without_legitimate_differences(our_tree, ours), without_legitimate_differences(their_tree, theirs)
    assert difference(one, other)[:20] == []


def test_scripts_run_alike(both: Both) -> None:
    ours, _, theirs, _ = both
    for name in ("pip", "pip3", "isympy", "meson", "pybabel", "pybind11-config", "rst2html", "docutils"):
        results = [
            subprocess.run([root / "bin" / name, "--version"], capture_output=True, text=True)
            for root in (ours, theirs)
        ]
        answers = [
            (each.returncode, each.stdout.replace(str(root), ""))
            for each, root in zip(results, (ours, theirs), strict=True)
        ]
        assert answers[0] == answers[1], name
        assert answers[0][0] == 0, (name, results[0].stderr)


def test_everything_is_imported_from_the_prefix(both: Both) -> None:
    program = (
        "import sys, six, sympy, greenlet, setuptools, zope.interface, zope.event, jaraco.text, jaraco.context, "
        "backports.tarfile, babel, docutils, mesonbuild; "
        "print(all(m.__file__.startswith(sys.prefix) for m in (six, sympy, greenlet, zope.event, jaraco.text)), "
        "sympy.factorint(91), zope.interface.Interface.__name__)"
    )
    command = [str(both[0] / "bin/python"), "-I", "-B", "-c", program]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True {7: 1, 13: 1} Interface\n", "")


def test_python_finds_our_bytecode_fresh(both: Both) -> None:
    """No byte-code is written by an import after the installation: all of it was valid."""
    ours, tree, *_ = both
    program = "import six, sympy, docutils.core, babel.dates, zope.interface"
    subprocess.run([ours / "bin/python", "-I", "-c", program], check=True)
    assert difference(tree, snapshot(ours)) == []


def test_each_removes_what_the_other_installed(tmp_path: Path, wheels: dict[str, Path], pip_wheel: Path) -> None:
    """By us what pip installed, by pip what we installed: the environments are as they were when they were made."""
    small = {each: path for each, path in wheels.items() if path.stat().st_size < 600_000}
    assert len(small) > 15
    everything = [each.partition("==")[0] for each in small]
    theirs = new_environment(tmp_path / "theirs")
    empty = snapshot(theirs)
    pip_install(pip_wheel, theirs, *small.values())
    report = uninstall(theirs, *everything)
    assert (report.unchanged, report.set_aside, report.ignored) == ((), (), ())
    assert difference(empty, snapshot(theirs)) == []
    ours = new_environment(tmp_path / "ours")
    empty = snapshot(ours)
    install(ours, *small.values())
    pip(pip_wheel, ours, "uninstall", "-q", "-y", "--root-user-action=ignore", *everything)
    after = snapshot(ours)
    # pip leaves empty directories where data files and namespace packages were, of what it installed itself, too
    assert {path for path in after.keys() - empty.keys() if after[path][0] != "directory"} == set()
    assert {path: after[path] for path in empty} == empty
    assert names(ours) == []


def test_pip_sees_what_we_did_and_we_see_what_pip_did(tmp_path: Path, wheels: dict[str, Path], pip_wheel: Path) -> None:
    prefix = new_environment(tmp_path / "p")
    install(prefix, wheels["six==1.17.0"])
    pip_install(pip_wheel, prefix, wheels["alabaster==0.7.16"])
    pip(pip_wheel, prefix, "check")
    assert names(prefix) == ["alabaster 0.7.16", "six 1.17.0"]
    report = install(prefix, wheels["alabaster==0.7.16"])
    assert report.unchanged == (("alabaster", "0.7.16"),)


def test_upgrade_by_us_of_what_pip_installed(
    tmp_path: Path, download: object, wheels: dict[str, Path], pip_wheel: Path
) -> None:
    assert callable(download)
    older = download("docutils==0.20.1")["docutils==0.20.1"]
    prefix, fresh = make_prefix(tmp_path, "one"), make_prefix(tmp_path, "two")
    pip_install(pip_wheel, prefix, older)
    install(prefix, wheels["docutils==0.21.2"])
    install(fresh, wheels["docutils==0.21.2"])
    one, two = (without_legitimate_differences(snapshot(each), each) for each in (prefix, fresh))
    assert difference(one, two) == []
    assert (prefix / STATE).is_dir()


def test_listed_bytecode_is_that_of_the_sources(both: Both) -> None:
    ours, tree, *_ = both
    library = site_packages(ours).relative_to(ours).as_posix()
    text = tree[f"{library}/six-1.17.0.dist-info/RECORD"][2]
    assert isinstance(text, bytes)
    listed = [path for path in rows(text) if path.endswith(".pyc")]
    assert [source_of_bytecode(each) for each in listed] == ["six.py"]
    assert sys.implementation.cache_tag
    assert sys.implementation.cache_tag in listed[0]
