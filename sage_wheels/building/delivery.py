"""Put a finished wheel into a wheelhouse: whole, by one rename, whoever else reads or writes there."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil

from sage_wheels.errors import FileOperationFailed


def deliver(wheel: str, wheel_dir: str) -> str:
    """Move the file `wheel` into `wheel_dir`, which is made if need be; its new path.

    A wheel of the same name is replaced; who has it open keeps the old one. Who may read the new one is for the umask
    to say: the backend has run with another, and may have made a file that is private. Raises `FileOperationFailed`.
    """
    destination = os.path.join(wheel_dir, os.path.basename(wheel))
    try:
        os.chmod(wheel, 0o666 & ~_umask())
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


def _umask() -> int:
    old = os.umask(0o077)
    os.umask(old)
    return old


def differing_members(wheel: str, other: str) -> list[str]:
    """The names of the members that are not the same in two wheels, but for RECORD, which follows from the others."""
    import zipfile

    with zipfile.ZipFile(wheel) as one, zipfile.ZipFile(other) as two:
        names = sorted({*one.namelist(), *two.namelist()})
        both = set(one.namelist()) & set(two.namelist())
        different = [name for name in names if name not in both or one.read(name) != two.read(name)]
    return [name for name in different if not name.endswith(".dist-info/RECORD")] or different


def _copy_beside(wheel: str, destination: str) -> None:
    """Copy from another file system under a name that no reader takes for a wheel, then rename."""
    directory, name = os.path.split(destination)
    temporary = os.path.join(directory, f".{name}.{os.getpid()}.part")
    try:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        # never through a link that somebody planted, should everybody be allowed to write there
        fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
        with open(wheel, "rb") as source, os.fdopen(fd, "wb") as target:
            shutil.copyfileobj(source, target)
        os.replace(temporary, destination)
    except BaseException:
        if os.path.exists(temporary):
            os.unlink(temporary)
        raise
