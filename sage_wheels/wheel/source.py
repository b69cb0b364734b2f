"""A verified wheel for frontends that use PyPA's `installer`: it implements `installer.sources.WheelSource`."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import tempfile
from typing import BinaryIO, cast

from installer.sources import WheelSource

from sage_wheels.archive.strict_zip import Damaged
from sage_wheels.errors import WheelNotValid, WheelRefused
from sage_wheels.installed import record
from sage_wheels.wheel.wheel import Wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from installer.sources import WheelContentElement

    from sage_wheels.archive.strict_zip import Member, WheelLimits

_IN_MEMORY = 8 << 20  # bytes of a member; a larger one is kept in a temporary file


class VerifiedWheel(WheelSource):
    """An open wheel whose metadata were checked (see `Wheel`); each member is compared with its hash in RECORD.

    >>> import installer
    >>> with VerifiedWheel.open("six-1.16.0-py2.py3-none-any.whl") as source:  # doctest: +SKIP
    ...     installer.install(source, destination, {})
    """

    validation_error = WheelNotValid

    def __init__(self, wheel: Wheel) -> None:
        super().__init__(wheel.file_name.name, wheel.file_name.version)
        self._wheel = wheel

    @classmethod
    @contextlib.contextmanager
    def open(cls, path: str | os.PathLike[str], limits: WheelLimits | None = None) -> Iterator[VerifiedWheel]:
        """Open the wheel at `path`; `limits` bound its size. Raises `WheelRefused`."""
        with Wheel(os.fspath(path), limits) as wheel:
            yield cls(wheel)

    @property
    def dist_info_dir(self) -> str:
        return self._wheel.dist_info

    @property
    def data_dir(self) -> str:
        return self._wheel.data

    @property
    def dist_info_filenames(self) -> list[str]:
        inside = f"{self._wheel.dist_info}/"
        return [name[len(inside) :] for name in self._wheel.archive.members if name.startswith(inside)]

    def read_dist_info(self, filename: str) -> str:
        """The text of a file in the `.dist-info`. Raises `KeyError` if there is none, as `installer.WheelFile` does."""
        text = self._wheel.read_text(filename)
        if text is None:
            raise KeyError(f"{self._wheel.path} has no {self._wheel.dist_info}/{filename}")
        return text

    def validate_record(self, *, validate_contents: bool = True) -> None:
        """Compare the hash of every member with RECORD; names and sizes were compared when the wheel was opened.

        Raises `WheelNotValid`.
        """
        try:
            for member in self._wheel.archive.members.values() if validate_contents else ():
                self._read(member, lambda chunk: None)
        except WheelRefused as error:
            raise WheelNotValid(error.what, error.advice) from error

    def get_contents(self) -> Iterator[WheelContentElement]:
        """Yield the row of RECORD, the content and the mode of each member.

        The content was verified before. Raises `WheelRefused` if it differs from RECORD.
        """
        for member in self._wheel.archive.members.values():
            row = self._wheel.rows.get(member.name, record.Row(member.name))
            elements = (member.name, row.digest, "" if row.size is None else str(row.size))
            with io.BytesIO() if member.size <= _IN_MEMORY else tempfile.TemporaryFile() as stream:
                self._read(member, stream.write)
                stream.seek(0)
                yield elements, cast("BinaryIO", stream), member.executable

    def _read(self, member: Member, consume: Callable[[bytes], object]) -> None:
        row = self._wheel.rows.get(member.name)
        algorithm = row.digest.partition("=")[0] if row and row.digest else "sha256"
        digest = hashlib.new(algorithm)
        try:
            for chunk in self._wheel.archive.chunks(member):
                digest.update(chunk)
                consume(chunk)
        except Damaged as error:
            raise self._wheel.damaged(error) from error
        if row and row.digest and record.encode(algorithm, digest.digest()) != row.digest.rstrip("="):
            raise self._wheel.wrong_hash(member)
