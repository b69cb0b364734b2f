"""Write the image of wheels: their files in final form, in a staging tree with the same directories as the prefix.

In one pass, every member is inflated, hashed, compared with RECORD, written, and byte-compiled from memory. Paths,
contents and modes are the same as with pip (PEP 427, "Installing a wheel"): the mode is 0666, or 0777 if the member is
executable, reduced by the umask; scripts get their shebang; INSTALLER, REQUESTED (PEP 376), direct_url.json (PEP 610)
and RECORD are added; byte-code is listed in RECORD without hash.
"""

from __future__ import annotations

import os
import stat

from sage_wheels.errors import Conflict
from sage_wheels.fs import presence
from sage_wheels.fs.files import current_umask
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import interpreter
from sage_wheels.prefix.locator import Locator
from sage_wheels.prefix.paths import NOWHERE, below, parent
from sage_wheels.wheel import workers
from sage_wheels.wheel.layout import Layout
from sage_wheels.wheel.writer import INSTALLER, LARGE, Unit, Writer, same_on_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterable
    from typing import Any

    from sage_wheels.installed import record
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.store.store import Store
    from sage_wheels.wheel.unpacked import UnpackedWheels
    from sage_wheels.wheel.wheel import Wheel
    from sage_wheels.wheel.writer import Written

_WORTH_A_FORK = 2 << 20  # bytes of work; for less, no worker process is forked
_COMPILE_COST = 20  # to compile a byte takes as long as to write twenty bytes


class Request(NamedTuple):
    """A wheel to install, and the content of its direct_url.json (PEP 610; None: that file is not written).

    `requested` is whether the user named it (PEP 376, REQUESTED). `extras` are the requested ones, normalised.
    `headers` is the name of the directory of its headers; "" stands for the normalised name of the distribution.
    `installer` is the content of INSTALLER; b"" stands for this tool. `origin` is where the wheel came from, for the
    history: a URL or a requirement; "" stands for the URL in `direct_url` or, without one, the path of the wheel.
    `url` is that of the wheel itself: then direct_url.json has this URL and the hash of the wheel.
    """

    wheel: Wheel
    direct_url: dict[str, Any] | None = None
    requested: bool = True
    extras: tuple[str, ...] = ()
    headers: str = ""
    installer: bytes = b""
    origin: str = ""
    url: str = ""

    def told(self) -> dict[str, Any] | None:
        """The content of direct_url.json. Raises `FileOperationFailed` if the wheel cannot be hashed."""
        if not self.url:
            return self.direct_url
        from sage_wheels.requirements import direct_url

        return direct_url.of_archive(self.url, "sha256", self.wheel.digest)


class Finishing(NamedTuple):
    """A piece of work: the files of the wheel of a request that are not in it."""

    writer: Writer
    request: Request
    cost: int = 0

    def write(self, limit: int | None = None) -> Written:
        request = self.request
        return self.writer.finish(request.told(), requested=request.requested, installer=request.installer or INSTALLER)


class Image(NamedTuple):
    """The complete files of one distribution in the staging tree.

    `files` and `dist_info` are paths relative to the prefix, and to the staging tree. `not_compiled` is the number of
    sources without byte-code, because the target interpreter cannot run. `stats` are the entries for
    `installed.unchanged`.
    """

    name: str
    canonical_name: str
    version: str
    dist_info: str
    files: list[PrefixPath]
    not_compiled: int
    stats: bytes


def write_images(
    requests: list[Request],
    prefix: Prefix,
    tree: str,
    *,
    compile_bytecode: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
    locator: Locator | None = None,
    unpacked: UnpackedWheels | None = None,
    store: Store | None = None,
    processes: int | None = None,
    on_uncached: Callable[[list[PrefixPath]], None] = lambda paths: None,
) -> list[Image]:
    """Write the images of all requests into the new directory `tree`, by up to `processes` processes.

    By default, there are as many processes as this one may use processors, and less work is done by this one alone.
    Files of wheels that are `unpacked` already are taken from there, and byte-code from `store`. If two wheels have the
    same file with the same content, it is written once. `on_progress` is called with the number of pieces of work
    begun, and of all pieces, `on_uncached` with what is in the place of directories for byte-code. Raises
    `WheelRefused`, `Conflict` if two wheels have different files of the same path, and `OSError` if a file cannot be
    written.
    """
    processes = processes or workers.processors()
    compiling = compile_bytecode and interpreter.makes_our_bytecode(prefix)
    if compiling:
        from sage_wheels.wheel import codes  # noqa: F401  before the first fork
    locator = locator or Locator(prefix.root)
    layouts = [
        Layout(request.wheel, prefix, compiling=compile_bytecode, headers=request.headers, locator=locator)
        for request in requests
    ]
    sources = [path for layout in layouts for path in layout.sources()] if compile_bytecode else []
    uncached = _blocked_caches(prefix, sources, locator)
    if uncached:
        on_uncached(sorted(uncached.values()))
    writers = _writers(layouts, tree, unpacked, store, uncached, compiling=compiling)
    _make_directories(tree, layouts)
    units = [unit for writer in writers for unit in writer.units()]
    units.sort(key=lambda unit: -unit.cost)  # largest first, for an even load
    work = sum(unit.cost for unit in units) + (_COMPILE_COST - 1) * sum(unit.sources() for unit in units if compiling)
    count = processes if work > _WORTH_A_FORK else 1
    if count > 1 and not all(request.wheel.index for request in requests):
        import hashlib  # noqa: F401  loads OpenSSL once, for all workers
    finishing = [
        Finishing(writer, request)
        for writer, request in zip(writers, requests, strict=True)
        if not compile_bytecode and writer.can_finish_early()
    ]
    # large wheels whose hash direct_url.json will have; others are hashed when somebody asks for it, if at all
    large = [request.wheel for request in requests if request.url and request.wheel.archive.file_size > LARGE]
    hashed = large if count > 1 else []
    pieces: list[Unit | Finishing] = [*finishing, *units]
    written, digests = _work(pieces, hashed, count, on_progress)
    for piece, result in zip(pieces, written, strict=True):
        piece.writer.take(result)
    for wheel, digest in zip(hashed, digests, strict=True):
        wheel.note_digest(digest)
    if unpacked:
        unpacked.finish(done=True)
    if store and any(result.cached for result in written):
        store.tidy()
    if compile_bytecode and not compiling:
        _compile_elsewhere(prefix, tree, writers, store)
    compiled = {destination for writer in writers for destination in writer.compiled}
    for writer in writers:
        writer.take_compiled(compiled)
    done = {piece.writer for piece in finishing}
    for writer, request in zip(writers, requests, strict=True):
        if writer not in done:
            Finishing(writer, request).write()
    return [_image_of(writer) for writer in writers]


def _blocked_caches(prefix: Prefix, sources: Iterable[PrefixPath], locator: Locator) -> dict[PrefixPath, PrefixPath]:
    """The directories of `sources` in which there can be no byte-code, with the path of what is in its place.

    It is a file, or a link that leads out of the prefix or nowhere. pip goes on without byte-code, too, but writes
    through such a link.
    """
    found = {}
    for directory in {parent(path) for path in sources}:
        cache = below(directory, "__pycache__")
        status = presence.lstat(prefix.path(cache))
        if status is None or stat.S_ISDIR(status.st_mode):
            continue
        if locator.directory(cache) is None or not presence.is_directory(prefix.path(cache)):
            found[directory] = cache
    return found


def _writers(
    layouts: list[Layout],
    tree: str,
    unpacked: UnpackedWheels | None,
    store: Store | None,
    uncached: Container[PrefixPath],
    *,
    compiling: bool,
) -> list[Writer]:
    """A writer for each of `layouts`; what two wheels have in common is written by the first one."""
    umask = current_umask()
    return [
        Writer(
            *(layout, tree, umask, skipped),
            compiling=compiling,
            unpacked=unpacked.of(layout.wheel) if unpacked else None,
            store=store,
            uncached=uncached,
        )
        for layout, skipped in zip(layouts, _written_by_others(layouts), strict=True)
    ]


def _work(
    pieces: list[Unit | Finishing], hashed: list[Wheel], count: int, on_progress: Callable[[int, int], None] | None
) -> tuple[list[Written], list[str]]:
    """Write the pieces, and beside that hash the files of the wheels `hashed`, by `count` processes.

    A member with more than its share of the bytes is written by two threads, because nothing else would be left to do
    for the other processes.
    """
    items: list[Unit | Finishing | Wheel] = [*hashed, *pieces]
    share = sum(piece.cost for piece in pieces) // count
    limit = max(LARGE, share) if count > 1 else None

    def work(item: Unit | Finishing | Wheel) -> Written | str:
        return item.write(limit) if isinstance(item, (Unit, Finishing)) else item.digest

    done = workers.share_out(work, items, count, on_item=on_progress)
    return [each for each in done if not isinstance(each, str)], [each for each in done if isinstance(each, str)]


def _image_of(writer: Writer) -> Image:
    wheel = writer.layout.wheel
    return Image(
        wheel.name,
        wheel.canonical_name,
        wheel.version,
        writer.layout.dist_info,
        writer.files(),
        writer.not_compiled,
        b"".join(writer.stats),
    )


def _compile_elsewhere(prefix: Prefix, tree: str, writers: list[Writer], store: Store | None) -> None:
    """Let the target interpreter compile the byte-code of all wheels; if it cannot run, there is no byte-code."""
    from sage_wheels.wheel import codes

    wheels = [(writer.layout.wheel, writer.sources()) for writer in writers if writer.sources()]
    made = codes.compile_elsewhere(prefix, tree, wheels, store) if wheels else None
    if made:
        for writer in writers:
            writer.take_bytecode(*made)
    elif wheels:
        for writer in writers:
            writer.do_without_bytecode()
        brought = {path for writer in writers for each in writer.layout.placed for path in each.paths}
        codes.remove_bytecode(tree, [source for writer in writers for source in writer.layout.sources()], brought)


def _make_directories(tree: str, layouts: list[Layout]) -> None:
    os.mkdir(tree)
    for directory in sorted({each for layout in layouts for each in layout.directories}):
        try:
            os.mkdir(f"{tree}/{directory}")
        except FileExistsError as error:
            raise same_on_disk(layouts[-1].wheel, directory) from error


def _written_by_others(layouts: list[Layout]) -> list[dict[PrefixPath, record.Row]]:
    """For each layout, the rows of the files that an earlier one has, too; so each file is written once.

    Raises `Conflict` if two have different content for a path.
    """
    if len(layouts) < 2:
        return [{} for _ in layouts]
    directories: dict[PrefixPath, Layout] = {}
    common = {NOWHERE}
    for layout in layouts:
        common.update(each for each in layout.directories if directories.setdefault(each, layout) is not layout)
    owners: dict[PrefixPath, tuple[Layout, str]] = {}
    found = []
    for layout in layouts:
        shared: dict[PrefixPath, record.Row] = {}
        for path, row in layout.expected_rows(generated=True, inside=common).items():
            if parent(path) not in common:
                continue
            first = owners.setdefault(path, (layout, row.digest))
            if first[0] is layout:
                continue
            if not row.digest or row.digest != first[1]:
                raise _conflict(first[0], layout, path)
            shared[path] = row
        found.append(shared)
    for path in owners.keys() & directories.keys():
        raise _conflict(owners[path][0], directories[path], path)
    return found


def _conflict(one: Layout, other: Layout, path: PrefixPath) -> Conflict:
    return Conflict(
        f"{one.wheel.name} and {other.wheel.name} both have {path}, with different content",
        "install only one of them, or one after the other with --on-conflict overwrite",
    )
