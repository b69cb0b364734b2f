"""What is no regular file where one is read: nobody waits at a pipe, and nobody reads a device to its end."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from sage_wheels.cli import main
from sage_wheels.fs.files import regular
from support.projects import make_tree
from support.run import install, uninstall
from support.trees import STATE, difference, make_prefix, site_packages, snapshot
from support.wheels import make_wheel

RECORD = "evil-1.dist-info/RECORD,,\n"
READ = [
    "pyvenv.cfg",
    *(f"{{library}}/evil-1.dist-info/{name}" for name in ("INSTALLER", "METADATA", "RECORD", "direct_url.json")),
    *(f"{{library}}/{name}" for name in ("no_version.dist-info/METADATA", "old.egg-info/PKG-INFO")),
    *(f"{{library}}/{name}" for name in ("old.egg-info/installed-files.txt", "linked.egg-link", "easy-install.pth")),
    *(f"{STATE}/{name}" for name in ("journal", "lock", "cache/areas.json", "stamps/evil")),
    *(f"{STATE}/stage/1-1/{name}" for name in ("committed", "beside")),
    "var/lib/sage/scripts/evil/spkg-requirements.txt",
]
COMMANDS = ["list", "show evil", "files evil", "verify", "recover", "uninstall linked old", "uninstall evil"]
COMMANDS += ["install WHEEL", "restore --all"]


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    """Everything is there that is ever read."""
    prefix = make_prefix(tmp_path)
    wheel = make_wheel(tmp_path, "evil", "1", {"evil.py": ""})
    install(prefix, wheel, make_wheel(tmp_path, "other", "1", {"other.py": ""}))
    uninstall(prefix, "other")  # which has read all records, and remembers them
    library = site_packages(prefix)
    for path, text in {
        library / "evil-1.dist-info/direct_url.json": "{}",
        library / "no_version.dist-info/METADATA": "Name: no_version\nVersion: 1\n",
        library / "no_version.dist-info/RECORD": RECORD.replace("evil-1", "no_version"),
        library / "old.egg-info/PKG-INFO": "Name: old\nVersion: 1\n",
        library / "old.egg-info/installed-files.txt": "../old.py\n",
        library / "linked.egg-link": "/nowhere\n.\n",
        library / "easy-install.pth": "/nowhere\n",
        prefix / STATE / "stamps/evil": f"evil @ file://{wheel}\n",
        prefix / "var/lib/sage/scripts/evil/spkg-requirements.txt": f"evil @ file://{wheel}\n",
        prefix / "var/lib/sage/scripts/evil/spkg-piprm": "",
    }.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return prefix


@pytest.fixture(autouse=True)
def _impatience() -> Iterator[None]:
    """Whoever waits at a pipe waits for ever."""

    def stop(*_: object) -> None:
        raise AssertionError("it waits")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(300)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("path", READ)
def test_in_a_prefix(prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], path: str) -> None:
    new = str(make_wheel(tmp_path, "new", "1", {"new.py": ""}))
    pipe = prefix / path.replace("{library}", str(site_packages(prefix)))
    pipe.unlink(missing_ok=True)
    pipe.parent.mkdir(exist_ok=True)
    os.mkfifo(pipe)
    for command in COMMANDS:
        verb, *rest = command.replace("WHEEL", new).split()
        status = main([verb, "--prefix", str(prefix), *rest])
        err = capsys.readouterr().err
        assert status in ((0, 1, 4) if verb == "verify" else (0, 1)), (command, err)
        assert status == 0 or verb == "verify" or (err.count("\n") == 1 and str(prefix) in err), (command, err)


@pytest.mark.parametrize("command", ["install", "install --find-links WHEELS", "build --find-links WHEELS -w OUT"])
def test_in_a_wheelhouse(
    prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    wheels, project = tmp_path / "wheels", tmp_path / "project"
    wheels.mkdir()
    project.mkdir()
    os.mkfifo(wheels / "pipe-1-py3-none-any.whl")
    (project / "pyproject.toml").write_text('[build-system]\nrequires = ["pipe"]\nbuild-backend = "pipe"\n')
    item = project if "--find-links" in command else wheels / "pipe-1-py3-none-any.whl"
    line = [{"WHEELS": str(wheels), "OUT": str(tmp_path / "out")}.get(each, each) for each in command.split()]
    assert main([*line[:1], "--prefix", str(prefix), *line[1:], str(item)]) == 1
    err = capsys.readouterr().err
    assert (err.count("\n"), "pipe-1-py3-none-any.whl" in err) == (1, True), err


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_in_the_place_of_an_sdist(prefix: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], kind: str) -> None:
    os.mkfifo(tmp_path / f"pipe-1.{kind}")
    assert main(["install", "--prefix", str(prefix), str(tmp_path / f"pipe-1.{kind}")]) == 1
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize("name", ["PKG-INFO", "setup.cfg", "setup.py", ".git", "link to a pipe"])
@pytest.mark.parametrize("options", [[], ["--in-place"]], ids=["copied", "in place"])
def test_in_a_source_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: list[str]) -> None:
    """pip builds such a tree."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    tree = make_tree(tmp_path / "tree", "hello", "1")
    pipe = tree / "PKG-INFO" if name.startswith("link") else tree / name
    if name.startswith("link"):
        os.mkfifo(tmp_path / "pipe")
        pipe.symlink_to(tmp_path / "pipe")
    else:
        os.mkfifo(pipe)
    assert main(["build", *options, "-w", str(tmp_path / "out"), str(tree)]) == 0
    assert [each.name for each in (tmp_path / "out").iterdir()] == ["hello-1-py3-none-any.whl"]


def test_what_is_opened(tmp_path: Path) -> None:
    file, pipe = tmp_path / "file", tmp_path / "pipe"
    file.write_text("text")
    os.mkfifo(pipe)
    with open(file, opener=regular) as f:
        assert f.read() == "text"
    for path in (pipe, Path("/dev/zero")):
        with pytest.raises(OSError, match=str(path)) as caught, open(path, opener=regular):
            pass
        assert caught.value.errno == errno.ENXIO
    with pytest.raises(IsADirectoryError), open(tmp_path, opener=regular):
        pass


@pytest.mark.parametrize("how", ["uninstall", "upgrade", "overwrite"])
def test_in_the_place_of_an_installed_file(tmp_path: Path, how: str) -> None:
    """There is nothing in it that could be set aside."""
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    install(prefix, make_wheel(tmp_path, "evil", "1", {"evil.py": "x = 1\n", "pkg/evil.py": ""}))
    for name in ("evil.py", "pkg/evil.py", "evil-1.dist-info/foreign"):
        (site_packages(prefix) / name).unlink(missing_ok=True)
        os.mkfifo(site_packages(prefix) / name)
    if how != "uninstall":
        name = "evil" if how == "upgrade" else "other"
        contents = {"evil.py": "x = 2\n", "pkg/evil.py": "x = 3\n"}
        install(prefix, make_wheel(tmp_path, name, "2", contents), overwrite=how == "overwrite")
        assert (site_packages(prefix) / "evil.py").read_text() == "x = 2\n"
        uninstall(prefix, name)
    uninstall(prefix, "evil")
    assert difference(before, snapshot(prefix)) == []
