"""Write the files of one wheel to its image, with one pass over each member."""

from __future__ import annotations

import contextlib
import os
import sys

from sage_wheels.archive.strict_zip import Damaged
from sage_wheels.errors import WheelRefused
from sage_wheels.fs import digest as digests
from sage_wheels.installed import record, unchanged
from sage_wheels.named import NamedTuple
from sage_wheels.prefix.paths import below, parent, plain
from sage_wheels.requirements import direct_url
from sage_wheels.wheel import workers
from sage_wheels.wheel.groups import Placed, without

TYPE_CHECKING = False
if TYPE_CHECKING:
    import hashlib
    from collections.abc import Container, Iterator
    from typing import Any

    from sage_wheels.archive.strict_zip import Checksum
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.store.store import Store
    from sage_wheels.wheel.codes import Codes
    from sage_wheels.wheel.groups import Group
    from sage_wheels.wheel.layout import Layout
    from sage_wheels.wheel.unpacked import Unpacked
    from sage_wheels.wheel.wheel import Wheel

INSTALLER = b"sage-wheels\n"
_MADE = ("INSTALLER", "REQUESTED", "RECORD")  # in each .dist-info, beside direct_url.json
# The size of a piece of work for a worker: large compared with the cost of the queue, small enough for an even load.
_UNIT_SIZE = 1 << 20  # bytes
_FILE_COST = 4096  # bytes; to create a file takes as long as to write a few thousand bytes
_LINK_COST = 1024  # bytes, for a link to a file in the store
# Larger sources are not compiled: that needs a hundred times their size. The largest real sources have 5 MB.
_LARGEST_SOURCE = 8 << 20  # bytes
LARGE = 8 << 20  # bytes; no smaller member is written by two threads


class Unit(NamedTuple):
    """A piece of work for one worker: some members of one wheel, and the name of the piece.

    In the time that it `cost`s, as many bytes could be written.
    """

    writer: Writer
    name: str
    parts: list[Placed]
    cost: int

    def write(self, limit: int | None = None) -> Written:
        return self.writer.write(self, limit)

    def sources(self) -> int:
        """The bytes of the sources in it."""
        return sum(
            each.group.sizes[index]
            for each in self.parts
            for index, path in zip(each.indexes, each.paths, strict=True)
            if path.endswith(".py")
        )


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
    byte-code. Sources in the directories `uncached` get no byte-code.
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
        uncached: Container[PrefixPath] = (),
    ) -> None:
        self.layout = layout
        self.tree = tree
        self.skipped = skipped
        self.placed = without(layout.placed, skipped)
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
        self._uncached = uncached

    def take_compiled(self, sources: set[PrefixPath]) -> None:
        """Note that those of `sources` which were left out here have byte-code."""
        self.compiled.extend(sorted(sources & self.skipped.keys()))

    def units(self) -> Iterator[Unit]:
        parts: list[Placed] = []
        cost = begin = end = 0
        for each in self.placed:
            costs = self._costs(each)
            if cost + sum(costs) <= _UNIT_SIZE:
                cost, end = cost + sum(costs), end + len(costs)
                parts.append(each)
                continue
            start = 0
            for stop, more in enumerate(costs, 1):
                cost, end = cost + more, end + 1
                if cost > _UNIT_SIZE:
                    parts.append(Placed(each.group, each.indexes[start:stop], each.paths[start:stop]))
                    yield Unit(self, f"{begin}-{end}", parts, cost)
                    parts, cost, begin, start = [], 0, end, stop
            if start < len(each.paths):
                parts.append(Placed(each.group, each.indexes[start:], each.paths[start:]))
        if parts:
            yield Unit(self, f"{begin}-", parts, cost)

    def _costs(self, placed: Placed) -> list[int]:
        """What it costs to write each of the files. Byte-code is kept by the names of units, so if there is any, units
        do not depend on what the store has."""
        if self._unpacked and self._unpacked.has_links and not self._compiling:
            return [_LINK_COST] * len(placed.indexes)
        return [placed.group.sizes[index] + _FILE_COST for index in placed.indexes]

    def write(self, unit: Unit, limit: int | None = None) -> Written:
        """Write a unit; members of more than `limit` bytes by two threads.

        Raises `OSError`, and `WheelRefused` if a member does not match its headers or RECORD.
        """
        codes = None
        if self._compiling:
            from sage_wheels.wheel.codes import Codes

            codes = Codes(self._wheel, unit.name, self._store)
        result = Written({}, [], [], [])
        try:
            with self._unpacked.opened(self.tree) if self._unpacked else contextlib.nullcontext():
                for part in unit.parts:
                    self._write_part(part, result, codes, limit)
        except Damaged as error:
            raise self._wheel.damaged(error) from error
        return result._replace(
            stats=[b"".join(result.stats)],
            kept=[b"".join(result.kept)],
            cached=codes is not None and codes.keep(),
            is_spoiled=self._unpacked is not None and self._unpacked.is_spoiled,
        )

    def _write_part(self, part: Placed, result: Written, codes: Codes | None, limit: int | None) -> None:
        taken = self._take(part, result, codes) if self._unpacked else []
        if len(taken) != len(part.paths):
            for at in sorted({*range(len(part.paths))}.difference(taken)):
                self._write_member(part.group, part.indexes[at], part.paths[at], result, codes, limit)

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

    def _take(self, part: Placed, result: Written, codes: Codes | None) -> list[int]:
        """Take files from the store, where they were verified; returns the positions of those that it has.

        Raises `OSError`.
        """
        assert self._unpacked
        group = part.group
        try:
            taken = self._unpacked.take(part, self.tree, self._mode, self._create)
        except FileExistsError as error:
            name = os.path.basename(error.filename2 or error.filename)
            destination = next(each for each in part.paths if os.path.basename(each) == name)
            raise same_on_disk(self._wheel, destination) from error
        result.stats.extend(taken.stats)
        for at in taken.positions if codes else ():
            destination, index = part.paths[at], part.indexes[at]
            if codes and self._is_compiled(destination, group.sizes[index]):
                path = f"{self.tree}/{destination}"
                with open(path, "rb") as f:
                    source, status = f.read(), os.fstat(f.fileno())
                if codes.write(path, source, self.layout.prefix.path(destination), group.member(index), status):
                    result.compiled.append(destination)
        return taken.positions

    def _write_member(
        self,
        group: Group,
        index: int,
        destination: PrefixPath,
        result: Written,
        codes: Codes | None,
        limit: int | None,
    ) -> None:
        wheel = self._wheel
        member = wheel.archive.members[group.member(index)]
        row = wheel.rows.get(member.name)
        algorithm = row.digest.partition("=")[0] if row and row.digest else "sha256"
        digest = digests.new(algorithm, size=member.size)
        is_launched = member.name in self.layout.launched
        is_script = wheel.is_script(group)
        is_large = limit is not None and member.size > limit and not is_script
        checksum = wheel.archive.checksum(member) if is_large else None
        chunks = wheel.archive.unchecked(member) if checksum else wheel.archive.chunks(member)
        first = next(chunks, b"")
        digest.update(first)
        head = self.layout.rewritten(member.name, first)
        rewritten = digests.sha256(head) if head is not first else None
        path = f"{self.tree}/{destination}"
        try:
            fd = self._create(path, (member.executable or is_script) and not is_launched)
        except FileExistsError as error:
            raise same_on_disk(wheel, destination) from error
        try:
            if checksum:
                checksum.update(first)
                write_all(fd, first)
                found, size = _write_large(fd, digest, checksum, chunks), member.size
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
                kept = self._unpacked.keep(group.first + index, path, fd)
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

    def _create(self, path: str, executable: int) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags, 0o777 if executable else 0o666)
        if executable and self._umask & 0o111:
            os.fchmod(fd, self._mode(executable))
        return fd

    def _mode(self, executable: int) -> int:
        if executable:
            return (0o777 & ~self._umask) | 0o111  # pip: executable is executable, whatever the umask
        return 0o666 & ~self._umask

    def can_finish_early(self) -> bool:
        """Whether `finish` may be called before all units are written, if nothing is compiled: they will be as the
        store knows them from RECORD, and none of them is overwritten."""
        made = {below(self.layout.dist_info, name) for name in (*_MADE, direct_url.FILE)}
        return self._wheel.index is not None and not any(
            self._wheel.is_script(each.group)
            or (each.directory == self.layout.dist_info and not made.isdisjoint(each.paths))
            for each in self.placed
        )

    def finish(self, origin: dict[str, Any] | None, *, requested: bool, installer: bytes = INSTALLER) -> Written:
        """Write the scripts of the entry points, INSTALLER, REQUESTED, direct_url.json with `origin` (if there is one)
        and, last, RECORD; returns the rows of these files."""
        dist_info = self.layout.dist_info
        for destination, content in self.layout.scripts.items():
            if destination not in self.skipped:
                self._write_generated(destination, content, executable=True)
        self._write_generated(below(dist_info, "INSTALLER"), installer)
        if requested:
            self._write_generated(below(dist_info, "REQUESTED"), b"")
        if origin is not None:
            self._write_generated(below(dist_info, direct_url.FILE), direct_url.to_bytes(origin))
        self._add_rows()
        own = below(dist_info, "RECORD")
        told = [(self.layout.relative(path), record.ending(row)) for path, row in self.rows.items()]
        lines = [(path, record.line(path, end)) for path, end in told]
        for each in self._as_in_wheel():
            lines += self.layout.lines(each)
        self._write_generated(own, record.format_lines(lines))
        return Written(self.rows, [], [], [])

    def files(self) -> list[PrefixPath]:
        """The paths of all files."""
        return [*self.rows, *(path for each in self._as_in_wheel() for path in each.paths)]

    def _as_in_wheel(self) -> list[Placed]:
        """The files whose rows of RECORD are those of the wheel."""
        return without(self.placed, self.rows)

    def _write_generated(self, destination: PrefixPath, content: bytes, *, executable: bool = False) -> None:
        path = f"{self.tree}/{destination}"
        try:
            fd = self._create(path, executable)
        except FileExistsError:
            os.unlink(path)  # the wheel has its own INSTALLER or direct_url.json, which pip overwrites, too
            fd = self._create(path, executable)
        try:
            if executable and self._umask & 0o555:  # pip: everybody may run a launcher, and so must be able to read it
                os.fchmod(fd, self._mode(1) | 0o555)
            write_all(fd, content)
        finally:
            os.close(fd)
        if destination != below(self.layout.dist_info, "RECORD"):
            self.rows[destination] = record.row_of(destination, content)

    def _add_rows(self) -> None:
        """Complete `rows` with what other wheels write, the byte-code, and RECORD itself."""
        self.rows.update(self.skipped)
        if self.compiled:
            from sage_wheels.wheel import bytecode

            for destination in self.compiled:
                path = plain(bytecode.cache_path(destination, self.cache_tag))
                self.rows[path] = record.Row(path)
        own = below(self.layout.dist_info, "RECORD")
        self.rows[own] = record.Row(own)


def _write_large(fd: int, digest: hashlib._Hash, checksum: Checksum, chunks: Iterator[bytes]) -> bytes:
    """Check, hash and write `chunks` in a second thread while they are inflated; returns the digest.

    zlib, hashlib and write(2) release the global interpreter lock.
    """

    def consume(chunk: bytes) -> None:
        workers.leave_if_orphaned()
        checksum.update(chunk)
        digest.update(chunk)
        write_all(fd, chunk)

    def finish() -> bytes:
        checksum.check()
        return digest.digest()

    def beside() -> bytes:
        workers.pass_on(chunks, consume)
        return finish()

    def one_after_the_other() -> bytes:
        for chunk in chunks:
            consume(chunk)
        return finish()

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
