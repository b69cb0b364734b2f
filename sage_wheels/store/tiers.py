"""What a second store for results and contents must be able to do; `remote` is one."""

from __future__ import annotations

from typing import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from sage_wheels.store.results import Content


class Tier(Protocol):
    """A store behind the local directory. Nothing in it is believed: whoever asks looks at what comes.

    No method raises an error for what a tier can do: one that is slow, full, away or damaged has nothing, or keeps
    nothing, and says so in its own way.
    """

    def get_result(self, key: str) -> bytes | None:
        """The bytes kept as the result `key`; None if there are none."""

    def get_content(self, content: Content, path: str, seconds: float | None) -> bool:
        """Write `content` to the new file `path`; whether it was there. To make it again takes `seconds`."""

    def keep(self, key: str, data: bytes, files: Mapping[str, str]) -> None:
        """Keep `data` as the result `key`, and before that its contents, which are the `files` (SHA-256: path).

        May happen later; the files may go meanwhile.
        """

    def finish(self) -> None:
        """Wait, but not for long, until all is kept."""
