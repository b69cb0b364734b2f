"""The image cache: wheels unpacked once, for build environments to be filled by links.

    ROOT/images/SHA256-TAG/tree/     the files, in the shape of a virtual environment
    ROOT/images/SHA256-TAG/about     what a resolver wants to know of the wheel, and its size (JSON)
    ROOT/digests/IDENTITY            a symbolic link whose text is the SHA-256 of the file of that identity
    ROOT/staging/                    what is being written
    ROOT/pythons/                    facts about building interpreters
    ROOT/trim.lock                   held by whoever removes images

An image appears by one rename and nobody here changes it, so any number of builders may share it; the name says what
is in it, so it is never out of date. All of it may be deleted at any time: who loses an image under his hands makes it
again. Installed prefixes never share a file with it.

Build environments do, and a backend that writes into a file of its environment writes into the image. So the sizes,
times and modes of all files are compared with what they were, each time before an image is used; one that was changed
is made again. Not noticed is a program that rewrites a file with as many bytes and then sets its time back.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import tempfile
import time
from typing import Any, NamedTuple

from sage_wheels.errors import FileOperationFailed
from sage_wheels.prefix.filesystem import regular

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.building.interpreter import Building
    from sage_wheels.wheel import Wheel
    from sage_wheels.wheel.archive import Limits

LIMIT = 4 << 30  # bytes; all build requirements of the Sage distribution take less than one of them
_SPARED = 3600  # seconds: an image that was used so recently may be in use
_ABANDONED = 86400  # seconds: no wheel takes a day to unpack
_MAX_DIGESTS = 10_000
_PATIENCE = 10  # times that an image is made again because somebody deletes the cache meanwhile


class About(NamedTuple):
    """What a wheel says of itself: `requires` are its Requires-Dist lines.

    Of an image also: `dist_info` relative to the tree, how many `files` it has, their `size` in bytes, their `state`
    (see `_Survey`), and `python`, the interpreter that the shebangs of its scripts name.
    """

    name: str
    version: str
    requires: list[str]
    requires_python: str
    dist_info: str = ""
    files: int = 0
    size: int = 0
    state: int = 0
    python: str = ""


class _Survey(NamedTuple):
    """How many `files` there are in a tree, their `size` together in bytes, and their `state`: a number that changes
    with the size, the time and the mode of each file.
    """

    files: int
    size: int
    state: int


class ImageCache:
    """The images for one building interpreter in the cache at `root`, which is made if need be.

    `limit` bounds all images together, in bytes, `wheel_limits` what each wheel may unpack to.
    """

    def __init__(
        self, root: str, building: Building, limit: int = LIMIT, *, wheel_limits: Limits | None = None
    ) -> None:
        self.root = os.path.abspath(root)
        self.building = building
        self.limit = limit
        self._wheel_limits = wheel_limits
        self._tag = building.facts.cache_tag

    def digest(self, path: str) -> str:
        """The SHA-256 of the file at `path`; computed once as long as the file is the same. Raises `OSError`."""
        import hashlib

        status = os.stat(path)
        identity = "-".join(
            str(part) for part in (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
        )
        memo = f"{self.root}/digests/{identity}"
        try:
            return os.readlink(memo)
        except OSError:
            pass  # not known yet
        digest = hashlib.sha256()
        with open(path, "rb", opener=regular) as f:
            while block := f.read(1 << 20):
                digest.update(block)
        try:
            os.symlink(digest.hexdigest(), memo)
        except FileExistsError:
            pass  # another builder was first
        except FileNotFoundError:
            os.makedirs(os.path.dirname(memo), exist_ok=True)
            return self.digest(path)
        return digest.hexdigest()

    def about(self, path: str) -> About:
        """What the wheel at `path` says of itself, from its image if there is one.

        Raises `WheelRefused` if it is damaged, `OSError` if it is gone.
        """
        known = self._read_about(self._place(path))
        if known:
            return known
        from sage_wheels.wheel import Wheel

        with Wheel(path, self._wheel_limits) as wheel:
            return _about(wheel)

    def image(self, path: str) -> tuple[str, About]:
        """The tree of the image of the wheel at `path`, as it was written, made now if need be; what is known of it.

        Raises `WheelRefused` if the wheel is damaged, `FileOperationFailed` if the cache cannot be written.
        """
        try:
            place = self._place(path)
            known = self._unchanged(place)
            while known is None:
                known = self._make_despite_deletion(path, place)
                if known is None:  # another file has taken the name of the wheel meanwhile
                    place = self._place(path)
                    known = self._unchanged(place)
            _touch(place)
        except OSError as error:
            raise FileOperationFailed.from_os_error(
                error, f"unpacking {os.path.basename(path)} into {self.root}"
            ) from error
        return f"{place}/tree", known

    def discard(self, tree: str) -> None:
        """Remove the image with this tree: out of sight in one step, then file by file."""
        staging = f"{self.root}/staging"
        os.makedirs(staging, exist_ok=True)
        trash = tempfile.mkdtemp(dir=staging)
        with contextlib.suppress(FileNotFoundError):  # another builder discarded it
            os.rename(os.path.dirname(tree), f"{trash}/image")
        shutil.rmtree(trash, ignore_errors=True)

    def _place(self, path: str) -> str:
        return f"{self.root}/images/{self.digest(path)}-{self._tag}"

    def _read_about(self, place: str) -> About | None:
        try:
            with open(f"{place}/about", encoding="utf-8", opener=regular) as f:
                stored: dict[str, Any] = json.load(f)
                return About(**stored)
        except (FileNotFoundError, NotADirectoryError, ValueError, TypeError):  # the last two: not whole any more
            return None

    def _unchanged(self, place: str) -> About | None:
        """What is known of the image at `place`; None if there is none, or none any more because it was changed."""
        known = self._read_about(place)
        if known is None:
            return None
        with contextlib.suppress(FileNotFoundError):  # somebody deletes it
            if _survey(f"{place}/tree") == (known.files, known.size, known.state):
                return known
        self.discard(f"{place}/tree")
        return None

    def _make_despite_deletion(self, path: str, place: str) -> About | None:
        for _ in range(_PATIENCE):
            try:
                return self._make(path, place)
            except FileNotFoundError:  # somebody deletes the cache while we write into it
                if not os.path.exists(path):
                    raise
        return self._make(path, place)

    def _make(self, path: str, place: str) -> About | None:
        """Make the image of `path` at `place`; None if the file is not the one any more that belongs there."""
        from sage_wheels.wheel import Request, Wheel, write_images

        staging = f"{self.root}/staging"
        os.makedirs(staging, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=staging) as stage, Wheel(path, self._wheel_limits) as wheel:
            tree = f"{stage}/tree"
            image = write_images([Request(wheel, requested=False)], self.building.pattern, tree)[0]
            about = _about(wheel)._replace(
                dist_info=image.dist_info, python=self.building.pattern.python, **_survey(tree)._asdict()
            )
            ready = f"{stage}/ready"
            os.mkdir(ready)
            os.rename(tree, f"{ready}/tree")
            with open(f"{ready}/about", "w", encoding="utf-8") as f:
                json.dump(about._asdict(), f)
            if self._place(path) != place:
                return None
            self._put(ready, place)
        self.trim()
        return about

    def _put(self, ready: str, place: str) -> None:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        try:
            os.rename(ready, place)
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
                raise
            if not self._read_about(place):  # half-deleted; else another builder was first, with the same
                self.discard(f"{place}/tree")
                os.rename(ready, place)

    def trim(self) -> None:
        """Remove the images unused for longest until the rest is within the limit, and what is abandoned."""
        now = time.time()
        self._remove_abandoned(now)
        if sum(size for _, size, _ in self._images()) <= self.limit:
            return
        import filelock

        # one builder at a time, or together they would remove too much; who comes second need not do it again
        lock = filelock.FileLock(f"{self.root}/trim.lock", blocking=False, fallback_to_soft=False)
        with contextlib.suppress(filelock.Timeout), lock:
            images = self._images()
            total = sum(size for _, size, _ in images)
            for used, size, place in sorted(images):
                if total <= self.limit or now - used < _SPARED:
                    break
                self.discard(f"{place}/tree")
                total -= size

    def _images(self) -> list[tuple[float, int, str]]:
        """When each image was used, its size in bytes, and where it is."""
        found = []
        for name in _list(f"{self.root}/images"):
            place = f"{self.root}/images/{name}"
            known = self._read_about(place)
            if known:
                found.append((_modified(f"{place}/about", 0.0), known.size, place))
        return found

    def _remove_abandoned(self, now: float) -> None:
        for name in _list(f"{self.root}/staging"):
            path = f"{self.root}/staging/{name}"
            if now - _modified(path, now) > _ABANDONED:
                shutil.rmtree(path, ignore_errors=True)
        digests = _list(f"{self.root}/digests")
        if len(digests) > _MAX_DIGESTS:
            shutil.rmtree(f"{self.root}/digests", ignore_errors=True)


def _about(wheel: Wheel) -> About:
    fields = wheel.metadata
    return About(wheel.name, wheel.version, fields.get("requires-dist", []), fields.get("requires-python", [""])[0])


def _survey(directory: str) -> _Survey:
    """Look at all files below `directory`. Raises `OSError`."""
    files = size = state = 0
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                below = _survey(entry.path)
                files, size, state = files + below.files, size + below.size, state + below.state
                continue
            status = entry.stat(follow_symlinks=False)
            files += 1
            size += status.st_size
            # the hash of integers is the same in every process; nothing here depends on the order of the entries
            state += hash((status.st_size, status.st_mtime_ns, status.st_mode))
    return _Survey(files, size, state)


def _touch(place: str) -> None:
    """Note that the image was used now; where the cache is read-only or somebody else's, nothing need be noted."""
    with contextlib.suppress(OSError):
        os.utime(f"{place}/about")


def _modified(path: str, missing: float) -> float:
    try:
        return os.stat(path).st_mtime
    except FileNotFoundError:
        return missing


def _list(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except FileNotFoundError:
        return []
