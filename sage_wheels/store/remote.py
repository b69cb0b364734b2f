"""The store behind the local one: a server or a directory that several machines use.

    ac/KEY        an entry (`action_result`): the files of the result, with the sealed result as one of them
    cas/SHA256    a content: a wheel, a log, a sealed result (`signing`)

Only the sealed result is read from an entry. The other files are named in it for the server, which deletes entries
whose contents it has deleted. Contents are sent before the entry that names them.

`RemoteLimits` limit the time. After the first failure, no process that uses the same local store asks again for a
minute (`Pause`). So a server that fails costs no more than that time and one line of output. A file that is damaged is
no such failure: a line names it, and it is made and sent again. Only when some of them were met within a minute, or
when they have taken as long as a download may take, the store counts as failed. Each call runs in a thread, which is
abandoned when its time is over: nothing else stops the look-up of a host name, or a server that sends one byte a
second.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import os
import queue
import threading
import time

from sage_wheels.errors import UnsafePath, UsageError
from sage_wheels.fs import caches
from sage_wheels.named import NamedTuple
from sage_wheels.store import action_result, results, signing
from sage_wheels.store.exchange import Exchange
from sage_wheels.store.storage import OTHER_BYTES, Damaged, Directory, Refused, Storage, Trouble, failure_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import IO, TypeVar

    from sage_wheels.store.results import Content
    from sage_wheels.store.signing import Signer, Trust

    T = TypeVar("T")

MODES = ("read", "write", "both")
PAUSE = 60.0  # seconds after a failure
_DAMAGED = 4  # files within that time: so many are no accident
_ENTRY = 1 << 20  # bytes; a server may add to what we have written
_SEALED = results.MOST + 1024
_CONTENT = 32 << 30  # bytes, as `strict_zip.WheelLimits.size`
NAME = "sage-wheels-result"  # of the sealed result in an entry; no wheel and no log has this name


class RemoteLimits(NamedTuple):
    """How many seconds may be spent: on an entry and its sealed result (`look_up`); on a content (`download`), but no
    more than making it again takes, if that is more than `look_up`; on what is to be sent when a command ends
    (`upload`)."""

    look_up: float = 2.0
    download: float = 30.0
    upload: float = 30.0


LIMITS = RemoteLimits()


class Pause:
    """Whether the store at `url` has just failed a process that uses the local store at `root`."""

    def __init__(self, root: str, url: str) -> None:
        self._path = f"{root}/paused/{hashlib.sha256(url.encode()).hexdigest()[:32]}"
        self._path_of_lost = f"{self._path}.lost"
        self._since = float("-inf")

    def is_on(self) -> bool:
        if time.monotonic() - self._since < PAUSE:
            return True
        try:
            with open(self._path, "rb", opener=caches.own) as f:
                return abs(time.time() - float(f.read(32))) < PAUSE
        except (OSError, ValueError):
            return False

    def begin(self) -> None:
        self._since = time.monotonic()
        self._write(self._path, int(time.time()))

    def lose(self, seconds: float) -> float:
        """Note that `seconds` were lost now. Returns how many were lost since the first loss, at most a minute ago."""
        now = since = int(time.time())
        with contextlib.suppress(OSError, ValueError), open(self._path_of_lost, "rb", opener=caches.own) as f:
            began, before = map(float, f.read(64).split())
            if abs(now - began) < PAUSE:
                since, seconds = int(began), before + seconds
        self._write(self._path_of_lost, since, seconds)
        return seconds

    def _write(self, path: str, *numbers: float) -> None:
        with contextlib.suppress(OSError):
            caches.make_directory(os.path.dirname(path))
            caches.write(path, " ".join(map(str, numbers)).encode())


class RemoteTier:
    """The store in `storage`; messages call it `shown`. The methods are described in `Tier`.

    Without `trust` nothing is read; without `writes` nothing is written. `signer` signs what is written. `limits` are
    those of the time. `on_note` is called with one sentence if something is wrong.
    """

    def __init__(
        self,
        storage: Storage,
        shown: str,
        *,
        pause: Pause,
        trust: Trust | None,
        writes: bool,
        signer: Signer | None = None,
        limits: RemoteLimits = LIMITS,
        on_note: Callable[[str], object] | None = None,
    ) -> None:
        self._storage = storage
        self._shown = shown
        self._pause = pause
        self._trust = trust
        self._writes = writes
        self._signer = signer
        self._limits = limits
        self._on_note = on_note
        self._uploads: _Uploads | None = None
        self._missing: set[str] = set()  # the keys that the store was found not to have

    def exchange(self) -> Exchange:
        """The same store as an `Exchange`. Raises `UsageError` unless it is both read and written."""
        if self._trust is None or not self._writes:
            mode = "read" if self._trust else "write"
            raise UsageError(
                f"the mode of the store {self._shown} is {mode!r}, and builds on several machines read and write",
                "give --store-mode both, and $SAGE_WHEELS_STORE_MODE=both to workers",
            )
        return Exchange(self._storage, self._shown, trust=self._trust, signer=self._signer)

    def get_result(self, key: str) -> bytes | None:
        trust = self._trust
        if trust is None:
            return None
        sealed = self._tried(self._limits.look_up, lambda call: self._sealed(key, call))
        if sealed is None:
            return None
        try:
            data = trust.unsealed(sealed)
            found = results.decode(data)
            if found is None or found.key != key:
                raise signing.Untrusted("is not what was asked for")
            trust.check_time(sealed, found.time)
        except signing.Untrusted as why:
            self._say(f"a result in the store {self._shown} {why}; it is not used")
            return None
        return data

    def _sealed(self, key: str, call: _Call) -> bytes | None:
        entry = self._read(f"ac/{key}", _ENTRY, call)
        if entry is None:
            self._missing.add(key)
            return None
        files = action_result.decode(entry)
        if files is None:
            raise Damaged(f"ac/{key}", "it is no ActionResult")
        file = next((each for each in files if each.path == NAME), None)
        if file is None:
            return None  # an entry of another program
        if file.size > _SEALED:
            raise Damaged(f"ac/{key}", "it names a result that is too large")
        name = f"cas/{file.digest}"
        data = self._read(name, file.size, call)
        if data is not None and hashlib.sha256(data).hexdigest() != file.digest:
            raise Damaged(name, OTHER_BYTES)
        return data

    def _read(self, name: str, most: int, call: _Call) -> bytes | None:
        target = io.BytesIO()
        return target.getvalue() if self._storage.get(name, most, call.writer(target)) else None

    def get_content(self, content: Content, path: str, seconds: float | None) -> bool:
        if self._trust is None or content.size > _CONTENT:
            return False
        limit = self._limits.download
        if isinstance(seconds, (int, float)):
            limit = min(limit, max(seconds, self._limits.look_up))
        is_there = self._tried(limit, lambda call: self._download(content, path, call))
        if not is_there:
            with contextlib.suppress(OSError):
                os.unlink(path)
        return bool(is_there)

    def _download(self, content: Content, path: str, call: _Call) -> bool:
        found = hashlib.sha256()
        try:
            file = open(path, "xb")  # noqa: SIM115 (what this raises is no fault of the server)
        except OSError:
            return False
        with file:
            write = call.writer(file)

            def take(block: bytes) -> None:
                found.update(block)
                try:
                    write(block)
                except OSError as error:
                    raise Trouble(f"has sent a file that cannot be written here ({error.strerror})") from error

            if not self._storage.get(f"cas/{content.digest}", content.size, take):
                return False
            size = file.tell()
        if (found.hexdigest(), size) != (content.digest, content.size):
            raise Damaged(f"cas/{content.digest}", OTHER_BYTES)
        return True

    def keep(self, key: str, data: bytes, files: Mapping[str, str]) -> None:
        if not self._writes or self._pause.is_on():
            return
        found = results.decode(data)
        assert found
        sealed = signing.sealed(data, self._signer)
        seal = action_result.OutputFile(NAME, hashlib.sha256(sealed).hexdigest(), len(sealed))
        contents: list[tuple[action_result.OutputFile, IO[bytes]]] = []
        try:
            for each in found.contents:
                contents.append((action_result.OutputFile(*each), open(files[each.digest], "rb")))  # noqa: SIM115
        except OSError:
            for _, file in contents:
                file.close()
            return  # the local store reports this error
        contents.append((seal, io.BytesIO(sealed)))
        if self._uploads is None or self._uploads.is_over():
            self._uploads = _Uploads()
        self._uploads.add(lambda: self._upload(key, contents))

    def _upload(self, key: str, contents: list[tuple[action_result.OutputFile, IO[bytes]]]) -> None:
        """Put the contents first, then the entry that names them; small ones first, so that a server that refuses all
        says so before it gets much.

        What the server has already is not sent again. But if it was not asked for the entry, or had one that could not
        be used, any of its files may be damaged: then all are sent.
        """
        try:
            if self._pause.is_on():
                return
            for each, file in sorted(contents, key=lambda content: content[0].size):
                if key not in self._missing or not self._storage.has(f"cas/{each.digest}", each.size):
                    try:
                        self._storage.put(f"cas/{each.digest}", file, each.size)
                    except Refused as error:
                        self._say(f"the store {self._shown} does not take {each.path} (it {error})")
                        return
            entry = action_result.encode(each for each, _ in contents)
            self._storage.put(f"ac/{key}", io.BytesIO(entry), len(entry))
        except (Trouble, OSError) as error:
            self._failed(error)
        finally:
            for _, file in contents:
                file.close()

    def finish(self) -> None:
        if self._uploads and not self._uploads.wait(self._limits.upload):
            self._failed(Trouble(f"has not accepted what was built within {self._limits.upload:.3g} s"))
        self._uploads = None

    def _tried(self, seconds: float, ask: Callable[[_Call], T | None]) -> T | None:
        """What `ask` returns within `seconds`; None if it fails or takes longer, or if the store has just failed."""
        if self._pause.is_on():
            return None
        call, start = _Call(), time.monotonic()
        try:
            return call.result(ask, seconds)
        except Damaged as error:
            most = self._limits.download
            if self._pause.lose(max(time.monotonic() - start, most / _DAMAGED)) < most:
                self._say(f"the store {self._shown} {error}; what it belongs to is made again")
            else:
                self._failed(error)
            return None
        except (Trouble, OSError) as error:
            self._failed(error)
            return None

    def _failed(self, error: Exception) -> None:
        is_known = self._pause.is_on()
        self._pause.begin()
        if not is_known:
            self._say(f"the store {self._shown} {failure_of(error)}; it is not asked again for {PAUSE:.0f} s")

    def _say(self, note: str) -> None:
        if self._on_note:
            caches.say_once([note], self._on_note)


class _Call:
    """A call that runs in a thread of its own, which is abandoned when its time is over."""

    def __init__(self) -> None:
        self._is_over = False

    def writer(self, target: IO[bytes]) -> Callable[[bytes], object]:
        """A function that writes to `target`, and raises `Trouble` once nobody waits for the call any more."""

        def write(block: bytes) -> None:
            if self._is_over:
                raise Trouble("is too slow")
            target.write(block)

        return write

    def result(self, ask: Callable[[_Call], T], seconds: float) -> T:
        """What `ask` returns or raises. Raises `Trouble` if it takes longer."""
        done: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

        def run() -> None:
            try:
                done.put((ask(self), None))
            except BaseException as error:
                done.put((None, error))

        threading.Thread(target=run, daemon=True).start()
        try:
            value, error = done.get(timeout=seconds)
        except queue.Empty:
            raise Trouble(f"has not answered within {seconds:.3g} s") from None
        finally:
            self._is_over = True
        if error:
            raise error
        return value  # type: ignore[return-value]


class _Uploads:
    """Does one upload after the other in a thread of this process; a process that is forked needs another one."""

    def __init__(self) -> None:
        self._waiting: queue.SimpleQueue[Callable[[], object] | None] = queue.SimpleQueue()
        self._pid = os.getpid()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def add(self, job: Callable[[], object]) -> None:
        self._waiting.put(job)

    def is_over(self) -> bool:
        return os.getpid() != self._pid or not self._thread.is_alive()

    def wait(self, seconds: float) -> bool:
        """Take no more jobs. Returns whether all were done within `seconds`."""
        if os.getpid() != self._pid:
            return True
        self._waiting.put(None)
        self._thread.join(seconds)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while job := self._waiting.get():
            job()


_opened: list[RemoteTier] = []


def finish() -> None:
    """Wait until all that this process keeps was sent to the stores, for each as long as its limits allow."""
    for each in _opened:
        each.finish()


@functools.cache
def opened(
    *,
    url: str,
    mode: str,
    sign: str,
    trust: str,
    root: str,
    limits: RemoteLimits = LIMITS,
    on_note: Callable[[str], object] | None = None,
) -> RemoteTier:
    """The store at `url` behind the local one at `root`; the options are those of the command line, "" if not given.

    It is not contacted yet. Raises `UsageError`, `UnsafePath` or `FileOperationFailed` if an option or a file that it
    names is wrong.
    """
    if mode not in MODES:
        raise UsageError(f"{mode!r} is no mode of a store", f"write one of {', '.join(MODES)}")
    reads, writes = mode in ("read", "both"), mode in ("write", "both")
    if sign and not writes:
        raise UsageError(
            "only results that are written into a store are signed", "give --store-mode both, or leave out --store-sign"
        )
    told = signing.read_trust(trust) if trust else None
    storage, shown = _storage_at(url, needs_own=reads and (told is None or told.keys is None))
    if reads and told is None:
        if url.startswith("http"):
            advice = "give --store-trust FILE with their keys, or 'any'"
            raise UsageError(f"it is not known whose results in the store {shown} are trusted", advice)
        told = signing.Trust(None)
    tier = RemoteTier(
        storage,
        shown,
        pause=Pause(root, url),
        trust=told if reads else None,
        writes=writes,
        signer=signing.read_signer(sign) if sign else None,
        limits=limits,
        on_note=on_note,
    )
    _opened.append(tier)
    return tier


def _storage_at(url: str, *, needs_own: bool) -> tuple[Storage, str]:
    """The storage at `url`, and its name for messages."""
    from urllib.parse import unquote, urlsplit

    try:
        parts = urlsplit(url)
        is_whole = parts.port is None or parts.port > 0
    except ValueError:
        parts, is_whole = urlsplit(""), False
    if not is_whole or parts.query or parts.fragment:
        raise UsageError(
            "the address of the store is no URL of a directory", "write http(s)://HOST/PATH or file:///DIR"
        )
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        path = os.path.normpath(unquote(parts.path))
        found = caches.problem(path) if needs_own else None
        if found:
            raise UnsafePath(f"{found}, so others may have written into the store {path}", "give --store-trust FILE")
        return Directory(path, is_own=needs_own), path
    if parts.scheme in ("http", "https") and parts.hostname:
        from importlib.util import find_spec

        if not find_spec("urllib3"):
            raise UsageError("a store on a server needs urllib3, which is not installed", "install sage-wheels[store]")
        from sage_wheels.store.http import Server, shown

        return Server(url), shown(url)
    raise UsageError("the address of the store is no URL that is known", "write http(s)://HOST/PATH or file:///DIR")
