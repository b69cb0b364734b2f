"""The members of a wheel by directory: what is true of a directory is found out once, and not for each of its files."""

from __future__ import annotations

from sage_wheels.archive.strict_zip import member_in
from sage_wheels.installed import record
from sage_wheels.named import NamedTuple
from sage_wheels.prefix.paths import parent

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from sage_wheels.archive.strict_zip import Member, MemberName
    from sage_wheels.prefix.paths import PrefixPath


class Group(NamedTuple):
    """The members of a wheel in one directory, `head`. RECORD is not among them, because it is made anew.

    `number` is that of the group, `first` that of its first member in all groups. For each member there is its name in
    the directory, its size, 1 in `executable` if it is that, and the end of its row in RECORD (`record.ending`).
    """

    number: int
    first: int
    head: str
    names: list[str]
    sizes: list[int]
    executable: bytes
    endings: list[str]

    def member(self, index: int) -> MemberName:
        return member_in(self.head, self.names[index])

    def row(self, index: int) -> record.Row:
        """The row of RECORD, under the name in the directory."""
        return record.parse(f"x{self.endings[index]}".encode())[0]._replace(path=self.names[index])


class Placed(NamedTuple):
    """Members of a group, by their index in it, and the path of each in the prefix; all are in one directory."""

    group: Group
    indexes: Sequence[int]
    paths: list[PrefixPath]

    @property
    def directory(self) -> PrefixPath:
        return parent(self.paths[0])


def without(placed: list[Placed], paths: Mapping[PrefixPath, object]) -> list[Placed]:
    """`placed` without the members that have one of `paths`."""
    if not paths:
        return placed
    found = []
    directories = set(map(parent, paths))
    for each in placed:
        if each.directory not in directories or paths.keys().isdisjoint(each.paths):
            found.append(each)
        elif left := [pair for pair in zip(each.indexes, each.paths, strict=True) if pair[1] not in paths]:
            found.append(Placed(each.group, [index for index, _ in left], [path for _, path in left]))
    return found


def grouped(members: Iterable[Member], rows: Mapping[str, record.Row], left_out: str) -> list[Group]:
    """The groups of `members`, but for the one with the name `left_out`, with the `rows` of RECORD."""
    found: dict[str, list[Member]] = {}
    for each in members:
        found.setdefault(each.name.rpartition("/")[0], []).append(each)
    groups: list[Group] = []
    first = 0
    for head, inside in found.items():
        inside = [each for each in inside if each.name != left_out]
        if inside:
            begin = len(head) + 1 if head else 0
            groups.append(
                Group(
                    *(len(groups), first, head),
                    [each.name[begin:] for each in inside],
                    [each.size for each in inside],
                    bytes(each.executable for each in inside),
                    [record.ending(rows.get(each.name)) for each in inside],
                )
            )
            first += len(inside)
    return groups
