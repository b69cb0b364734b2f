"""Byte-code that was compiled for a staged source whose like is there already, and stays.

Python uses byte-code only if it names the time at which its source was written (PEP 552); that of the staged one is not
that of the one that stays.
"""

from __future__ import annotations

import os

from sage_wheels.installed.files import source_of_bytecode


def fit(staged: str, there: str) -> None:
    """Give the source `staged`, and the byte-code that was compiled from it, the time of the source `there`.

    The source, too, so that one still fits the other if the next plan has it arrive after all. Raises `OSError`.
    """
    before, after = os.stat(staged), os.stat(there)
    directory, name = os.path.split(staged)
    try:
        found = os.listdir(f"{directory}/__pycache__")
    except FileNotFoundError:
        return
    for each in found:
        if source_of_bytecode(f"__pycache__/{each}") == name:
            _retime(f"{directory}/__pycache__/{each}", _stamp(before), _stamp(after))
    os.utime(staged, ns=(after.st_atime_ns, after.st_mtime_ns))


def _retime(path: str, before: bytes, after: bytes) -> None:
    with open(path, "r+b") as f:
        header = f.read(12)  # magic number, flags, time; what names a hash, or another time, is not of our making
        if header[4:] == bytes(4) + before:
            f.seek(8)
            f.write(after)


def _stamp(status: os.stat_result) -> bytes:
    return (int(status.st_mtime) & 0xFFFFFFFF).to_bytes(4, "little")
