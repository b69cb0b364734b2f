"""`sage_wheels.fs.mounts`: which file system a path is on, with the mounts of a made-up machine and of this one."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sage_wheels.fs import mounts

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
    assert mounts.type_of_mount(path, MOUNTS) == kind


def test_type_of_mount_without_mounts_is_unknown() -> None:
    assert mounts.type_of_mount("/usr", []) is None


def test_a_local_directory_is_on_no_network(tmp_path: Path) -> None:
    if os.path.exists("/proc/self/mountinfo"):
        with open("/proc/self/mountinfo") as f:
            kind = mounts.type_of_mount(os.path.realpath(tmp_path), f)
        assert mounts.network_type(str(tmp_path)) in (None, kind)
    else:
        assert mounts.network_type(str(tmp_path)) is None
