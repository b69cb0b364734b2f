"""The byte-code of an image: from the cache, compiled in this process, or compiled by another target interpreter."""

from __future__ import annotations

import contextlib
import json
import os

from sage_wheels import environment
from sage_wheels.fs.digest import sha256
from sage_wheels.prefix import interpreter
from sage_wheels.wheel import bytecode, bytecode_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Sequence

    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.store.store import Store
    from sage_wheels.wheel.wheel import Wheel

_HEADER = 16  # bytes of a byte-code file before the code (PEP 552)


def placeholder(source: bytes) -> str:
    """The placeholder for the path of `source`. It contains the hash of `source`, so `source` cannot contain it."""
    return f"sage-wheels image {sha256(source).hexdigest()}"


class Codes:
    """The byte-code of one piece of a wheel: taken from `store` if it is there; else compiled, and kept there."""

    def __init__(self, wheel: Wheel, piece: str, store: Store | None) -> None:
        self._store = store
        self._key = bytecode_cache.key(wheel.record_digest, piece)
        self._known = bytecode_cache.load(store, self._key)
        self._is_new = False

    def write(self, path: str, source: bytes, final_path: str, member: str | None, status: os.stat_result) -> bool:
        """Write the byte-code of the source at `path`; False if there can be none. `member` is its key among the
        codes."""
        code: bytes | None = None
        if member is not None:
            stand_in = placeholder(source)
            if member not in self._known:
                self._known[member] = bytecode.compile_code(source, stand_in)
                self._is_new = True
            code = self._known[member] and bytecode.relocate(self._known[member], stand_in, final_path)
        if code is None:
            code = bytecode.compile_code(source, final_path)
        if not code:
            return False
        content = bytecode.pyc(code, source, status.st_mtime, environment.bytecode_mode())
        return bytecode.write_beside(path, content, status.st_mode & 0o666)

    def keep(self) -> bool:
        """Keep newly compiled code in the store; returns whether there was any."""
        if self._is_new:
            bytecode_cache.keep(self._store, self._key, self._known)
        return self._is_new


def compile_elsewhere(
    prefix: Prefix, tree: str, wheels: list[tuple[Wheel, list[PrefixPath]]], store: Store | None
) -> tuple[str, set[str]] | None:
    """Write the target interpreter's byte-code for sources below `tree`, by wheel: from `store`, or compiled by it.

    Returns its cache tag and the sources that have byte-code; None if it cannot run. Then there is no byte-code, and
    the installation goes on.
    """
    who = interpreter.identity(interpreter.base_executable(prefix))
    if who is None or environment.bytecode_mode() != "timestamp":  # then there are hashes in it that only it can make
        return run_compiler(prefix, tree, {each: prefix.path(each) for _, sources in wheels for each in sources})
    pieces = [_Foreign(wheel, who, tree, sources, store) for wheel, sources in wheels]
    made = run_compiler(prefix, tree, {source: path for piece in pieces for source, path in piece.missing().items()})
    if made is None:
        return None
    for piece in pieces if made[0] else ():
        piece.take(*made)
    tag = made[0] or next((piece.tag for piece in pieces if piece.tag), "")
    compiled, rest = set[str](), dict[str, str]()
    for piece in pieces:
        for source in piece.sources:
            done = piece.write(source, prefix.path(source), tag)
            if done is None:
                rest[source] = prefix.path(source)
            elif done:
                compiled.add(source)
    made = run_compiler(prefix, tree, rest)
    return made and (tag or made[0], compiled | made[1])


class _Foreign:
    """Byte-code of one wheel's `sources`, below `tree`, made by the interpreter `who` with placeholders for paths.

    It is kept under the identity of that interpreter, with its magic number and cache tag, so that the interpreter
    need not run.
    """

    def __init__(self, wheel: Wheel, who: object, tree: str, sources: list[PrefixPath], store: Store | None) -> None:
        self.sources = sources
        self._store = store
        self._tree = tree
        self._key = bytecode_cache.key(wheel.record_digest, json.dumps(["elsewhere", who]))
        self._known = bytecode_cache.load(store, self._key)

    @property
    def tag(self) -> str:
        return self._known.get("", b"")[4:].decode()

    def missing(self) -> dict[str, str]:
        """The sources whose byte-code is not known, and the placeholder of each."""
        stand_ins = {source: placeholder(self._read(source)) for source in self.sources}
        return {source: each for source, each in stand_ins.items() if not self._is_known(source, each)}

    def take(self, tag: str, compiled: set[str]) -> None:
        """Move the files that were `compiled` with placeholders, for the cache tag `tag`, into the store."""
        is_new = False
        for source, stand_in in self.missing().items():
            self._known[source] = b""
            if source in compiled:
                path = bytecode.cache_path(f"{self._tree}/{source}", tag)
                with open(path, "rb") as f:
                    content = f.read()
                os.unlink(path)
                self._known |= {"": content[:4] + tag.encode(), source: content[_HEADER:]}
                if not self._is_known(source, stand_in):
                    del self._known[source]
            is_new = True
        if is_new:
            bytecode_cache.keep(self._store, self._key, self._known)
            if self._store:
                self._store.tidy()

    def write(self, source: PrefixPath, final_path: str, tag: str) -> bool | None:
        """Write the byte-code of `source`; False if there can be none, None if the byte-code is not known."""
        code = self._known.get(source)
        if not code:
            return None if code is None else False
        path = f"{self._tree}/{source}"
        text = self._read(source)
        code = bytecode.relocate(code, placeholder(text), final_path)
        if code is None:
            return None
        status = os.stat(path)
        content = self._known[""][:4] + bytecode.pyc(code, text, status.st_mtime, "timestamp")[4:]
        return bytecode.write_beside(path, content, status.st_mode & 0o666, cache_tag=tag)

    def _is_known(self, source: str, stand_in: str) -> bool:
        code = self._known.get(source)
        return code == b"" or (code is not None and "" in self._known and stand_in.encode() in code)

    def _read(self, source: str) -> bytes:
        with open(f"{self._tree}/{source}", "rb") as f:
            return f.read()


def run_compiler(prefix: Prefix, tree: str, wanted: dict[str, str]) -> tuple[str, set[str]] | None:
    """Let the target interpreter compile sources below `tree`; `wanted` has the final path of each.

    Returns its cache tag, and the sources that have byte-code now; None if it cannot run.
    """
    if not wanted:
        return "", set()
    import subprocess

    jobs = [(f"{tree}/{source}", path) for source, path in wanted.items()]
    try:
        tag, done = compiled_by(interpreter.base_executable(prefix), jobs, environment.bytecode_mode())
        if tag.partition("-")[2] != f"{prefix.version[0]}{prefix.version[1]}":
            raise ValueError("the Python of the prefix was replaced by one of another version")
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
    return tag, {source for source, compiled in zip(wanted, done, strict=True) if compiled}


def compiled_by(python: str, jobs: Sequence[tuple[object, ...]], mode: str) -> tuple[str, list[bool]]:
    """Let the interpreter `python` do `jobs` and return its cache tag, and which sources are valid (`bytecode.main`).

    Raises `OSError`, `subprocess.SubprocessError`, and `ValueError` if its output is invalid.
    """
    import subprocess

    loader = bytecode.__spec__.loader
    program = loader.get_data(bytecode.__file__).decode()  # type: ignore[union-attr]  # also from within a zip
    command = [python, "-I", "-S", "-B", "-c", program, mode]
    answer = subprocess.run(command, input=json.dumps(jobs).encode(), capture_output=True, check=True).stdout
    tag, done = json.loads(answer)
    return tag, done


def remove_bytecode(tree: str, sources: Iterable[str], brought: Container[str]) -> None:
    """Remove the byte-code of `sources` from the image at `tree`, except for files in `brought`, which wheels
    contain."""
    for cache in {bytecode.cache_path(source).rpartition("/")[0] for source in sources}:
        with contextlib.suppress(FileNotFoundError):
            for name in os.listdir(f"{tree}/{cache}"):
                if f"{cache}/{name}" not in brought:
                    os.unlink(f"{tree}/{cache}/{name}")
            if not os.listdir(f"{tree}/{cache}"):
                os.rmdir(f"{tree}/{cache}")
