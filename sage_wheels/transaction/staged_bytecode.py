"""Adapt staged byte-code to a source that is already installed with the same content, and stays.

Byte-code contains the modification time of its source (PEP 552), and Python ignores it if that differs. The staged
source and the installed one have different times.
"""

from __future__ import annotations

import os

from sage_wheels.fs import copies
from sage_wheels.installed.files import source_of_bytecode


def fit(staged: str, there: str) -> None:
    """Set the time of the source `there` on the source `staged`, and write it into the byte-code of `staged`.

    The staged source is changed, too, so that it fits its byte-code if a new plan installs it. Raises `OSError`.
    """
    before, after = os.stat(staged), os.stat(there)
    directory, name = os.path.split(staged)
    try:
        found = os.listdir(f"{directory}/__pycache__")
    except FileNotFoundError:
        return
    for each in found:
        if source_of_bytecode(f"__pycache__/{each}") == name:
            _retime(f"{directory}/__pycache__/{each}", _time_in_header(before), _time_in_header(after))
    if before.st_nlink > 1:
        copies.make_own(staged)  # the time of the file in the store stays
    os.utime(staged, ns=(after.st_atime_ns, after.st_mtime_ns))


def _retime(path: str, before: bytes, after: bytes) -> None:
    with open(path, "r+b") as f:
        header = f.read(12)  # magic number, flags, time; a file with a hash or another time was not compiled here
        if header[4:] == bytes(4) + before:
            f.seek(8)
            f.write(after)


def _time_in_header(status: os.stat_result) -> bytes:
    return (int(status.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little")
