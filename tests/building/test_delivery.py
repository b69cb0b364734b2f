from __future__ import annotations

import os
import threading
import zipfile
from pathlib import Path

import pytest

from sage_wheels.building.delivery import deliver
from sage_wheels.errors import FileOperationFailed

NAME = "a-1.0-py3-none-any.whl"


def made(directory: Path, content: bytes = b"wheel") -> str:
    directory.mkdir(exist_ok=True)
    (directory / NAME).write_bytes(content)
    return str(directory / NAME)


def test_the_wheel_is_moved(tmp_path: Path) -> None:
    path = deliver(made(tmp_path / "out"), str(tmp_path / "new" / "wheels"))
    assert path == str(tmp_path / "new" / "wheels" / NAME)
    assert Path(path).read_bytes() == b"wheel"
    assert os.listdir(tmp_path / "out") == []


@pytest.mark.parametrize("made_with", [0o600, 0o644, 0o755])
@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_umask_says_who_may_read_it(tmp_path: Path, made_with: int, umask: int) -> None:
    wheel = made(tmp_path / "out")
    os.chmod(wheel, made_with)
    old = os.umask(umask)
    try:
        path = deliver(wheel, str(tmp_path / "wheels"))
    finally:
        os.umask(old)
    assert os.stat(path).st_mode & 0o777 == 0o666 & ~umask


def test_who_has_the_old_wheel_open_keeps_it(tmp_path: Path) -> None:
    wheels = tmp_path / "wheels"
    with open(made(wheels, b"old"), "rb") as opened:
        deliver(made(tmp_path / "out", b"new"), str(wheels))
        assert opened.read() == b"old"
    assert (wheels / NAME).read_bytes() == b"new"


def test_from_another_file_system_nothing_half_is_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where /dev/shm is one; a reader in a loop never finds a wheel that is not whole."""
    shm = Path("/dev/shm")
    if not shm.is_dir() or shm.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("needs a second file system")
    wheels, source = tmp_path / "wheels", shm / f"sage-wheels-test-{os.getpid()}"
    source.mkdir()
    problems: list[str] = []
    done = threading.Event()

    def read() -> None:
        while not done.is_set():
            for name in os.listdir(wheels) if wheels.exists() else []:
                if name.endswith(".whl") and not zipfile.is_zipfile(wheels / name):
                    problems.append(name)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        for _ in range(20):
            with zipfile.ZipFile(source / NAME, "w") as archive:
                archive.writestr("a", b"0" * 2_000_000)
            deliver(str(source / NAME), str(wheels))
    finally:
        done.set()
        reader.join()
        for path in source.iterdir():
            path.unlink()
        source.rmdir()
    assert problems == []
    assert os.listdir(wheels) == [NAME]


def test_what_cannot_be_stored_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(FileOperationFailed, match="storing"):
        deliver(made(tmp_path / "out"), str(tmp_path / "file"))
