"""The interface of a store behind the local one; `remote.RemoteTier` has it."""

from __future__ import annotations

from sage_wheels.named import Protocol

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from sage_wheels.store.results import Content


class Tier(Protocol):
    """A store behind the local directory. It is not trusted: the caller checks what it returns.

    No method raises an error. A store that is slow, full, damaged or cannot be reached has nothing and keeps nothing,
    and reports that itself.
    """

    def get_result(self, key: str) -> bytes | None:
        """The bytes of the result `key`; None if there are none."""

    def get_content(self, content: Content, path: str, seconds: float | None) -> bool:
        """Write `content` to the new file `path`. Returns whether it was there. Making it again takes `seconds`."""

    def keep(self, key: str, data: bytes, files: Mapping[str, str]) -> None:
        """Keep `data` as the result `key`, and before that its contents, the `files` (SHA-256: path).

        This may be done later; the caller may delete the files meanwhile.
        """

    def finish(self) -> None:
        """Wait, but not for long, until everything is kept."""
