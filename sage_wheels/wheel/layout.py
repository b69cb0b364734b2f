"""The destination of each file of a wheel in a prefix, and the check that it is allowed there."""

from __future__ import annotations

import os

from sage_wheels.archive.strict_zip import Damaged
from sage_wheels.fs.digest import sha256
from sage_wheels.installed import record
from sage_wheels.installed.claims import is_open, is_protected
from sage_wheels.installed.files import source_of_bytecode
from sage_wheels.metadata import is_data
from sage_wheels.prefix.locator import Locator, landmarks
from sage_wheels.prefix.names import is_interpreter
from sage_wheels.prefix.paths import NOWHERE, all_below, ancestors, below, parent, plain, relative
from sage_wheels.wheel import scripts
from sage_wheels.wheel.groups import Placed, without

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Iterator

    from sage_wheels.archive.strict_zip import MemberName
    from sage_wheels.prefix import Prefix
    from sage_wheels.prefix.paths import PrefixPath
    from sage_wheels.wheel.groups import Group
    from sage_wheels.wheel.wheel import Wheel


class Layout:
    """The destinations of the files of a wheel, as paths in the prefix with symbolic links resolved.

    - `placed`: the members that are installed, but for RECORD, with their paths.
    - `directories`: those of all files, and all above them.
    - `scripts`: the content of each generated script, by path.
    - `launched`: members that are scripts and are run by a generated launcher.
    - `dist_info`: the path of the `.dist-info`; `library` that of its parent.

    With `compiling`, byte-code in the wheel is left out, because it is compiled again. `headers` is the name of the
    directory of its headers, by default the normalised name of the distribution. `locator` resolves links, by default
    in the prefix. Raises `WheelRefused` if two files have the same destination, or one has a destination that belongs
    to the prefix itself.
    """

    def __init__(
        self,
        wheel: Wheel,
        prefix: Prefix,
        *,
        compiling: bool = False,
        headers: str = "",
        locator: Locator | None = None,
    ) -> None:
        self.wheel = wheel
        self.prefix = prefix
        scheme = prefix.scheme
        self._locator = locator or Locator(prefix.root)
        self._landmarks = landmarks(prefix, self._locator)
        self._spelled: dict[str, str] = {}
        self._new: dict[str, bool] = {}
        self._library: str = getattr(scheme, wheel.root_scheme)
        self.library = parent(self._located(f"{self._library}/{wheel.dist_info}"))
        self.dist_info = parent(self._located(f"{self._library}/{wheel.dist_info}/RECORD"))
        # the name of the directory of headers is that which pip (since 25) uses for a wheel that is named by its path
        self._bases = {**scheme._asdict(), "headers": f"{scheme.headers}/{headers or wheel.canonical_name}"}
        self._programs: set[str] = set()
        self.scripts: dict[PrefixPath, bytes] = {}
        for name, text in scripts.entry_points(wheel, prefix.version):
            self._programs.add(name)
            self._add_scripts(scripts.files_of(prefix.path(f"{scheme.scripts}/{name}"), prefix.python, text))
        self.launched: frozenset[MemberName] = frozenset(self._find_launched())
        found = [each for group in wheel.groups for each in self._place(group)]
        self.directories = self._without_clash(found)
        # old setuptools put wrappers into .data/scripts; the generated scripts of entry points replace them, as with
        # pip
        left_out: dict[PrefixPath, object] = {**self.scripts, **dict.fromkeys(self._wrappers(found))}
        if compiling:
            left_out.update(dict.fromkeys(_compiled_again(found)))
        self.placed = without(found, left_out)

    def _place(self, group: Group) -> Iterator[Placed]:
        """The destinations of the members of `group`. A directory in which all files are allowed is looked at once."""
        whole = range(len(group.names))
        if self._is_new(group):
            yield Placed(group, whole, all_below(plain(f"{self._library}/{group.head}"), group.names))
            return
        scheme, rest = self.wheel.scheme_and_path(group.member(0))
        if scheme != "scripts":
            destination = self._checked(group.member(0))
            directory = parent(destination)
            base = self._bases[scheme]
            if (
                destination == (f"{base}/{rest}" if base else rest)  # no link on the way
                and is_open(self._landmarks, directory)
                and directory not in self._landmarks.skeleton_parents
                and directory not in self._landmarks.libraries  # where the name counts: of metadata, say
            ):
                yield Placed(group, whole, all_below(directory, group.names))
                return
        for index in whole:
            member = group.member(index)
            destination = self._checked(member)
            if member in self.launched:
                path = self.prefix.path(f"{self.prefix.scheme.scripts}/{self.wheel.scheme_and_path(member)[1]}")
                self._add_scripts({path: scripts.launcher(self.prefix.python, path)})
                destination = self._located(self._relative_to_root(scripts.launched_by(path)))
            yield Placed(group, [index], [destination])

    def _is_new(self, group: Group) -> bool:
        """Whether `group` is in a directory of the library directory whose outermost directory there does not exist
        yet, and would be no directory of the prefix itself. So there is no link in it, and every file is allowed
        there."""
        top = group.head.partition("/")[0]
        if top not in self._new:
            directory = f"{self._library}/{top}"
            self._new[top] = (
                top != ""
                and not is_data(f"{top}/")
                and self._checked(group.member(0)) == f"{self._library}/{group.member(0)}"
                and not os.path.lexists(f"{self._locator.root}/{directory}")
                and not any(f"{each}/".startswith(f"{directory}/") for each in self._landmarks.skeleton)
            )
        return self._new[top]

    def _without_clash(self, found: list[Placed]) -> set[PrefixPath]:
        """The directories of all files. Raises `WheelRefused` if two files have the same path, or one that of a
        directory."""
        last = [each.directory for each in found]
        directories = {*last, *map(parent, self.scripts), self.dist_info}
        directories |= directories_above(directories)
        directories.discard(NOWHERE)
        # in the archive there is no clash, and so there is none if all members have one base and nothing is added
        if self.scripts or any(is_data(f"{each.group.head}/") for each in found) or self._spelled:
            files = [path for each in found for path in each.paths]
            taken = {*files, below(self.dist_info, "RECORD")}
            if len(taken) != len(files) + 1:
                raise self.wheel.refused("two of its members have the same destination")
            if clash := directories.intersection(taken.union(self.scripts)):
                raise self.wheel.refused(f"it makes {min(clash)} both a file and a directory")
        return directories

    def _wrappers(self, found: list[Placed]) -> Iterator[PrefixPath]:
        if self._programs:
            for each in found:
                if self._is_wrapper(each.group.member(each.indexes[0])):
                    yield each.paths[0]

    def _add_scripts(self, files: dict[str, bytes]) -> None:
        for path, content in files.items():
            self.scripts[self._located(self._relative_to_root(path))] = content

    def _relative_to_root(self, path: str) -> str:
        return path[len(self.prefix.path(".")) - 1 :]  # the prefix may be /

    def _is_wrapper(self, member: MemberName) -> bool:
        scheme, rest = self.wheel.scheme_and_path(member)
        return scheme == "scripts" and scripts.wrapped_by(os.path.basename(rest)) in self._programs

    def _find_launched(self) -> Iterator[MemberName]:
        """The scripts that need a launcher (see `scripts.needs_launcher`)."""
        if scripts.is_read_by_kernel(self.prefix.python):
            return
        inside = (group for group in self.wheel.groups if self.wheel.is_script(group))
        for name in (group.member(index) for group in inside for index in range(len(group.names))):
            if self._is_wrapper(name):
                continue
            try:
                head = next(self.wheel.archive.chunks(self.wheel.archive.members[name]), b"")
            except Damaged as error:
                raise self.wheel.damaged(error) from error
            if scripts.needs_launcher(head, self.prefix.python):
                yield name

    def rewritten(self, member: MemberName, head: bytes) -> bytes:
        """The final form of `head`, the beginning of a member: with a new shebang, or unchanged."""
        if member in self.launched or self.wheel.scheme_and_path(member)[0] != "scripts":
            return head
        return scripts.with_shebang(head, self.prefix.python)

    def _checked(self, member: MemberName) -> PrefixPath:
        scheme, rest = self.wheel.scheme_and_path(member)
        base = self._bases[scheme]
        destination = self._located(f"{base}/{rest}" if base else rest)
        directory, _, name = destination.rpartition("/")
        if directory in self._landmarks.scripts and is_interpreter(name):
            raise self.wheel.refused(f"its {member} would replace the interpreter {destination}", "do not install it")
        if is_protected(self._landmarks, destination):
            raise self.wheel.refused(
                f"its {member} would replace {destination}, which is not a package's", "do not install it"
            )
        if self._landmarks.is_in_metadata(destination) and not destination.startswith(f"{self.dist_info}/"):
            raise self.wheel.refused(f"its {member} would be part of the metadata of another distribution")
        return destination

    def _located(self, spelled: str) -> PrefixPath:
        """`spelled` with links resolved. If a link leads out of the prefix or nowhere, it stays unresolved; planning
        will refuse it then."""
        as_spelled = plain(spelled)
        path = self._locator.locate("", spelled)
        if path is None or path == spelled or any(map(self._is_dangling, ancestors(as_spelled))):
            return as_spelled
        self._spelled[os.path.dirname(path)] = os.path.dirname(spelled)
        return path

    def _is_dangling(self, directory: PrefixPath) -> bool:
        path = self.prefix.path(directory)
        return os.path.islink(path) and not os.path.isdir(path)

    def sources(self) -> list[PrefixPath]:
        """The destinations of all files that end in .py: the files that pip would compile."""
        return [path for each in self.placed for path in each.paths if path.endswith(".py")]

    def expected_rows(
        self, *, generated: bool, inside: Container[PrefixPath] | None = None
    ) -> dict[PrefixPath, record.Row]:
        """The rows of RECORD after installation, by destination. Raises `WheelRefused` for a script that is damaged.

        Without `generated`, rows of generated scripts have no hash, because each installer generates different ones.
        If `inside` is given, only those of files in these directories.
        """
        rows = {path: record.Row(path) for path in self.scripts}
        if generated:
            rows = {path: record.row_of(path, content) for path, content in self.scripts.items()}
        for each in self.placed:
            if inside is None or each.directory in inside:
                is_script = self.wheel.is_script(each.group)
                for index, path in zip(each.indexes, each.paths, strict=True):
                    row = self._row_rewritten(each.group.member(index)) if is_script else None
                    rows[path] = (row or each.group.row(index))._replace(path=path)
        if inside is None or self.dist_info in inside:
            path = below(self.dist_info, "RECORD")
            rows[path] = record.Row(path)
        return rows

    def _row_rewritten(self, member: MemberName) -> record.Row | None:
        """The row of RECORD for the script `member`, if its first line is changed."""
        try:
            chunks = self.wheel.archive.chunks(self.wheel.archive.members[member])
            first = next(chunks, b"")
            head = self.rewritten(member, first)
            if head is first:
                return None
            digest, size = sha256(head), len(head)
            for chunk in chunks:
                digest.update(chunk)
                size += len(chunk)
        except Damaged as error:
            raise self.wheel.damaged(error) from error
        return record.Row(member, record.encode("sha256", digest.digest()), size)

    def relative(self, path: PrefixPath) -> str:
        """`path` in the form of RECORD, as pip writes it: relative to the parent of the `.dist-info`."""
        if path.startswith(f"{self.library}/"):
            return path[len(self.library) + 1 :]
        directory, name = os.path.split(path)
        return relative(os.path.join(self._spelled.get(directory, directory), name), self._library)

    def lines(self, placed: Placed) -> list[tuple[str, str]]:
        """The lines of RECORD, after their paths, for files that are as in the wheel."""
        group, (head, slash, name) = placed.group, placed.paths[0].rpartition("/")
        directory = self.relative(placed.paths[0]).removesuffix(name)
        if len(placed.paths) == len(group.names) > 1:
            return record.lines_in(directory, group.names, group.endings)
        names = [path[len(head + slash) :] for path in placed.paths]
        return record.lines_in(directory, names, [group.endings[index] for index in placed.indexes])


def _compiled_again(found: list[Placed]) -> Iterator[PrefixPath]:
    """The byte-code of sources that are in `found`, too."""
    taken: set[PrefixPath] = set()
    for each in found:
        if not each.paths[0].rpartition("/")[0].endswith("__pycache__"):
            continue
        taken = taken or {path for placed in found for path in placed.paths}
        for path in each.paths:
            if source_of_bytecode(path) in taken:
                yield path


def directories_above(paths: Iterable[PrefixPath]) -> set[PrefixPath]:
    """Every directory above `paths`.

    >>> sorted(directories_above([plain("a/b/c"), plain("a/d")]))
    ['a', 'a/b']
    """
    found: set[PrefixPath] = set()
    for path in paths:
        while (path := parent(path)) and path not in found:
            found.add(path)
    return found
