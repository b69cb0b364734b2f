"""Put a finished wheel into a wheelhouse: whole, by one rename, whoever else reads or writes there."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil

from sage_wheels.errors import FileOperationFailed
from sage_wheels.fs.files import current_umask


def deliver(wheel: str, wheel_dir: str) -> str:
    """Move the file `wheel` into `wheel_dir`, which is made if needed. Returns its new path.

    A wheel of the same name is replaced; programs that have it open still read the old one. The umask decides who may
    read the new one: the backend ran with another umask, and may have made a private file. Raises
    `FileOperationFailed`.
    """
    destination = os.path.join(wheel_dir, os.path.basename(wheel))
    try:
        os.chmod(wheel, 0o666 & ~current_umask())
        os.makedirs(wheel_dir, exist_ok=True)
        try:
            os.replace(wheel, destination)
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
            _copy_beside(wheel, destination)
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"storing {os.path.basename(wheel)} in {wheel_dir}") from error
    return destination


def differing_members(wheel: str, other: str) -> list[str]:
    """The names of the members that differ between two wheels; without RECORD, unless only RECORD differs."""
    import zipfile

    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(other) as two:
        names = sorted({*one.namelist(), *two.namelist()})
        both = set(one.namelist()) & set(two.namelist())
        different = [name for name in names if name not in both or one.read(name) != two.read(name)]
    return [name for name in different if not name.endswith(".dist-info/RECORD")] or different


def _copy_beside(wheel: str, destination: str) -> None:
    """Copy `wheel` from another file system under a name that is not that of a wheel, then rename it."""
    directory, name = os.path.split(destination)
    temporary = os.path.join(directory, f".{name}.{os.getpid()}.part")
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        # a new file, never through a link: other users may be allowed to write in that directory
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with open(wheel, "rb") as source, os.fdopen(fd, "wb") as target:
            shutil.copyfileobj(source, target)
        os.replace(temporary, destination)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
