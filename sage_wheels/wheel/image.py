"""Write the image of wheels: the finished files as they will stand in the prefix, in a tree of the same shape.

One pass: every member is inflated, hashed, compared with RECORD, written and byte-compiled while it is in memory. The
paths, contents and modes are those that pip gives the same wheel (PEP 427, "Installing a wheel"): files get what the
umask leaves of 0666, and of 0777 if they are executable in the archive; scripts get their shebang; INSTALLER,
REQUESTED (PEP 376), direct_url.json (PEP 610) and RECORD are added; byte-code is listed without hash, as pip does.
"""

from __future__ import annotations

import hashlib
import os
import sys
from typing import NamedTuple

from sage_wheels.errors import WheelRefused
from sage_wheels.installed import record
from sage_wheels.installed.files import is_protected
from sage_wheels.prefix import interpreter
from sage_wheels.wheel import scripts, workers
from sage_wheels.wheel.archive import Damaged
from sage_wheels.wheel.wheel import Wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import ModuleType
    from typing import Any

    from sage_wheels.prefix import Prefix
    from sage_wheels.wheel.archive import Member

INSTALLER = b"sage-wheels\n"
# A piece of work for one process: big enough to pay for the queue, small enough that no process waits for another.
_UNIT_SIZE = 1 << 20  # bytes
_WORTH_A_FORK = 2 << 20  # bytes of work
_COMPILE_COST = 20  # compiling a byte takes as long as writing twenty
# Compiling takes a hundred times the memory of the source; the largest real sources are tables of 5 MB.
_LARGEST_SOURCE = 8 << 20  # bytes


class Request(NamedTuple):
    """A wheel to install, and what its `.dist-info` shall say of where it came from (PEP 610; None: nothing)."""

    wheel: Wheel
    direct_url: dict[str, Any] | None = None
    requested: bool = True


class Image(NamedTuple):
    """The files of one distribution, written below `tree` and complete.

    `files` and `dist_info` are relative to the prefix (and to `tree`); `not_compiled` counts the sources whose
    byte-code could not be made because the target interpreter cannot run.
    """

    name: str
    canonical_name: str
    version: str
    tree: str
    dist_info: str
    files: list[str]
    not_compiled: int


def write_images(
    requests: list[Request],
    prefix: Prefix,
    directory: str,
    *,
    compile_bytecode: bool = True,
    on_progress: Callable[[int, int], None] | None = None,
) -> list[Image]:
    """Write the image of each request into a subdirectory of `directory`, using every processor.

    `on_progress` gets the numbers of pieces of work begun and of all of them. Raises `WheelRefused`, and `OSError` of
    the stage.
    """
    os_umask = os.umask(0o022)
    os.umask(os_umask)
    inline = compile_bytecode and interpreter.makes_our_bytecode(prefix)
    if inline:
        _bytecode_cache()
    writers = [_Writer(r, prefix, f"{directory}/{n}", inline, os_umask) for n, r in enumerate(requests)]
    for writer in writers:
        writer.make_directories()
    units = [unit for writer in writers for unit in writer.units()]
    work = sum(m.size * (_COMPILE_COST if inline and m.name.endswith(".py") else 1) for u in units for m in u.members)
    count = workers.processors() if work > _WORTH_A_FORK else 1
    written = workers.share_out(lambda unit: unit.writer.write(unit), units, count, on_item=on_progress)
    for unit, result in zip(units, written, strict=True):
        unit.writer.rows.update(result.changed)
        unit.writer.compiled.extend(result.compiled)
    if any(result.cached for result in written):
        _bytecode_cache().clean_up()
    for writer in writers:
        writer.write_scripts()
    if compile_bytecode and not inline:
        _compile_elsewhere(prefix, writers)
    return [writer.finish() for writer in writers]


def expected_rows(wheel: Wheel, prefix: Prefix) -> dict[str, record.Row]:
    """The files that `wheel` would bring, by place, with their hash where the installation does not change them."""
    writer = _Writer(Request(wheel), prefix, "", False, 0)
    rows = {place: record.Row(place) for place in writer.scripts}
    for member, place in writer.goals.items():
        rewritten = place in writer.scripts or wheel.place(member)[0] == "scripts"
        rows[place] = record.Row(place) if rewritten else wheel.rows.get(member, record.Row(place))
    return rows


class _Unit(NamedTuple):
    """A piece of work: some members of one wheel, and which piece of it they are."""

    writer: _Writer
    name: str
    members: list[Member]


class _Written(NamedTuple):
    """What one process has to tell of the unit that it wrote, beyond what RECORD said of it.

    `changed` and `compiled` are by path relative to the prefix; `cached` is whether new byte-code went into the cache.
    """

    changed: dict[str, record.Row]
    compiled: list[str]
    cached: bool


def _bytecode_cache() -> ModuleType:
    """Imported only where byte-code is compiled, and before the first fork."""
    from sage_wheels.wheel import bytecode_cache

    return bytecode_cache


class _Writer:
    """Writes the members of one wheel to where its scheme puts them."""

    def __init__(self, request: Request, prefix: Prefix, tree: str, inline: bool, umask: int) -> None:
        self.wheel = request.wheel
        self.request = request
        self.prefix = prefix
        self.tree = tree
        self.inline = inline
        self.umask = umask
        self.rows: dict[str, record.Row] = {}
        self.compiled: list[str] = []
        self.not_compiled = 0
        self.cache_tag = sys.implementation.cache_tag
        scheme = prefix.scheme
        self.library = getattr(scheme, self.wheel.root_scheme)
        self.directories = {
            **scheme._asdict(),
            # pip's place for headers: a directory for each distribution, of the name that it gives itself
            "headers": f"{scheme.headers}/{self.wheel.name}",
        }
        entry_points = scripts.entry_points(self.wheel, prefix.python, prefix.version)
        self.scripts = {f"{scheme.scripts}/{name}": content for name, content in entry_points}
        goals = {member: self._goal(member) for member in self.wheel.archive.members}
        # old setuptools wrote its own wrappers into .data/scripts, too; the entry points win, as with pip
        self.goals = {member: goal for member, goal in goals.items() if goal not in self.scripts}
        if len(set(self.goals.values())) != len(self.goals):
            raise self.wheel.refused("two of its members go to the same place")
        clash = _directories(goals.values()).intersection([*goals.values(), *self.scripts])
        if clash:
            raise self.wheel.refused(f"it makes {min(clash)} both a file and a directory")
        self.dist_info = f"{self.library}/{self.wheel.dist_info}"

    def _goal(self, member: str) -> str:
        """The path of `member` relative to the prefix."""
        scheme, rest = self.wheel.place(member)
        base = self.directories[scheme]
        goal = f"{base}/{rest}" if base else rest
        directory, _, name = goal.rpartition("/")
        if directory in ("bin", self.prefix.scheme.scripts) and scripts.is_interpreter(name):
            raise self.wheel.refused(f"its {member} would replace the interpreter {goal}", "do not install it")
        if is_protected(self.prefix, goal):
            raise self.wheel.refused(
                f"its {member} would replace {goal}, which is not a package's", "do not install it"
            )
        return goal

    def make_directories(self) -> None:
        os.mkdir(self.tree)
        made = {""}
        for goal in self.goals.values():
            directory = goal.rpartition("/")[0]
            if directory not in made:
                os.makedirs(f"{self.tree}/{directory}", exist_ok=True)
                made.add(directory)

    def units(self) -> Iterator[_Unit]:
        unit: list[Member] = []
        size = start = 0
        record_member = f"{self.wheel.dist_info}/RECORD"
        for number, member in enumerate(self.wheel.archive.members.values()):
            if member.name == record_member or member.name not in self.goals:
                continue
            unit.append(member)
            size += member.size + 4096  # creating a file costs as much as writing a few thousand bytes
            if size > _UNIT_SIZE:
                yield _Unit(self, f"{start}-{number}", unit)
                unit, size, start = [], 0, number + 1
        if unit:
            yield _Unit(self, f"{start}-", unit)

    def write(self, unit: _Unit) -> _Written:
        codes = _Codes(self.wheel, unit) if self.inline else None
        result = _Written({}, [], False)
        try:
            for member in unit.members:
                self._write_member(member, result, codes)
        except Damaged as error:
            raise WheelRefused(
                f"{self.wheel.path} is damaged: {error}", "get the wheel again, or rebuild it"
            ) from error
        return result._replace(cached=codes is not None and codes.keep())

    def _write_member(self, member: Member, result: _Written, codes: _Codes | None) -> None:
        wheel, goal = self.wheel, self.goals[member.name]
        row = wheel.rows.get(member.name)
        algorithm = row.digest.partition("=")[0] if row and row.digest else "sha256"
        digest = hashlib.new(algorithm) if algorithm != "sha256" else hashlib.sha256()
        chunks = wheel.archive.chunks(member)
        is_script = wheel.place(member.name)[0] == "scripts"
        first = next(chunks, b"")
        digest.update(first)
        head = self._with_shebang(first) if is_script else first
        rewritten = hashlib.sha256(head) if head is not first else None
        path = f"{self.tree}/{goal}"
        fd = self._create(path, executable=member.executable or is_script)
        try:
            size = _write_all(fd, head)
            for chunk in chunks:
                digest.update(chunk)
                if rewritten:
                    rewritten.update(chunk)
                size += _write_all(fd, chunk)
            if row and row.digest and record.encode(algorithm, digest.digest()) != row.digest.rstrip("="):
                raise wheel.refused(f"the content of {member.name!r} does not have the hash in its RECORD")
            if rewritten:
                result.changed[goal] = record.Row(goal, record.encode("sha256", rewritten.digest()), size)
            if codes and goal.endswith(".py") and size < _LARGEST_SOURCE:
                source = head if size == len(head) else _read(path)
                if codes.write(path, source, self.prefix.path(goal), None if rewritten else member.name, os.fstat(fd)):
                    result.compiled.append(goal)
        finally:
            os.close(fd)

    def _with_shebang(self, head: bytes) -> bytes:
        """Replace a first line that begins with `#!python` (PEP 427, "Recommended installer features")."""
        if not head.startswith(b"#!python"):
            return head
        return scripts.shebang(self.prefix.python) + head.partition(b"\n")[2]

    def _create(self, path: str, *, executable: bool) -> int:
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
        fd = os.open(path, flags, 0o777 if executable else 0o666)
        if executable and self.umask & 0o111:
            os.fchmod(fd, (0o777 & ~self.umask) | 0o111)  # pip: executable is executable, whatever the umask
        return fd

    def write_scripts(self) -> None:
        """The scripts of the entry points."""
        for goal, content in self.scripts.items():
            os.makedirs(os.path.dirname(f"{self.tree}/{goal}"), exist_ok=True)
            self._write_generated(goal, content, executable=True)

    def _write_generated(self, goal: str, content: bytes, *, executable: bool = False) -> None:
        try:
            fd = self._create(f"{self.tree}/{goal}", executable=executable)
        except FileExistsError:
            # a dist-info that brings its own INSTALLER or direct_url.json: pip writes over it, too
            os.unlink(f"{self.tree}/{goal}")
            fd = self._create(f"{self.tree}/{goal}", executable=executable)
        try:
            _write_all(fd, content)
        finally:
            os.close(fd)
        self.rows[goal] = record.Row(goal, record.digest_of(content), len(content))

    def finish(self) -> Image:
        """Write INSTALLER, REQUESTED, direct_url.json and, last, RECORD."""
        self._write_generated(f"{self.dist_info}/INSTALLER", INSTALLER)
        if self.request.requested:
            self._write_generated(f"{self.dist_info}/REQUESTED", b"")
        if self.request.direct_url is not None:
            import json

            text = json.dumps(self.request.direct_url, sort_keys=True)
            self._write_generated(f"{self.dist_info}/direct_url.json", text.encode())
        self._add_rows()
        content = record.format_rows(
            row._replace(path=relative_to(self.library, row.path)) for row in self.rows.values()
        )
        files = list(self.rows)
        self._write_generated(f"{self.dist_info}/RECORD", content)
        wheel = self.wheel
        return Image(
            wheel.name, wheel.canonical_name, wheel.version, self.tree, self.dist_info, files, self.not_compiled
        )

    def _add_rows(self) -> None:
        """Complete `rows` with the members as RECORD has them, the byte-code, and RECORD itself."""
        for member, goal in self.goals.items():
            if goal not in self.rows:
                row = self.wheel.rows.get(member, record.Row(member))
                self.rows[goal] = row._replace(path=goal)
        if self.compiled:
            from sage_wheels.wheel import bytecode

            for goal in self.compiled:
                path = bytecode.cache_path(goal, self.cache_tag)
                self.rows[path] = record.Row(path)
        self.rows[f"{self.dist_info}/RECORD"] = record.Row(f"{self.dist_info}/RECORD")

    def remove_bytecode(self) -> None:
        """Delete what an interpreter that failed in the middle has compiled."""
        import shutil

        kept = {os.path.dirname(goal) for goal in self.goals.values()}
        for directory in {os.path.dirname(f"{os.path.dirname(goal)}/__pycache__/") for goal in self.sources()} - kept:
            shutil.rmtree(f"{self.tree}/{directory}", ignore_errors=True)

    def sources(self) -> list[str]:
        """What pip would compile: every file that ends in .py, wherever it goes."""
        return [goal for goal in self.goals.values() if goal.endswith(".py")]


class _Codes:
    """The byte-code of one unit: taken from the cache where it is there, else compiled and kept."""

    def __init__(self, wheel: Wheel, unit: _Unit) -> None:
        self._key = _bytecode_cache().key(wheel.record, unit.name)
        self._known: dict[str, bytes] = _bytecode_cache().load(self._key)
        self._is_new = False

    def write(self, path: str, source: bytes, final_path: str, member: str | None, status: os.stat_result) -> bool:
        """Write the byte-code of the source at `path`; False if there is none. `member` names it in the cache."""
        from sage_wheels.wheel import bytecode

        code: bytes | None = None
        if member is not None:
            if member not in self._known:
                self._known[member] = bytecode.compile_code(source, bytecode.PLACEHOLDER)
                self._is_new = True
            code = self._known[member] and bytecode.relocate(self._known[member], final_path)
        if code is None:
            code = bytecode.compile_code(source, final_path)
        if code:
            bytecode.write_beside(path, bytecode.pyc(code, source, status.st_mtime), status.st_mode & 0o666)
        return bool(code)

    def keep(self) -> bool:
        """Store what was compiled; whether there was anything."""
        if self._is_new:
            _bytecode_cache().store(self._key, self._known)
        return self._is_new


def _compile_elsewhere(prefix: Prefix, writers: list[_Writer]) -> None:
    """Let the target interpreter compile the sources of `writers`; one that cannot run is no reason to stop."""
    import json
    import subprocess

    from sage_wheels.wheel import bytecode

    jobs = [(writer, goal) for writer in writers for goal in writer.sources()]
    if not jobs:
        return
    listing = json.dumps([[f"{writer.tree}/{goal}", prefix.path(goal)] for writer, goal in jobs])
    exe = interpreter.base_executable(prefix)
    loader = bytecode.__spec__.loader
    program = loader.get_data(bytecode.__file__).decode()  # type: ignore[union-attr]  # also from within a zip
    command = [exe, "-I", "-S", "-B", "-c", program]
    try:
        answer = subprocess.run(command, input=listing.encode(), capture_output=True, check=True).stdout
        tag, done = json.loads(answer)
    except (OSError, subprocess.CalledProcessError, ValueError):
        for writer in writers:
            writer.not_compiled = len(writer.sources())
            writer.remove_bytecode()
        return
    for (writer, goal), compiled in zip(jobs, done, strict=True):
        writer.cache_tag = tag
        if compiled:
            writer.compiled.append(goal)


def _directories(goals: Iterable[str]) -> set[str]:
    """Every directory above `goals`."""
    found: set[str] = set()
    for goal in goals:
        while (goal := goal.rpartition("/")[0]) and goal not in found:
            found.add(goal)
    return found


def relative_to(library: str, path: str) -> str:
    """`path` as RECORD has it: relative to the directory of the `.dist-info`; both relative to the prefix.

    >>> relative_to("lib/python3.11/site-packages", "bin/six")
    '../../../bin/six'
    """
    if path.startswith(library + "/"):
        return path[len(library) + 1 :]
    return os.path.relpath(path, library)


def _write_all(fd: int, data: bytes) -> int:
    """Write all of `data` (one write(2) may take less); its length."""
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    return len(data)


def _read(path: str) -> bytes:
    with open(path, "rb") as f:
        return f.read()
