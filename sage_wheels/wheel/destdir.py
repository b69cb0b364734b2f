"""Write the images of wheels below a DESTDIR, to make packages of an operating system.

Nothing else is written: no lock, no state, no cache. The images are first written to a temporary directory in the
DESTDIR; then conflicts with existing files are looked for; then the images are moved to their final paths. If
SOURCE_DATE_EPOCH is set, every file and every new directory has that time, and the result is reproducible.
"""

from __future__ import annotations

import contextlib
import os
import stat

from sage_wheels import environment
from sage_wheels.errors import Conflict, FileOperationFailed, InterpreterError, UsageError
from sage_wheels.fs import presence
from sage_wheels.fs.deletion import delete_tree
from sage_wheels.fs.files import has_same_content
from sage_wheels.installed import record
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import interpreter
from sage_wheels.prefix.locator import Locator
from sage_wheels.prefix.paths import plain, relative
from sage_wheels.wheel import bytecode, image, tags, workers
from sage_wheels.wheel.wheel import refuse_twice

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.prefix import Prefix
    from sage_wheels.wheel.image import Image
    from sage_wheels.wheel.wheel import Wheel

_PIECE = 64 << 10  # bytes of sources that one process compiles at a time: about ten milliseconds
_WORTH_A_FORK = 128 << 10  # bytes of sources; for less, all are compiled by this process


class StagingOptions(NamedTuple):
    """Options: `optimize` are the optimisation levels of byte-code, an empty tuple for none; `invalidation_mode` is a
    mode of PEP 552 by its name in `compileall`, or "" for the default of py_compile; `installer` the text of INSTALLER.
    """

    optimize: tuple[int, ...] = (0,)
    invalidation_mode: str = ""
    installer: str = "sage-wheels"
    ignore_requires_python: bool = False


def stage(wheels: list[Wheel], prefix: Prefix, destdir: str, options: StagingOptions) -> list[Image]:
    """Write `wheels` below `destdir`; if a different file exists already, nothing is written.

    Raises `UsageError` for two wheels of one project, `WheelRefused`, `Conflict`, `InterpreterError` if the byte-code
    cannot be made, and `FileOperationFailed`.
    """
    refuse_twice(wheels)
    for wheel in wheels:
        tags.check_fits(wheel, prefix, ignore_requires_python=options.ignore_requires_python)
    destdir = os.path.abspath(destdir)
    root = os.path.join(destdir, prefix.root.lstrip("/"))
    try:
        os.makedirs(destdir, exist_ok=True)
        with _temporary_directory(destdir) as own:
            tree = f"{own}/new"
            requests = [image.Request(wheel, requested=False) for wheel in wheels]
            images = image.write_images(requests, prefix, tree, compile_bytecode=False, locator=Locator(root))
            epoch = _epoch()
            if epoch is not None:
                _set_times(tree, epoch)
            elif os.path.isdir(root):
                _take_times(images, tree, root)
            for each in images:
                compiled = _compile(each, prefix, tree, options) if options.optimize else []
                _complete_record(each, tree, compiled, options.installer)
                each.files.extend(map(plain, compiled))
            if epoch is not None:
                _set_times(tree, epoch)
            moves = list(_moves(tree, root))
            for directory in _missing(destdir, root):
                os.mkdir(directory)
                if epoch is not None:
                    os.utime(directory, (epoch, epoch))
            for source, destination in moves:
                os.rename(source, destination)
            if epoch is not None:
                for directory in {os.path.dirname(destination) for _, destination in moves}:
                    os.utime(directory, (epoch, epoch))
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"writing below {destdir}") from error
    return images


@contextlib.contextmanager
def _temporary_directory(destdir: str) -> Iterator[str]:
    path = f"{destdir}/.sage-wheels-{os.getpid()}-{os.urandom(4).hex()}"
    os.mkdir(path, 0o700)
    try:
        yield path
    finally:
        delete_tree(path)


def _epoch() -> int | None:
    text = environment.get(environment.SOURCE_DATE_EPOCH)
    if not text:
        return None
    if not text.isascii() or not text.isdigit():
        raise UsageError(f"SOURCE_DATE_EPOCH is {text!r}, which is no number of seconds", "correct it")
    return int(text)


def _set_times(tree: str, epoch: int) -> None:
    for directory, names in presence.files_below(tree):
        for name in names:
            os.utime(os.path.join(directory, name), (epoch, epoch))
        os.utime(directory, (epoch, epoch))


def _take_times(images: list[Image], tree: str, root: str) -> None:
    """Give each source that is already in `root` the same time as there, so that its byte-code is the same, too."""
    for path in [path for each in images for path in each.files if path.endswith(".py")]:
        source, there = f"{tree}/{path}", f"{root}/{path}"
        with contextlib.suppress(FileNotFoundError, NotADirectoryError):
            if _is_same(source, there):
                status = os.lstat(there)
                os.utime(source, ns=(status.st_atime_ns, status.st_mtime_ns))


def _compile(one: Image, prefix: Prefix, tree: str, options: StagingOptions) -> list[str]:
    """Compile the byte-code of an image; returns the paths of the new files, relative to the prefix."""
    sources = [path for path in one.files if path.endswith(".py")]
    jobs: list[tuple[str, str, int]] = [
        (f"{tree}/{path}", prefix.path(path), level) for path in sources for level in options.optimize
    ]
    if not jobs:
        return []
    mode = options.invalidation_mode or environment.bytecode_mode()
    tag = f"cpython-{prefix.version[0]}{prefix.version[1]}"
    if interpreter.makes_our_bytecode(prefix):
        pieces, size = _pieces(jobs)

        def work(piece: list[tuple[str, str, int]]) -> list[bool]:
            return [bytecode.compile_file(*each, mode=mode) for each in piece]

        count = workers.processors() if size > _WORTH_A_FORK else 1
        done = [each for answer in workers.share_out(work, pieces, count) for each in answer]
    else:
        tag, done = _compile_elsewhere(prefix, jobs, mode)
    return [
        bytecode.cache_path(path, tag, level)
        for (path, level), compiled in zip(((p, n) for p in sources for n in options.optimize), done, strict=True)
        if compiled
    ]


def _pieces(jobs: list[tuple[str, str, int]]) -> tuple[list[list[tuple[str, str, int]]], int]:
    """`jobs` in pieces of work, in their order; and the bytes of sources in all."""
    pieces: list[list[tuple[str, str, int]]] = [[]]
    size = whole = 0
    for job in jobs:
        if size > _PIECE:
            pieces.append([])
            size = 0
        pieces[-1].append(job)
        here = os.path.getsize(job[0])
        size, whole = size + here, whole + here
    return pieces, whole


def _compile_elsewhere(prefix: Prefix, jobs: list[tuple[str, str, int]], mode: str) -> tuple[str, list[bool]]:
    import subprocess

    from sage_wheels.wheel.codes import compiled_by

    try:
        return compiled_by(prefix.python, jobs, mode)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise InterpreterError(f"{prefix.python} makes no byte-code ({error})", "give --no-compile") from error


def _complete_record(one: Image, tree: str, compiled: list[str], installer: str) -> None:
    """Write INSTALLER of an image, and add the byte-code to its RECORD."""
    path = f"{tree}/{one.dist_info}/RECORD"
    with open(path, "rb") as f:
        rows = record.parse(f.read())
    content = f"{installer}\n".encode()
    with open(f"{tree}/{one.dist_info}/INSTALLER", "wb") as f:
        f.write(content)
    library = os.path.dirname(one.dist_info)
    own = f"{os.path.basename(one.dist_info)}/INSTALLER"
    rows = [record.row_of(own, content) if row.path == own else row for row in rows]
    there = {row.path for row in rows}
    new = [relative(each, library) for each in compiled]
    rows += [record.Row(each) for each in new if each not in there]
    with open(path, "wb") as f:
        f.write(record.format_rows(rows))


def _moves(tree: str, root: str) -> Iterator[tuple[str, str]]:
    """The renames that move the content of `tree` to `root`; a directory that does not exist there is moved as a whole.

    Raises `Conflict` if a file exists already and is different.
    """
    waiting = [(tree, root)]
    while waiting:
        source, destination = waiting.pop()
        try:
            status = os.lstat(destination)
        except FileNotFoundError:
            yield source, destination
            continue
        if stat.S_ISDIR(status.st_mode) and os.path.isdir(source):
            waiting += [
                (os.path.join(source, name), os.path.join(destination, name)) for name in sorted(os.listdir(source))
            ]
        elif not _is_same(source, destination):
            raise Conflict(f"{destination} is there already, and differs", "empty the DESTDIR, or take that file out")


def _is_same(source: str, destination: str) -> bool:
    same_mode = stat.S_IMODE(os.lstat(source).st_mode) == stat.S_IMODE(os.lstat(destination).st_mode)
    return same_mode and has_same_content(source, destination)


def _missing(destdir: str, root: str) -> list[str]:
    """The directories between `destdir` and `root` that do not exist, outermost first. Raises `Conflict` for a link."""
    found, path = [], destdir
    for name in os.path.relpath(root, destdir).split("/")[:-1]:
        path = os.path.join(path, name)
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISDIR(os.lstat(path).st_mode):
                raise Conflict(f"{path} is no directory", "take it out of the DESTDIR")
            continue
        found.append(path)
    return found
