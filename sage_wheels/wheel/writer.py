"""Write the files of one wheel into an image, one pass over each member."""

from __future__ import annotations

import hashlib
import os
import sys
from typing import NamedTuple

from sage_wheels.errors import WheelRefused
from sage_wheels.installed import record
from sage_wheels.wheel import scripts
from sage_wheels.wheel.archive import Damaged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from sage_wheels.wheel.archive import Member
    from sage_wheels.wheel.codes import Codes
    from sage_wheels.wheel.layout import Layout
    from sage_wheels.wheel.wheel import Wheel

INSTALLER = b"sage-wheels\n"
# A piece of work for one process: big enough to pay for the queue, small enough that no process waits for another.
_UNIT_SIZE = 1 << 20  # bytes
# Compiling takes a hundred times the memory of the source; the largest real sources are tables of 5 MB.
_LARGEST_SOURCE = 8 << 20  # bytes


class Unit(NamedTuple):
    """A piece of work: some members of one wheel, and which piece of it they are."""

    writer: Writer
    name: str
    members: list[Member]


class Written(NamedTuple):
    """What one process has to tell of the unit that it wrote, beyond what RECORD said of it.

    `changed` and `compiled` are by path relative to the prefix; `cached` is whether new byte-code went into the cache.
    """

    changed: dict[str, record.Row]
    compiled: list[str]
    cached: bool


class Writer:
    """Writes the members of one wheel below `tree`, to where its layout puts them.

    `skipped` are goals that another wheel of the same image writes, with the same content, and what RECORD says of
    them; `compiled` those that have byte-code, whoever wrote it. `rows` becomes RECORD.
    """

    def __init__(self, layout: Layout, tree: str, umask: int, *, compiling: bool) -> None:
        self.layout = layout
        self.tree = tree
        self.skipped: dict[str, record.Row] = {}
        self.rows: dict[str, record.Row] = {}
        self.compiled: list[str] = []
        self.not_compiled = 0
        self.cache_tag = sys.implementation.cache_tag
        self._wheel = layout.wheel
        self._umask = umask
        self._compiling = compiling

    def units(self) -> Iterator[Unit]:
        unit: list[Member] = []
        size = start = 0
        for number, member in enumerate(self._wheel.archive.members.values()):
            goal = self.layout.goals.get(member.name)
            if goal is None or goal in self.skipped or goal == f"{self.layout.dist_info}/RECORD":
                continue
            unit.append(member)
            size += member.size + 4096  # creating a file costs as much as writing a few thousand bytes
            if size > _UNIT_SIZE:
                yield Unit(self, f"{start}-{number}", unit)
                unit, size, start = [], 0, number + 1
        if unit:
            yield Unit(self, f"{start}-", unit)

    def write(self, unit: Unit) -> Written:
        """Write a unit. Raises `WheelRefused` if a member is not what its headers and RECORD say, `OSError`."""
        codes = None
        if self._compiling:
            from sage_wheels.wheel.codes import Codes

            codes = Codes(self._wheel, unit.name)
        result = Written({}, [], False)
        try:
            for member in unit.members:
                self._write_member(member, result, codes)
        except Damaged as error:
            raise self._wheel.damaged(error) from error
        return result._replace(cached=codes is not None and codes.keep())

    def take(self, written: Written) -> None:
        """Note what a process has written."""
        self.rows.update(written.changed)
        self.compiled.extend(written.compiled)

    def _write_member(self, member: Member, result: Written, codes: Codes | None) -> None:
        wheel, goal = self._wheel, self.layout.goals[member.name]
        row = wheel.rows.get(member.name)
        algorithm = row.digest.partition("=")[0] if row and row.digest else "sha256"
        digest = hashlib.new(algorithm) if algorithm != "sha256" else hashlib.sha256()
        chunks = wheel.archive.chunks(member)
        is_script = wheel.place(member.name)[0] == "scripts"
        first = next(chunks, b"")
        digest.update(first)
        head = scripts.with_shebang(first, self.layout.prefix.python) if is_script else first
        rewritten = hashlib.sha256(head) if head is not first else None
        path = f"{self.tree}/{goal}"
        try:
            fd = self._create(path, executable=member.executable or is_script)
        except FileExistsError as error:
            raise same_on_disk(wheel, goal) from error
        try:
            size = write_all(fd, head)
            for chunk in chunks:
                digest.update(chunk)
                if rewritten:
                    rewritten.update(chunk)
                size += write_all(fd, chunk)
            if row and row.digest and record.encode(algorithm, digest.digest()) != row.digest.rstrip("="):
                raise wheel.refused(f"the content of {member.name!r} does not have the hash in its RECORD")
            if rewritten:
                result.changed[goal] = record.Row(goal, record.encode("sha256", rewritten.digest()), size)
            if codes and goal.endswith(".py") and size <= _LARGEST_SOURCE:
                source = head if size == len(head) else os.pread(fd, size, 0)
                final_path = self.layout.prefix.path(goal)
                if codes.write(path, source, final_path, None if rewritten else member.name, os.fstat(fd)):
                    result.compiled.append(goal)
        finally:
            os.close(fd)

    def _create(self, path: str, *, executable: bool) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags, 0o777 if executable else 0o666)
        if executable and self._umask & 0o111:
            os.fchmod(fd, (0o777 & ~self._umask) | 0o111)  # pip: executable is executable, whatever the umask
        return fd

    def finish(self, direct_url: dict[str, Any] | None, *, requested: bool) -> None:
        """Write the scripts of the entry points, INSTALLER, REQUESTED, direct_url.json and, last, RECORD."""
        dist_info = self.layout.dist_info
        for goal, content in self.layout.scripts.items():
            if goal not in self.skipped:
                self._write_generated(goal, content, executable=True)
        self._write_generated(f"{dist_info}/INSTALLER", INSTALLER)
        if requested:
            self._write_generated(f"{dist_info}/REQUESTED", b"")
        if direct_url is not None:
            import json

            self._write_generated(f"{dist_info}/direct_url.json", json.dumps(direct_url, sort_keys=True).encode())
        self._add_rows()
        rows = (row._replace(path=self.layout.relative(row.path)) for row in self.rows.values())
        own = self.rows[f"{dist_info}/RECORD"]
        self._write_generated(f"{dist_info}/RECORD", record.format_rows(rows))
        self.rows[f"{dist_info}/RECORD"] = own

    def _write_generated(self, goal: str, content: bytes, *, executable: bool = False) -> None:
        path = f"{self.tree}/{goal}"
        try:
            fd = self._create(path, executable=executable)
        except FileExistsError:
            os.unlink(path)  # a dist-info that brings its own INSTALLER or direct_url.json: pip writes over it, too
            fd = self._create(path, executable=executable)
        try:
            write_all(fd, content)
        finally:
            os.close(fd)
        self.rows[goal] = record.row_of(goal, content)

    def _add_rows(self) -> None:
        """Complete `rows` with the members as RECORD has them, the byte-code, and RECORD itself."""
        self.rows.update(self.skipped)
        for member, goal in self.layout.goals.items():
            if goal not in self.rows:
                row = self._wheel.rows.get(member, record.Row(member))
                self.rows[goal] = row._replace(path=goal)
        if self.compiled:
            from sage_wheels.wheel import bytecode

            for goal in self.compiled:
                path = bytecode.cache_path(goal, self.cache_tag)
                self.rows[path] = record.Row(path)
        self.rows[f"{self.layout.dist_info}/RECORD"] = record.Row(f"{self.layout.dist_info}/RECORD")


def same_on_disk(wheel: Wheel, goal: str) -> WheelRefused:
    """Two names of a wheel that a file system takes for one, because it folds case or normalises (macOS)."""
    return wheel.refused(
        f"another of its members has the name {goal}, too, as the file system of the prefix sees it",
        "put the prefix on a file system that tells upper from lower case",
    )


def write_all(fd: int, data: bytes) -> int:
    """Write all of `data` (one write(2) may take less); its length."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    return len(data)
