"""The order of the steps of a plan, chosen so that a Python that starts meanwhile finds code that fits its metadata.

The order is that in docs/design.md. Code is installed before the metadata that describe it. Files that run at every
start of Python (`.pth`) are removed first and installed last.
"""

from __future__ import annotations

import enum

from sage_wheels.transaction.stage import SET_ASIDE

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.prefix.locator import Landmarks
    from sage_wheels.transaction.journal import Step


class Rank(enum.IntEnum):
    """What kind of file a step adds or removes, in the order in which the steps are taken. Copies of
    edited files are first, and empty directories that are made: nothing uses them."""

    COPY_SET_ASIDE = enum.auto()
    PTH_REMOVED = enum.auto()
    SCRIPT_REMOVED = enum.auto()
    CODE_ADDED = enum.auto()  # or data
    SCRIPT_ADDED = enum.auto()
    CODE_REMOVED = enum.auto()
    METADATA_ADDED = enum.auto()
    METADATA_REMOVED = enum.auto()
    EMPTY_DIRECTORY_REMOVED = enum.auto()
    PTH_ADDED = enum.auto()


def in_order(steps: list[Step], landmarks: Landmarks) -> list[Step]:
    """`steps`, sorted by rank. Within a rank by path, but RECORD last, and inner empty directories first."""

    def key(step: Step) -> tuple[Rank, bool, int, str]:
        depth = step.path.count("/") if step.do == "rmdir" else 0
        return rank_of(step, landmarks), step.path.endswith("/RECORD"), -depth, step.path

    return sorted(steps, key=key)


def rank_of(step: Step, landmarks: Landmarks) -> Rank:
    adds = step.do not in ("remove", "rmdir")
    directory, _, name = step.path.rpartition("/")
    if step.path.startswith(SET_ASIDE) or step.do == "mkdir":
        return Rank.COPY_SET_ASIDE
    if step.do == "rmdir":
        return Rank.EMPTY_DIRECTORY_REMOVED
    if name.endswith((".pth", ".start")) and landmarks.inside_library(step.path):
        return Rank.PTH_ADDED if adds else Rank.PTH_REMOVED
    if landmarks.is_in_metadata(step.path):
        return Rank.METADATA_ADDED if adds else Rank.METADATA_REMOVED
    if directory in landmarks.scripts:
        return Rank.SCRIPT_ADDED if adds else Rank.SCRIPT_REMOVED
    return Rank.CODE_ADDED if adds else Rank.CODE_REMOVED
