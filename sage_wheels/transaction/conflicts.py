"""Collect all conflicts of a plan, so that one error reports them together."""

from __future__ import annotations

from sage_wheels.errors import Conflict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath


class Conflicts:
    """Collects conflicts in `prefix`; `advice` is for conflicts that --on-conflict overwrite does not solve."""

    def __init__(self, prefix: Prefix, advice: str) -> None:
        self._prefix = prefix
        self._advice = advice
        self._sentences: list[str] = []
        self._overwritable = 0

    def add(self, path: PrefixPath, newcomer: str, why: str, *, overwritable: bool = False) -> None:
        """Add a conflict: `newcomer` would replace the file at `path`; `why` is the end of "which ..."."""
        self._sentences.append(f"{newcomer} would replace {self._prefix.path(path)}, which {why}")
        self._overwritable += overwritable

    def check(self) -> None:
        """Raise `Conflict` if there are conflicts."""
        if not self._sentences:
            return
        first, *others = self._sentences
        can_overwrite = self._overwritable == len(self._sentences)
        raise Conflict(
            first + (f" ({len(others)} more below)" if others else ""),
            "uninstall the one or the other, or give --on-conflict overwrite" if can_overwrite else self._advice,
            details="\n".join(others),
        )
