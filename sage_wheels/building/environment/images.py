"""The image cache: unpacked wheels, whose files are linked or copied into build environments.

    ROOT/trees/KE/KEY/tree/     the files, with the directories of a virtual environment
    ROOT/trees/KE/KEY/about     the `WheelSummary` (JSON)
    ROOT/trees/KE/KEY/size      how many bytes it has, for the eviction of the store

KEY is a digest of the SHA-256 of the wheel and the cache tag of the interpreter.

An image is put into the cache by one rename, and the tool does not change it, so any number of builds may use it at the
same time. It is never outdated, because its key contains the hash of the wheel. The cache may be deleted at any time; a
missing image is made again. Files in installed prefixes are never links to it (see `wheel.unpacked`).

On file systems without reflinks, files in build environments are hard links to it, so a backend that writes to a file
of its environment changes the image. So before an image is used, and after each build, the sizes, times and modes of
its files are compared with the stored values. A changed image is made again, and the result of the build that changed
it is not stored. A change is not noticed if the size is the same and the time was set back.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile

from sage_wheels.errors import FileOperationFailed
from sage_wheels.fs import caches, digest, trust
from sage_wheels.named import NamedTuple
from sage_wheels.store import trees
from sage_wheels.store.local import touch
from sage_wheels.store.remembered import remembered_digest, stat_of
from sage_wheels.store.results import key_of
from sage_wheels.store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.archive.strict_zip import WheelLimits
    from sage_wheels.building.environment.interpreter import BuildInterpreter
    from sage_wheels.wheel.wheel import Wheel

_KIND = "image"
_FORMAT = 1  # raise it when images are written differently


class WheelSummary(NamedTuple):
    """The metadata of a wheel that resolving needs: `requires` are its Requires-Dist lines.

    For an image also: `dist_info` relative to the tree, the number of `files`, their `size` in bytes, their `state`
    (see `_Survey`), `python`, the interpreter in the shebangs of its scripts, and `digest`, the SHA-256 of the wheel.
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
    digest: str = ""


# The structure of `WheelSummary` in JSON (see `caches.has_shape`).
_ABOUT = {
    **dict.fromkeys(("name", "version", "requires_python", "dist_info", "python", "digest"), str),
    **dict.fromkeys(("files", "size", "state"), int),
    "requires": [str],
}


class _Survey(NamedTuple):
    """How many `files` there are in a tree, their `size` in bytes, and their `state`: a number that changes with the
    size, the time and the mode of each file, and with whether others can write to it.
    """

    files: int
    size: int
    state: int


class ImageCache:
    """The images for one building interpreter in the store at `root`, which is made if needed.

    `wheel_limits` limit what each wheel may unpack to. An image that cannot be written there (the disk is full, or
    read-only) is made in `spare`, the directory of one build.
    """

    def __init__(
        self,
        root: str,
        building: BuildInterpreter,
        *,
        wheel_limits: WheelLimits | None = None,
        store: Store | None = None,
        spare: str = "",
    ) -> None:
        self._spare = spare
        self._own: dict[str, WheelSummary] = {}  # of the images in `spare`, by the SHA-256 of the wheel
        self.root = os.path.abspath(root)
        self.building = building
        self.store = store or Store(self.root)
        self._wheel_limits = wheel_limits
        self._tag = building.facts.cache_tag

    def digest(self, path: str) -> str:
        """The SHA-256 of the file at `path`; cached as long as the file does not change. Raises `OSError`."""
        os.stat(path)  # raises an error if it was deleted
        return remembered_digest(self.store, stat_of(path)[1:], lambda: digest.of_file(path).hex())

    def about(self, path: str) -> WheelSummary:
        """The summary of the wheel at `path`, from its image if there is one.

        Raises `WheelRefused` if it is damaged, `OSError` if it does not exist.
        """
        known = self._read_about(self._directory_of(path)[0])
        if known:
            return known
        from sage_wheels.wheel.wheel import Wheel

        with Wheel(path, self._wheel_limits) as wheel:
            return _about(wheel)

    def image(self, path: str) -> tuple[str, WheelSummary]:
        """The tree of the image of the wheel at `path`, which is made if needed, and its summary.

        Raises `WheelRefused` if the wheel is damaged, and `FileOperationFailed` if the cache cannot be written. If its
        cause is a `FileNotFoundError`, the cache or the wheel was deleted meanwhile, and the caller may try again.
        """
        try:
            directory, of_wheel = self._directory_of(path)
            known = self._unchanged(directory)
            while known is None:
                known = self._make(path, directory, of_wheel)
                if known is None:  # the wheel was replaced by another file meanwhile
                    directory, of_wheel = self._directory_of(path)
                    known = self._unchanged(directory)
            touch(directory)
        except FileNotFoundError as error:
            raise self._failure(path, error) from error
        except OSError as error:
            if not self._spare:
                raise self._failure(path, error) from error
            self.store.report(error)
            return self._own_image(path)
        return f"{directory}/tree", known

    def _own_image(self, path: str) -> tuple[str, WheelSummary]:
        """The image of the wheel at `path` for this build alone. Raises the errors of `image`."""
        try:
            of_wheel = self.digest(path)
            directory = f"{self._spare}/{of_wheel}"
            if of_wheel not in self._own:
                with trust.masked(caches.OTHERS):
                    os.makedirs(directory)
                    self._own[of_wheel] = self._write(path, f"{directory}/tree", of_wheel)
        except OSError as error:
            raise self._failure(path, error) from error
        return f"{directory}/tree", self._own[of_wheel]

    def _failure(self, path: str, error: OSError) -> FileOperationFailed:
        return FileOperationFailed.from_os_error(error, f"unpacking {os.path.basename(path)} into {self.root}")

    def is_intact(self, of_wheel: str) -> bool:
        """Whether the image of the wheel with this SHA-256 is as it was written; a changed one is deleted.

        The wheel itself may have been deleted meanwhile.
        """
        if of_wheel in self._own:
            return True  # nobody else uses it
        try:
            return self._unchanged(self._directory_with(of_wheel)) is not None
        except OSError:
            return False

    def discard(self, tree: str) -> None:
        """Remove the image with the directory `tree`: rename it first, then delete its files."""
        trees.discard(self.root, os.path.dirname(tree))

    def _directory_of(self, path: str) -> tuple[str, str]:
        """The directory for the image of the wheel at `path`, and the SHA-256 of that wheel."""
        of_wheel = self.digest(path)
        return self._directory_with(of_wheel), of_wheel

    def _directory_with(self, of_wheel: str) -> str:
        return trees.path_of(self.root, key_of(_KIND, [_FORMAT, of_wheel, self._tag]))

    def _read_about(self, directory: str) -> WheelSummary | None:
        stored = caches.read_json(f"{directory}/about", _ABOUT)
        return stored and WheelSummary(**stored)

    def _unchanged(self, directory: str) -> WheelSummary | None:
        """The summary of the image at `directory`; None if there is none, or it was changed and therefore removed."""
        known = self._read_about(directory)
        if known is None:
            return None
        with contextlib.suppress(FileNotFoundError):  # it is being deleted
            if _survey(f"{directory}/tree") == (known.files, known.size, known.state):
                return known
        self.discard(f"{directory}/tree")
        return None

    def _make(self, path: str, directory: str, of_wheel: str) -> WheelSummary | None:
        """Make the image of the wheel at `path` in `directory`; None if that file was replaced meanwhile."""
        staging = f"{self.root}/staging"
        caches.make_directory(staging)
        with trust.masked(caches.OTHERS), tempfile.TemporaryDirectory(dir=staging) as stage:
            tree = f"{stage}/tree"
            about = self._write(path, tree, of_wheel)
            ready = f"{stage}/ready"
            os.mkdir(ready)
            os.rename(tree, f"{ready}/tree")
            with open(f"{ready}/about", "w", encoding="utf-8") as f:
                json.dump(about._asdict(), f)
            if self._directory_of(path)[0] != directory:
                return None
            trees.put(self.root, ready, directory, about.size, lambda: self._read_about(directory))
        self.store.local.note_added(about.size)
        return about

    def _write(self, path: str, tree: str, of_wheel: str) -> WheelSummary:
        """Write the files of the wheel at `path` into the new directory `tree`."""
        from sage_wheels.wheel.image import Request, write_images
        from sage_wheels.wheel.wheel import Wheel

        with Wheel(path, self._wheel_limits) as wheel:
            quiet = Store(self.store.root, limit=self.store.limit)  # whoever opened it says what is wrong with it
            image = write_images([Request(wheel, requested=False)], self.building.pattern, tree, store=quiet)[0]
            return _about(wheel)._replace(
                dist_info=image.dist_info,
                python=self.building.pattern.python,
                digest=of_wheel,
                **_survey(tree)._asdict(),
            )


def _about(wheel: Wheel) -> WheelSummary:
    fields = wheel.metadata
    return WheelSummary(
        wheel.name, wheel.version, fields.get("requires-dist", []), fields.get("requires-python", [""])[0]
    )


def _survey(directory: str) -> _Survey:
    """The `_Survey` of all files below `directory`. Raises `OSError`."""
    files = size = 0
    state = 0 if caches.is_own(os.stat(directory)) else 1
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
            state += hash((status.st_size, status.st_mtime_ns, status.st_mode, caches.is_own(status)))
    return _Survey(files, size, state)
