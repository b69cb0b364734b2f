"""`sage_wheels.prefix.filesystem` on the file system that is here."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path

import pytest

from sage_wheels.prefix import filesystem

MOUNTS = """\
22 1 8:1 / / rw,relatime - ext4 /dev/sda1 rw
30 22 0:30 / /home rw shared:12 master:1 - nfs4 server:/home rw
31 30 8:3 / /home/me/disk rw - xfs /dev/sdc1 rw
32 22 0:31 / /with\\040space rw - cifs //server/share rw
33 22 0:32 / /tmp rw - tmpfs tmpfs rw
34 33 0:33 / /tmp rw - overlay overlay rw
""".splitlines(keepends=True)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/usr/lib", "ext4"),
        ("/", "ext4"),
        ("/home", "nfs4"),
        ("/home/me", "nfs4"),
        ("/home/me/disk/p", "xfs"),
        ("/homework", "ext4"),
        ("/with space/p", "cifs"),
        ("/tmp/p", "overlay"),
    ],
)
def test_type_of_mount(path: str, kind: str) -> None:
    assert filesystem.type_of_mount(path, MOUNTS) == kind


def test_type_of_mount_without_mounts_is_unknown() -> None:
    assert filesystem.type_of_mount("/usr", []) is None


def test_a_local_directory_is_on_no_network(tmp_path: Path) -> None:
    if os.path.exists("/proc/self/mountinfo"):
        with open("/proc/self/mountinfo") as f:
            kind = filesystem.type_of_mount(os.path.realpath(tmp_path), f)
        assert filesystem.network_type(str(tmp_path)) in (None, kind)
    else:
        assert filesystem.network_type(str(tmp_path)) is None


def test_exchange_swaps_and_is_audited(tmp_path: Path) -> None:
    if not filesystem.can_exchange(str(tmp_path)):
        pytest.skip("this file system has no exchange")
    assert list(tmp_path.iterdir()) == []
    one, other = tmp_path / "one", tmp_path / "other ü"
    one.mkdir()
    (one / "file").write_text("first")
    other.write_text("second")
    heard: list[tuple[object, ...]] = []
    listening = True
    sys.addaudithook(lambda e, args: heard.append(args) if listening and e == "sage_wheels.exchange" else None)
    filesystem.exchange(str(one), str(other))
    listening = False
    assert one.read_text() == "second"
    assert (other / "file").read_text() == "first"
    assert heard == [(str(one), str(other))]


def test_exchange_with_nothing_fails_and_names_both(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    with pytest.raises(OSError, match="one") as caught:
        filesystem.exchange(str(tmp_path / "one"), str(tmp_path / "other"))
    if caught.value.errno == errno.ENOSYS:
        pytest.skip("this platform has no exchange")
    assert caught.value.errno == errno.ENOENT
    assert caught.value.filename2 == str(tmp_path / "other")
    assert os.listdir(tmp_path) == ["one"]


def test_can_exchange_cleans_up_after_a_failure(tmp_path: Path) -> None:
    (tmp_path / "exchange-b").mkdir()
    with pytest.raises(FileExistsError):
        filesystem.can_exchange(str(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_sync_of_what_is_there_and_of_what_is_not(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    filesystem.sync_file_system(str(tmp_path))
    filesystem.sync_path(str(tmp_path))
    filesystem.sync_path(str(tmp_path / "file"))
    assert (tmp_path / "file").read_text() == "x"
    with pytest.raises(FileNotFoundError):
        filesystem.sync_path(str(tmp_path / "gone"))
