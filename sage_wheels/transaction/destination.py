"""What a transaction is to do: the files to install, the distributions to remove, and how to treat existing files."""

from __future__ import annotations

import enum

from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Protocol

    from sage_wheels.fs.paths import FullPath
    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.prefix.paths import PrefixPath

    class Policy(Protocol):
        """Decides about existing files. `advice` is the advice for a conflict that has no better one."""

        @property
        def advice(self) -> str: ...

        def meet(self, staged: FullPath, logical: PrefixPath, path: PrefixPath) -> Verdict:
            """Decide about the file at `path`. The new file is at `staged`; its path in the new tree is `logical`."""

        def newcomer(self, path: PrefixPath) -> str:
            """The name, for messages, of what would be installed at `path`."""


class Verdict(enum.Enum):
    """What is done about an existing file, and the new one."""

    STAYS = enum.auto()  # the new file is not needed
    GOES = enum.auto()  # its owner, or the source from which it was compiled, is removed
    OVERWRITTEN = enum.auto()  # although its owner stays installed, or it has no owner
    SET_ASIDE = enum.auto()  # as OVERWRITTEN, and a copy is kept
    IN_THE_WAY = enum.auto()


class Destination(NamedTuple):
    """What a transaction is to do.

    `tree` is the directory of the new files, with the same structure as the prefix, or None; `new` has the name of the
    distribution of each new file, by path. `remove` are the distributions to remove or replace. With `overwrite`, any
    existing file may be replaced; with `adopt`, those without owner. `policy` decides about existing files; None stands
    for `InstallPolicy`. `watched` are names of further distributions; if one of them is installed or removed meanwhile,
    the plan is made again.
    """

    tree: FullPath | None
    new: dict[PrefixPath, str]
    remove: list[Distribution]
    overwrite: bool
    policy: Policy | None = None
    adopt: bool = False
    watched: frozenset[str] = frozenset()
