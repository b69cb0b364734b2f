"""Where the files of a wheel go in a prefix, and which of them it may not bring."""

from __future__ import annotations

import hashlib
import os

from sage_wheels.installed import record
from sage_wheels.installed.files import is_protected, source_of_bytecode
from sage_wheels.prefix.places import Places, ancestors, landmarks
from sage_wheels.wheel import scripts
from sage_wheels.wheel.archive import Damaged

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sage_wheels.prefix import Prefix
    from sage_wheels.wheel.wheel import Wheel


class Layout:
    """The goals of a wheel's files, as places in the prefix: what two links lead to is one goal.

    `goals` has the goal of each member that is installed, `scripts` the content of each script that is generated,
    `library` is the directory of the `.dist-info`, and `dist_info` the `.dist-info` itself. Byte-code in the wheel is
    left out with `compiling`, for it is made anew then. Raises `WheelRefused` if two files want one place, or one
    wants a place that is no package's.
    """

    def __init__(self, wheel: Wheel, prefix: Prefix, *, compiling: bool = False) -> None:
        self.wheel = wheel
        self.prefix = prefix
        scheme = prefix.scheme
        self._places = Places(prefix.root)
        self._landmarks = landmarks(prefix, self._places)
        self._spelled: dict[str, str] = {}
        self._library: str = getattr(scheme, wheel.root_scheme)
        self.library = os.path.dirname(self._place(f"{self._library}/{wheel.dist_info}"))
        self.dist_info = os.path.dirname(self._place(f"{self._library}/{wheel.dist_info}/RECORD"))
        # pip's place for headers: a directory for each distribution, of the name that it gives itself
        self._directories = {**scheme._asdict(), "headers": f"{scheme.headers}/{wheel.name}"}
        entry_points = scripts.entry_points(wheel, prefix.python, prefix.version)
        self.scripts = {self._place(f"{scheme.scripts}/{name}"): content for name, content in entry_points}
        goals = {member: self._goal(member) for member in wheel.archive.members}
        taken = set(goals.values())
        if len(taken) != len(goals):
            raise wheel.refused("two of its members go to the same place")
        if clash := directories_above([*goals.values(), *self.scripts]).intersection(taken.union(self.scripts)):
            raise wheel.refused(f"it makes {min(clash)} both a file and a directory")
        # old setuptools wrote its own wrappers into .data/scripts, too; the entry points win, as with pip
        self.goals = {
            member: goal
            for member, goal in goals.items()
            if goal not in self.scripts and not (compiling and source_of_bytecode(goal) in taken)
        }

    def _goal(self, member: str) -> str:
        scheme, rest = self.wheel.place(member)
        base = self._directories[scheme]
        goal = self._place(f"{base}/{rest}" if base else rest)
        directory, _, name = goal.rpartition("/")
        if directory in self._landmarks.scripts and scripts.is_interpreter(name):
            raise self.wheel.refused(f"its {member} would replace the interpreter {goal}", "do not install it")
        if is_protected(self._landmarks, goal):
            raise self.wheel.refused(
                f"its {member} would replace {goal}, which is not a package's", "do not install it"
            )
        if self._landmarks.is_in_record(goal) and not goal.startswith(f"{self.dist_info}/"):
            raise self.wheel.refused(f"its {member} would be part of the record of another distribution")
        return goal

    def _place(self, spelled: str) -> str:
        """The place of the path `spelled`; one below a link that leads out or nowhere stays, for the plan to refuse."""
        place = self._places.locate("", spelled)
        if place is None or place == spelled or any(map(self._is_dangling, ancestors(spelled))):
            return spelled
        self._spelled[os.path.dirname(place)] = os.path.dirname(spelled)
        return place

    def _is_dangling(self, directory: str) -> bool:
        path = self.prefix.path(directory)
        return os.path.islink(path) and not os.path.isdir(path)

    def sources(self) -> list[str]:
        """What pip would compile: every file that ends in .py, wherever it goes."""
        return [goal for goal in self.goals.values() if goal.endswith(".py")]

    def expected_rows(self, *, generated: bool) -> dict[str, record.Row]:
        """The files by place, as they will be in the prefix. Raises `WheelRefused` for a script that is damaged.

        Without `generated`, nothing is said of the content of scripts that are generated: each installer has its own.
        """
        rows = {place: record.Row(place) for place in self.scripts}
        if generated:
            rows = {place: record.row_of(place, content) for place, content in self.scripts.items()}
        for member, place in self.goals.items():
            row = self._rewritten(member) if self.wheel.place(member)[0] == "scripts" else None
            rows[place] = (row or self.wheel.rows.get(member, record.Row(place)))._replace(path=place)
        return rows

    def _rewritten(self, member: str) -> record.Row | None:
        """What RECORD will say of a script, if that gets another first line than it has in the wheel."""
        try:
            chunks = self.wheel.archive.chunks(self.wheel.archive.members[member])
            first = next(chunks, b"")
            head = scripts.with_shebang(first, self.prefix.python)
            if head is first:
                return None
            digest, size = hashlib.sha256(head), len(head)
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
        except Damaged as error:
            raise self.wheel.damaged(error) from error
        return record.Row(member, record.encode("sha256", digest.digest()), size)

    def relative(self, place: str) -> str:
        """`place` as RECORD has it: relative to the directory of the `.dist-info` by name, as pip writes it."""
        if place.startswith(f"{self.library}/"):
            return place[len(self.library) + 1 :]
        directory, name = os.path.split(place)
        return os.path.relpath(os.path.join(self._spelled.get(directory, directory), name), self._library)


def directories_above(places: Iterable[str]) -> set[str]:
    """Every directory above `places`.

    >>> sorted(directories_above(["a/b/c", "a/d"]))
    ['a', 'a/b']
    """
    found: set[str] = set()
    for place in places:
        while (place := place.rpartition("/")[0]) and place not in found:
            found.add(place)
    return found
