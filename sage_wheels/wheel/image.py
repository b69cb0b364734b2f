"""Write the image of wheels: the finished files as they will stand in the prefix, in one tree of the same shape.

One pass: every member is inflated, hashed, compared with RECORD, written and byte-compiled while it is in memory. The
paths, contents and modes are those that pip gives the same wheel (PEP 427, "Installing a wheel"): files get what the
umask leaves of 0666, and of 0777 if they are executable in the archive; scripts get their shebang; INSTALLER,
REQUESTED (PEP 376), direct_url.json (PEP 610) and RECORD are added; byte-code is listed without hash, as pip does.
"""

from __future__ import annotations

import os
from typing import NamedTuple

from sage_wheels.errors import Conflict
from sage_wheels.prefix import interpreter
from sage_wheels.wheel import workers
from sage_wheels.wheel.layout import Layout, directories_above
from sage_wheels.wheel.writer import Writer, same_on_disk

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sage_wheels.prefix import Prefix
    from sage_wheels.wheel.wheel import Wheel

_WORTH_A_FORK = 2 << 20  # bytes of work
_COMPILE_COST = 20  # compiling a byte takes as long as writing twenty


class Request(NamedTuple):
    """A wheel to install, and what its `.dist-info` shall say of where it came from (PEP 610; None: nothing)."""

    wheel: Wheel
    direct_url: dict[str, Any] | None = None
    requested: bool = True


class Image(NamedTuple):
    """The files of one distribution, written and complete.

    `files` and `dist_info` are relative to the prefix (and to the tree of the image); `not_compiled` counts the
    sources whose byte-code could not be made because the target interpreter cannot run.
    """

    name: str
    canonical_name: str
    version: str
    dist_info: str
    files: list[str]
    not_compiled: int


def write_images(
    requests: list[Request],
    prefix: Prefix,
    tree: str,
    *,
    compile_bytecode: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Image]:
    """Write the images of all requests into the new directory `tree`, using every processor.

    A file that two of them bring with the same content is shared. `on_progress` gets the numbers of pieces of work
    begun and of all of them. Raises `WheelRefused`, `Conflict` if two bring different files for one place, and
    `OSError` of the stage.
    """
    umask = os.umask(0o022)
    os.umask(umask)
    compiling = compile_bytecode and interpreter.makes_our_bytecode(prefix)
    if compiling:
        from sage_wheels.wheel import bytecode_cache, codes  # noqa: F401  before the first fork
    layouts = [Layout(request.wheel, prefix, compiling=compile_bytecode) for request in requests]
    writers = [Writer(layout, tree, umask, compiling=compiling) for layout in layouts]
    _share(writers)
    _make_directories(tree, layouts)
    units = [unit for writer in writers for unit in writer.units()]
    work = sum(
        m.size * (_COMPILE_COST if compiling and m.name.endswith(".py") else 1) for u in units for m in u.members
    )
    count = workers.processors() if work > _WORTH_A_FORK else 1
    written = workers.share_out(lambda unit: unit.writer.write(unit), units, count, on_item=on_progress)
    for unit, result in zip(units, written, strict=True):
        unit.writer.take(result)
    if any(result.cached for result in written):
        bytecode_cache.clean_up()
    if compile_bytecode and not compiling:
        from sage_wheels.wheel.codes import compile_elsewhere

        compile_elsewhere(prefix, tree, writers)
    compiled = {goal for writer in writers for goal in writer.compiled}
    for writer in writers:
        writer.compiled.extend(sorted(compiled & writer.skipped.keys()))
    return [_finish(writer, request) for writer, request in zip(writers, requests, strict=True)]


def _finish(writer: Writer, request: Request) -> Image:
    writer.finish(request.direct_url, requested=request.requested)
    wheel, layout = request.wheel, writer.layout
    return Image(
        wheel.name, wheel.canonical_name, wheel.version, layout.dist_info, list(writer.rows), writer.not_compiled
    )


def _make_directories(tree: str, layouts: list[Layout]) -> None:
    os.mkdir(tree)
    places = [place for layout in layouts for place in (*layout.goals.values(), *layout.scripts)]
    for directory in sorted(directories_above(places)):
        try:
            os.mkdir(f"{tree}/{directory}")
        except FileExistsError as error:
            raise same_on_disk(layouts[-1].wheel, directory) from error


def _share(writers: list[Writer]) -> None:
    """See to it that no two writers write one file. Raises `Conflict` if they would write different ones."""
    if len(writers) < 2:
        return
    owners: dict[str, tuple[Writer, str]] = {}
    for writer in writers:
        for place, row in writer.layout.expected_rows(generated=True).items():
            first = owners.setdefault(place, (writer, row.digest))
            if first[0] is writer:
                continue
            if not row.digest or row.digest != first[1]:
                raise _conflict(first[0], writer, place)
            writer.skipped[place] = row
    for place in directories_above(owners).intersection(owners):
        inside = next(other for other in owners if other.startswith(f"{place}/"))
        raise _conflict(owners[place][0], owners[inside][0], place)


def _conflict(one: Writer, other: Writer, place: str) -> Conflict:
    return Conflict(
        f"{one.layout.wheel.name} and {other.layout.wheel.name} both bring {place}, with different content",
        "install only one of them, or one after the other with --on-conflict overwrite",
    )
