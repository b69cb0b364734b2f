"""Write the files of one wheel to its image, with one pass over each member."""

from __future__ import annotations

import os
import sys

from sage_wheels.archive.strict_zip import Damaged
from sage_wheels.errors import WheelRefused
from sage_wheels.fs import digest as digests
from sage_wheels.installed import record, unchanged
from sage_wheels.named import NamedTuple
from sage_wheels.prefix.paths import below, parent, plain
from sage_wheels.wheel import workers

TYPE_CHECKING = False
if TYPE_CHECKING:
    import hashlib
    from collections.abc import Container, Iterator
    from typing import Any

    from sage_wheels.archive.strict_zip import Member
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.store.store import Store
    from sage_wheels.wheel.codes import Codes
    from sage_wheels.wheel.layout import Layout
    from sage_wheels.wheel.unpacked import Unpacked
    from sage_wheels.wheel.wheel import Wheel

INSTALLER = b"sage-wheels\n"
# The size of a piece of work for a worker: large compared with the cost of the queue, small enough for an even load.
_UNIT_SIZE = 1 << 20  # bytes
# Larger sources are not compiled: that needs a hundred times their size. The largest real sources have 5 MB.
_LARGEST_SOURCE = 8 << 20  # bytes
LARGE = 8 << 20  # bytes; a larger member is written by a process with two threads


class Unit(NamedTuple):
    """A piece of work for one worker: some members of one wheel, and the name of the piece.

    `numbers` are the numbers of the members in the archive, from 0.
    """

    writer: Writer
    name: str
    members: list[Member]
    numbers: list[int]


class Written(NamedTuple):
    """The result of writing a unit.

    `changed` has the new rows of files that differ from RECORD, `compiled` the sources with byte-code, both by path in
    the prefix. `cached` is whether new byte-code was stored in the cache; `stats` are entries for
    `installed.unchanged`.
    """

    changed: dict[PrefixPath, record.Row]
    compiled: list[PrefixPath]
    stats: list[bytes]
    kept: list[bytes]
    cached: bool = False
    is_spoiled: bool = False


class Writer:
    """Writes the members of one wheel below `tree`, at the destinations of its layout.

    `skipped` are destinations that another wheel of this transaction writes, with the same content, and their rows.
    `compiled` are sources that have byte-code. `rows` are the rows of the new RECORD; `stats` are entries for
    `installed.unchanged`. `unpacked` is the wheel in the store, if there is one or is to be one. `store` is for
    byte-code. With `alone`, no process is made for a large member.
    Sources in the directories `uncached` get no byte-code.
    """

    def __init__(
        self,
        layout: Layout,
        tree: str,
        umask: int,
        skipped: dict[PrefixPath, record.Row],
        *,
        compiling: bool,
        unpacked: Unpacked | None = None,
        store: Store | None = None,
        alone: bool = False,
        uncached: Container[PrefixPath] = (),
    ) -> None:
        self.layout = layout
        self.tree = tree
        self.skipped = skipped
        self.rows: dict[PrefixPath, record.Row] = {}
        self.compiled: list[PrefixPath] = []
        self.stats: list[bytes] = []
        self.not_compiled = 0
        self.cache_tag = sys.implementation.cache_tag
        self._wheel = layout.wheel
        self._umask = umask
        self._unpacked = unpacked
        self._store = store
        self._compiling = compiling
        self._alone = alone
        self._uncached = uncached

    def take_compiled(self, sources: set[PrefixPath]) -> None:
        """Note that those of `sources` which were left out here have byte-code."""
        self.compiled.extend(sorted(sources & self.skipped.keys()))

    def units(self) -> Iterator[Unit]:
        unit: list[Member] = []
        numbers: list[int] = []
        size = start = 0
        for number, member in enumerate(self._wheel.archive.members.values()):
            destination = self.layout.destinations.get(member.name)
            if destination is None or destination in self.skipped or destination == f"{self.layout.dist_info}/RECORD":
                continue
            unit.append(member)
            numbers.append(number)
            size += member.size + 4096  # to create a file takes as long as to write a few thousand bytes
            if size > _UNIT_SIZE:
                yield Unit(self, f"{start}-{number}", unit, numbers)
                unit, numbers, size, start = [], [], 0, number + 1
        if unit:
            yield Unit(self, f"{start}-", unit, numbers)

    def write(self, unit: Unit) -> Written:
        """Write a unit. Raises `OSError`, and `WheelRefused` if a member does not match its headers or RECORD."""
        codes = None
        if self._compiling:
            from sage_wheels.wheel.codes import Codes

            codes = Codes(self._wheel, unit.name, self._store)
        result = Written({}, [], [], [])
        try:
            for number, member in zip(unit.numbers, unit.members, strict=True):
                if not (self._unpacked and self._take_member(number, member, result, codes)):
                    self._write_member(number, member, result, codes)
        except Damaged as error:
            raise self._wheel.damaged(error) from error
        return result._replace(
            stats=[b"".join(result.stats)],
            kept=[b"".join(result.kept)],
            cached=codes is not None and codes.keep(),
            is_spoiled=self._unpacked is not None and self._unpacked.is_spoiled,
        )

    def take(self, written: Written) -> None:
        """Add the result of a worker."""
        self.rows.update(written.changed)
        self.compiled.extend(written.compiled)
        self.stats.extend(written.stats)
        if self._unpacked:
            self._unpacked.add(b"".join(written.kept), is_spoiled=written.is_spoiled)

    def sources(self) -> list[PrefixPath]:
        """The sources that this writer writes and that may have byte-code, as paths relative to the prefix."""
        found = (each for each in self.layout.sources() if each not in self.skipped)
        return [each for each in found if parent(each) not in self._uncached]

    def take_bytecode(self, cache_tag: str, compiled: set[str]) -> None:
        """Note that an interpreter with `cache_tag` has `compiled` these sources, of any wheel."""
        self.cache_tag = cache_tag
        self.compiled.extend(each for each in self.sources() if each in compiled)

    def do_without_bytecode(self) -> None:
        """Note that no source could be compiled."""
        self.not_compiled = len(self.layout.sources())

    def _take_member(self, number: int, member: Member, result: Written, codes: Codes | None) -> bool:
        """Take a member from the store, where it was verified; False if the store has none. Raises `OSError`."""
        assert self._unpacked
        destination = self.layout.destinations[member.name]
        path = f"{self.tree}/{destination}"
        try:
            taken = self._unpacked.take(
                *(number, path, self._mode(executable=member.executable)),
                lambda: self._create(path, executable=member.executable),
            )
        except FileExistsError as error:
            raise same_on_disk(self._wheel, destination) from error
        if taken is None:
            return False
        row = self._wheel.rows[member.name]
        result.stats.append(unchanged.entry(taken.status, row.digest, linked=taken.is_link))
        if codes and self._is_compiled(destination, member.size):
            with open(path, "rb") as f:
                source = f.read()
            if codes.write(path, source, self.layout.prefix.path(destination), member.name, taken.status):
                result.compiled.append(destination)
        return True

    def _write_member(self, number: int, member: Member, result: Written, codes: Codes | None) -> None:
        wheel, destination = self._wheel, self.layout.destinations[member.name]
        row = wheel.rows.get(member.name)
        algorithm = row.digest.partition("=")[0] if row and row.digest else "sha256"
        digest = digests.new(algorithm, size=member.size)
        chunks = wheel.archive.chunks(member)
        is_launched = member.name in self.layout.launched
        is_script = wheel.scheme_and_path(member.name)[0] == "scripts"
        first = next(chunks, b"")
        digest.update(first)
        head = self.layout.rewritten(member.name, first)
        rewritten = digests.sha256(head) if head is not first else None
        path = f"{self.tree}/{destination}"
        try:
            fd = self._create(path, executable=(member.executable or is_script) and not is_launched)
        except FileExistsError as error:
            raise same_on_disk(wheel, destination) from error
        try:
            if member.size > LARGE and not is_script and not self._alone:
                write_all(fd, first)
                found, size = _write_large(fd, digest, chunks), member.size
            else:
                size = write_all(fd, head)
                for chunk in chunks:
                    digest.update(chunk)
                    if rewritten:
                        rewritten.update(chunk)
                    size += write_all(fd, chunk)
                found = digest.digest()
            if row and row.digest and record.encode(algorithm, found) != row.digest.rstrip("="):
                raise wheel.wrong_hash(member)
            if rewritten:
                result.changed[destination] = record.Row(destination, record.encode("sha256", rewritten.digest()), size)
            is_link = False
            if self._unpacked and row and row.digest and not is_script and not destination.endswith(".pyc"):
                kept = self._unpacked.keep(number, path, fd)
                result.kept.append(kept)
                is_link = bool(kept) and self._unpacked.are_links
            status = os.fstat(fd)
            if listed := result.changed.get(destination, row):
                result.stats.append(unchanged.entry(status, listed.digest, linked=is_link))
            if codes and self._is_compiled(destination, size):
                source = head if size == len(head) else os.pread(fd, size, 0)
                final_path = self.layout.prefix.path(destination)
                if codes.write(path, source, final_path, None if rewritten else member.name, status):
                    result.compiled.append(destination)
        finally:
            os.close(fd)

    def _is_compiled(self, path: PrefixPath, size: int) -> bool:
        """Whether the file at `path` is a source that gets byte-code."""
        return path.endswith(".py") and size <= _LARGEST_SOURCE and parent(path) not in self._uncached

    def _create(self, path: str, *, executable: bool) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags, 0o777 if executable else 0o666)
        if executable and self._umask & 0o111:
            os.fchmod(fd, self._mode(executable=True))
        return fd

    def _mode(self, *, executable: bool) -> int:
        if executable:
            return (0o777 & ~self._umask) | 0o111  # pip: executable is executable, whatever the umask
        return 0o666 & ~self._umask

    def finish(self, direct_url: dict[str, Any] | None, *, requested: bool, installer: bytes = INSTALLER) -> None:
        """Write the scripts of the entry points, INSTALLER, REQUESTED, direct_url.json and, last, RECORD."""
        dist_info = self.layout.dist_info
        for destination, content in self.layout.scripts.items():
            if destination not in self.skipped:
                self._write_generated(destination, content, executable=True)
        self._write_generated(below(dist_info, "INSTALLER"), installer)
        if requested:
            self._write_generated(below(dist_info, "REQUESTED"), b"")
        if direct_url is not None:
            from sage_wheels.requirements.direct_url import FILE, to_bytes

            self._write_generated(below(dist_info, FILE), to_bytes(direct_url))
        self._add_rows()
        rows = (record.Row(self.layout.relative(path), row.digest, row.size) for path, row in self.rows.items())
        own = self.rows[below(dist_info, "RECORD")]
        self._write_generated(below(dist_info, "RECORD"), record.format_rows(rows))
        self.rows[below(dist_info, "RECORD")] = own

    def _write_generated(self, destination: PrefixPath, content: bytes, *, executable: bool = False) -> None:
        path = f"{self.tree}/{destination}"
        try:
            fd = self._create(path, executable=executable)
        except FileExistsError:
            os.unlink(path)  # the wheel has its own INSTALLER or direct_url.json, which pip overwrites, too
            fd = self._create(path, executable=executable)
        try:
            if executable and self._umask & 0o555:  # pip: everybody may run a launcher, and so must be able to read it
                os.fchmod(fd, self._mode(executable=True) | 0o555)
            write_all(fd, content)
        finally:
            os.close(fd)
        self.rows[destination] = record.row_of(destination, content)

    def _add_rows(self) -> None:
        """Complete `rows` with the members as RECORD has them, the byte-code, and RECORD itself."""
        self.rows.update(self.skipped)
        for member, destination in self.layout.destinations.items():
            if destination not in self.rows:
                row = self._wheel.rows.get(member, record.Row(member))
                self.rows[destination] = record.Row(destination, row.digest, row.size)
        if self.compiled:
            from sage_wheels.wheel import bytecode

            for destination in self.compiled:
                path = plain(bytecode.cache_path(destination, self.cache_tag))
                self.rows[path] = record.Row(path)
        own = below(self.layout.dist_info, "RECORD")
        self.rows[own] = record.Row(own)


def _write_large(fd: int, digest: hashlib._Hash, chunks: Iterator[bytes]) -> bytes:
    """Write `chunks` and hash them in a second thread while they are inflated; returns the digest.

    zlib, hashlib and write(2) release the global interpreter lock.
    """
    parent = os.getpid()

    def consume(chunk: bytes) -> None:
        workers.leave_if_orphaned(parent)
        digest.update(chunk)
        write_all(fd, chunk)

    def beside() -> bytes:
        workers.pass_on(chunks, consume)
        return digest.digest()

    def one_after_the_other() -> bytes:
        for chunk in chunks:
            digest.update(chunk)
            write_all(fd, chunk)
        return digest.digest()

    return workers.apart(beside, one_after_the_other)


def same_on_disk(wheel: Wheel, destination: PrefixPath) -> WheelRefused:
    """The error for two names in a wheel that are the same file on this file system, which ignores case (macOS)."""
    return wheel.refused(
        f"another of its members has the name {destination}, too, as the file system of the prefix sees it",
        "put the prefix on a file system that distinguishes upper and lower case",
    )


def write_all(fd: int, data: bytes) -> int:
    """Write all of `data`, by several write(2) if need be; returns its length."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    return len(data)
