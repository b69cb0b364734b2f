"""The byte-code of an image: ours from the cache or compiled here, another interpreter's compiled by that one."""

from __future__ import annotations

import contextlib
import json
import os

from sage_wheels.prefix import interpreter
from sage_wheels.wheel import bytecode, bytecode_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix
    from sage_wheels.wheel.wheel import Wheel
    from sage_wheels.wheel.writer import Writer


class Codes:
    """The byte-code of one piece of a wheel: taken from the cache where it is there, else compiled and kept."""

    def __init__(self, wheel: Wheel, piece: str) -> None:
        self._key = bytecode_cache.key(wheel.record, piece)
        self._known = bytecode_cache.load(self._key)
        self._is_new = False

    def write(self, path: str, source: bytes, final_path: str, member: str | None, status: os.stat_result) -> bool:
        """Write the byte-code of the source at `path`; False if there is none. `member` names it in the cache."""
        code: bytes | None = None
        if member is not None:
            stand_in = bytecode.placeholder(source)
            if member not in self._known:
                self._known[member] = bytecode.compile_code(source, stand_in)
                self._is_new = True
            code = self._known[member] and bytecode.relocate(self._known[member], stand_in, final_path)
        if code is None:
            code = bytecode.compile_code(source, final_path)
        if code:
            bytecode.write_beside(path, bytecode.pyc(code, source, status.st_mtime), status.st_mode & 0o666)
        return bool(code)

    def keep(self) -> bool:
        """Store what was compiled; whether there was anything."""
        if self._is_new:
            bytecode_cache.store(self._key, self._known)
        return self._is_new


def compile_elsewhere(prefix: Prefix, tree: str, writers: list[Writer]) -> None:
    """Let the target interpreter compile the sources of `writers`; one that cannot run is no reason to stop."""
    import subprocess

    jobs = [(writer, goal) for writer in writers for goal in writer.layout.sources() if goal not in writer.skipped]
    if not jobs:
        return
    listing = json.dumps([[f"{tree}/{goal}", prefix.path(goal)] for _, goal in jobs])
    loader = bytecode.__spec__.loader
    program = loader.get_data(bytecode.__file__).decode()  # type: ignore[union-attr]  # also from within a zip
    command = [interpreter.base_executable(prefix), "-I", "-S", "-B", "-c", program]
    try:
        answer = subprocess.run(command, input=listing.encode(), capture_output=True, check=True).stdout
        tag, done = json.loads(answer)
        if tag.partition("-")[2] != f"{prefix.version[0]}{prefix.version[1]}":
            raise ValueError("another Python has taken the place of the one that the prefix is for")
    except (OSError, subprocess.CalledProcessError, ValueError):
        for writer in writers:
            writer.not_compiled = len(writer.layout.sources())
        _remove_bytecode(tree, writers)  # what it did before it failed
        return
    for writer in writers:
        writer.cache_tag = tag
    for (writer, goal), compiled in zip(jobs, done, strict=True):
        if compiled:
            writer.compiled.append(goal)


def _remove_bytecode(tree: str, writers: list[Writer]) -> None:
    """Remove all byte-code from an image but what wheels bring themselves."""
    brought = {goal for writer in writers for goal in writer.layout.goals.values()}
    for cache in {bytecode.cache_path(source).rpartition("/")[0] for w in writers for source in w.layout.sources()}:
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(f"{tree}/{cache}"):
                if f"{cache}/{name}" not in brought:
                    os.unlink(f"{tree}/{cache}/{name}")
            if not os.listdir(f"{tree}/{cache}"):
                os.rmdir(f"{tree}/{cache}")
