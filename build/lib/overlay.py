"""Put this project into a tree of Sage, and take it out again.

usage: overlay.py CHECKOUT SAGE_ROOT [--undo | --status]

What is added:

    build/sage-wheels/      the tool and its dependencies; `overlay.json`, the list of what was done; the genuine files
                            that were replaced, below `genuine/`; `python`, which system Python was found
    build/bin, build/lib    our scripts; `sage-bootstrap-python` where the tree has none (Sage since 10.9); a file
                            `.gitignore` with their names

What is replaced as a whole:

    sage-flock, sage-pip-install, sage-pip-uninstall, sage-bootstrap-python
    the tools of the build that are written in Python: by scripts that run the same code with the system Python, or need
        no Python at all
    sage-spkg-uninstall: by one that first removes what the genuine one cannot remove well

What is edited: one line is added to sage-dist-helpers, and two are changed in sage-spkg, in that of passagemath three.
If the tree has these files, the line for --pip and the one that starts ninja are changed in src/bin/sage, and those
that start meson in src/doc/Makefile. Lines of sage-spkg, sage-logger and src/bin/sage-env are changed so that they do
the same with fewer processes (cheaper.py), where the tree has them.

The tables of all this are in scripts.py. A tree is recognised by what its scripts do, not by its version: see
interfaces.py. What is at a path, ours or the genuine file or another, is told by situation.py. What git has of the tree
is asked in repository.py.

The list is written first and deleted last. A genuine file is kept by a hard link before it is replaced by a rename, and
is put back by a rename, with its time and mode. So --undo works after an interruption at any point. Git may change any
of these files meanwhile (checkout, stash, rebase). A file that is neither ours nor the one that was kept, but is as git
has it, is the genuine file from then on. Where git has merged our lines into a file of another release, that is what
git has without them. What is ours in git's index is taken out of it. This file uses only the standard library of
Python 3.10.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import NamedTuple, NoReturn

sys.dont_write_bytecode = True  # this may be run by another user than the owner of the checkout
sys.path.insert(0, str(Path(__file__).parent))  # with -I, Python does not look beside this file
import interfaces  # noqa: E402
from bundle import bundle  # noqa: E402
from repository import IGNORING, IGNORING_ALL, Refused, git_command, has_conflict, ignoring, in_git, unstage  # noqa: E402
from scripts import ADDED, ADDED_IF_MISSING, OURS_SAYS, REPLACED, Replacement, edited, matches, speaks_of_us  # noqa: E402
from situation import (  # noqa: E402
    GENUINE,
    HOME,
    LIST,
    State,
    genuine_text,
    has_to_come_back,
    hash_of,
    is_kept,
    is_of_another_release,
    kind_of,
    went_with_its_release,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

UNFINISHED = f"{HOME}.new"


class Added(NamedTuple):
    """A file that is added to the tree."""

    text: bytes
    mode: int


def apply(checkout: Path, root: Path) -> str:
    """Put the project into the tree at `root`; returns a sentence. If it raises `Refused`, nothing was changed."""
    state = State.of(root)
    if state is None and (left := _left_alone(root)):
        raise Refused(left)
    if state:
        _refuse_what_was_edited(root, state)  # first, because it may be what makes the tree unknown
    there = [entry for entry in REPLACED if not entry.optional or genuine_text(root, entry.path, state) is not None]
    _refuse_conflicts(root, state)
    new = {entry.path: _new_text(checkout, root, entry, state) for entry in there}
    if differences := interfaces.differences(root, lambda path: genuine_text(root, path, state)):
        _not_recognised(root, "; ".join(differences))
    added = _added(checkout, root, [path for path in ADDED_IF_MISSING if path not in new], state)
    _refuse_what_is_in_the_way(root, added, state)
    undo(root)  # only now, because `Refused` promises that nothing was changed
    fresh = State(
        {path: hash_of(text) for path, text in new.items()},
        {path: hash_of(file.text) for path, file in added.items()},
        [each for each in ("build/lib",) if not (root / each).exists()],
    )
    shutil.rmtree(root / UNFINISHED, ignore_errors=True)
    (root / UNFINISHED).mkdir()
    (root / UNFINISHED / Path(LIST).name).write_text(json.dumps(fresh._asdict(), indent=2))
    (root / UNFINISHED / ".gitignore").write_text(IGNORING_ALL)
    (root / UNFINISHED).rename(root / HOME)  # from here on there is something to undo
    try:
        bundle(checkout, root / HOME / "tool")
        for entry in sorted((root / HOME / "tool").iterdir()):
            entry.rename(root / HOME / entry.name)
        (root / HOME / "tool").rmdir()
        for path, file in added.items():
            (root / path).parent.mkdir(exist_ok=True)
            _write(root / path, file.text, file.mode)
        for path, text in new.items():
            kept = root / GENUINE / path
            kept.parent.mkdir(parents=True, exist_ok=True)
            os.link(root / path, kept, follow_symlinks=False)
            _write(root / path, text, (root / path).stat().st_mode & 0o7777)
    except BaseException:
        undo(root)
        raise
    return f"sage-wheels is in {root}; to take it out: {_command(root)} --undo"


def undo(root: Path) -> str:
    """Take the project out of the tree at `root`; returns a sentence. If it raises `Refused`, nothing was changed."""
    shutil.rmtree(root / UNFINISHED, ignore_errors=True)
    state = State.of(root)
    if state is None:
        if left := _left_alone(root):
            raise Refused(left)
        return f"sage-wheels is not in {root}"
    kinds = _refuse_what_was_edited(root, state)
    for path in (path for path, kind in kinds.items() if kind == "merged"):
        _write(root / path, in_git(root, path) or b"", (root / path).stat().st_mode & 0o7777)
    for path in state.replaced:
        if kinds[path] == "ours" and went_with_its_release(root, path):
            (root / path).unlink()
        elif is_kept(root, path) and has_to_come_back(root, path, state):
            _put_back(root / GENUINE / path, root / path)
    for path in state.added:
        if kind_of(root, path, state) == "ours":
            (root / path).unlink()
    for path in [*state.added, *state.replaced]:
        _unfinished(root / path).unlink(missing_ok=True)
    unstage(root, state.replaced, state.added)
    for path in state.made_directories:
        shutil.rmtree(root / path / "__pycache__", ignore_errors=True)
        if (root / path).exists() and not any((root / path).iterdir()):
            (root / path).rmdir()
    for entry in (root / HOME).iterdir():
        if entry != root / LIST:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (root / LIST).unlink()
    (root / HOME).rmdir()
    return f"sage-wheels is no longer in {root}, and its files are what they were"


def _refuse_what_was_edited(root: Path, state: State) -> dict[str, str]:
    """What is at the path of each file of ours. Raises `Refused` if `undo` would lose or mix something."""
    kinds = {path: kind_of(root, path, state) for path in [*state.added, *state.replaced]}
    edited = [path for path, kind in kinds.items() if kind == "edited"]
    if edited:
        others = f" (and {len(edited) - 1} more)" if len(edited) > 1 else ""
        raise Refused(
            f"{root / edited[0]}{others} was changed since sage-wheels was put there; save your changes, then"
            f" {_away(root, *edited)}"
        )
    for path in (path for path, kind in kinds.items() if kind == "missing" and is_of_another_release(root, path)):
        raise Refused(f"{root / path} is gone, and what was kept of it is of another release; {_away(root, path)}")
    return kinds


def status(root: Path) -> str:
    """A line for each file that says what is there (see `kind_of`), and a last line with the result and advice."""
    state = State.of(root)
    if state is None:
        return _left_alone(root) or f"sage-wheels is not in {root}; to put it in: {_command(root)}"
    found = {path: kind_of(root, path, state) for path in [*state.replaced, *state.added]}
    lines = [f"{kind:8}  {path}" for path, kind in found.items()]
    kinds = set(found.values())
    if kinds == {"ours"}:
        return "\n".join([*lines, f"sage-wheels is in {root}"])
    advice = f"to put it in again: {_command(root)}; to take it out: {_command(root)} --undo"
    if edited := [path for path, kind in found.items() if kind == "edited"]:
        advice = f"save what was edited, and {_away(root, *edited)}; then, {advice}"
    return "\n".join([*lines, f"sage-wheels is in {root} in part; {advice}"])


def _command(root: Path) -> str:
    """The command that puts the project into the tree at `root`, for messages: a shell takes it as it stands there."""
    return shlex.join([str(Path(__file__).parents[1] / "overlay"), str(root)])


def _away(root: Path, *paths: str) -> str:
    """How to get rid of edited files, for messages: git has those of the release that is checked out."""
    if all(in_git(root, path) is not None for path in paths):
        return f"run: {git_command(root, 'checkout', 'HEAD', '--', *paths)}"
    return f"delete {'it' if len(paths) == 1 else 'them'}"


def _put_back(kept: Path, path: Path) -> None:
    if os.path.lexists(path) and os.path.samestat(path.lstat(), kept.lstat()):
        kept.unlink()  # it was never replaced; rename(2) between two names of one file does nothing
    else:
        os.replace(kept, path)


def _new_text(checkout: Path, root: Path, entry: Replacement, state: State | None) -> bytes:
    """The new content of `entry.path`. Raises `Refused` if the genuine file is not one that we know."""
    try:
        genuine = genuine_text(root, entry.path, state)
        text = genuine.decode() if genuine is not None else None
    except (OSError, UnicodeDecodeError):
        _not_recognised(root, f"{entry.path} cannot be read")
    if text is None:
        _not_recognised(root, f"{entry.path} is not there")
    if entry.ours:
        return (checkout / "build" / "bin" / entry.ours).read_bytes()
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        is_one = entry.every and entry.every in line and not line.startswith("#")
        if is_one and not any(matches(line, edit) for edit in entry.edits):
            _not_recognised(root, f"{entry.path} has another line {number} with {entry.every!r}, {line!r}")
    new = edited(text, entry.edits)
    for edit, count in new.other:
        _not_recognised(root, f"{entry.path} has {count or 'no'} lines {edit.old[0]!r}")
    return new.text.encode()


def _added(checkout: Path, root: Path, missing: list[str], state: State | None) -> dict[str, Added]:
    """The files to be added to the tree at `root`, by path; `missing` are those of `ADDED_IF_MISSING`."""
    added = {}
    for path, source in [*ADDED.items(), *((path, ADDED_IF_MISSING[path]) for path in missing)]:
        file = checkout / source
        added[path] = Added(file.read_bytes(), file.stat().st_mode & 0o777)
    for path in IGNORING:
        if not os.path.lexists(root / path) or (state and path in state.added) or _was_left(root / path):
            added[path] = Added(ignoring(path, added).encode(), 0o644)
    return added


def _refuse_conflicts(root: Path, state: State | None) -> None:
    """Raise `Refused` if git has left a conflict in a script that matters."""
    for path in sorted({*(entry.path for entry in REPLACED), *interfaces.PATHS}):
        if has_conflict(genuine_text(root, path, state) or b""):
            raise Refused(f"git has left a conflict in {root / path}; resolve it, and run this again")


def _refuse_what_is_in_the_way(root: Path, added: Iterable[str], state: State | None) -> None:
    ours = {HOME, *state.added} if state else set()
    for path in [HOME, *added]:
        if path not in ours and os.path.lexists(root / path) and not _was_left(root / path):
            _not_recognised(root, f"{path} is there already, and is not ours")
    if os.path.lexists(root / "build/lib") and not (root / "build/lib").is_dir():
        _not_recognised(root, "build/lib is no directory")


def _was_left(path: Path) -> bool:
    """Whether the file at `path`, which is to be added, is ours; `git checkout` leaves what git does not know."""
    return path.is_file() and not path.is_symlink() and speaks_of_us(path.read_bytes())


def _left_alone(root: Path) -> str:
    """A sentence if the tree has our scripts, but not `HOME`, which `git clean -x` deletes; "" if it has none."""
    for entry in REPLACED:
        try:
            if entry.ours and entry.path not in ADDED_IF_MISSING and OURS_SAYS in (root / entry.path).read_bytes():
                return (
                    f"{root / entry.path} is ours, but {HOME} is gone, which 'git clean -x' deletes; put the genuine"
                    " scripts back from the archive of that release, or run:"
                    f" {git_command(root, 'checkout', 'build/bin', 'src/bin', 'src/doc/Makefile')}"
                )
        except OSError:
            continue
    return ""


def _not_recognised(root: Path, why: str) -> NoReturn:
    raise Refused(
        f"{root} is no Sage tree that this version of sage-wheels knows: {why}; nothing was changed; undo"
        " what you have edited there, or take a newer sage-wheels"
    )


def _write(path: Path, text: bytes, mode: int) -> None:
    """Write a file by a rename: a script that is being run keeps its old content."""
    new = _unfinished(path)
    new.write_bytes(text)
    new.chmod(mode)
    os.replace(new, path)


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _remedy(error: OSError) -> str:
    """What to do about `error`, which names a file: often it belongs to whoever put the overlay there."""
    directory = os.path.dirname(str(error.filename))
    if isinstance(error, PermissionError) and os.path.isdir(directory):
        owner = os.stat(directory).st_uid
        if owner != os.geteuid():
            return f"become the user with the number {owner}, who owns {directory}"
    return "solve that"


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="build/overlay", description="Put sage-wheels into a Sage tree, or take it out."
    )
    parser.add_argument("checkout", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("root", metavar="SAGE_ROOT", type=Path)
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--undo", action="store_true", help="take it out again, byte for byte")
    what.add_argument("--status", action="store_true", help="tell for each file whether it is ours or the genuine one")
    options = parser.parse_args(arguments)
    root = options.root.absolute()
    if not root.is_dir():
        raise Refused(f"{root} is no directory; name the root of a Sage tree")
    if (root / "build/lib/overlay.py").exists():  # all of our scripts are there, too
        raise Refused(f"{root} is a checkout of sage-wheels; name the root of a Sage tree")
    if options.status:
        print(status(root))
    else:
        print(undo(root) if options.undo else apply(options.checkout, root), file=sys.stderr)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
    except Refused as error:
        sys.exit(f"overlay: {error}")
    except OSError as error:
        sys.exit(
            f"overlay: {error.filename} cannot be read or changed ({error.strerror});"
            f" {_remedy(error)}, and run it again"
        )
