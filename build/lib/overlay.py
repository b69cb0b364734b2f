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

A tree is recognised by what these scripts do, not by its version: see interfaces.py.

The list is written first and deleted last. A genuine file is kept by a hard link before it is replaced by a rename, and
is put back by a rename, with its time and mode. So --undo works after an interruption at any point. Git may change any
of these files meanwhile (checkout, stash, rebase). A file that is neither ours nor the one that was kept, but is as git
has it, is the genuine file from then on. Where git has merged our lines into a file of another release, that is what
git has without them. What is ours in git's index is taken out of it. This file uses only the standard library of
Python 3.10.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple, NoReturn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

HOME = "build/sage-wheels"
LIST = f"{HOME}/overlay.json"
GENUINE = f"{HOME}/genuine"
UNFINISHED = f"{HOME}.new"
_OURS_SAYS = b"sage-wheels is in this tree only in part"  # each of our scripts prints this if the tool is gone


class Refused(Exception):
    """Nothing was changed; the message is one sentence that says why."""


class Edit(NamedTuple):
    """A line of a genuine script, in each form that it has in some release, and the lines that take its place.

    Indentation does not count, and the new lines get that of the old one. If `old` is only what precedes the handling
    of an error (`_ERROR`), that is kept, whatever its message is.
    """

    old: tuple[str, ...]
    new: tuple[str, ...]
    optional: bool = False  # not every release has that line; where one has several, each is changed


class Replacement(NamedTuple):
    """A genuine script, and what replaces it: our file, or edits. An `optional` one is not in every tree.

    Each line that contains `every` must be one that an edit replaces.
    """

    path: str
    ours: str = ""
    edits: tuple[Edit, ...] = ()
    optional: bool = False
    every: str = ""


_ERROR = " || exit_with_error_msg "
_MOVE = Edit(
    (
        '$SAGE_SUDO cp -Rp "$PREFIX/." "$SAGE_INST_LOCAL"',
        '(cd "$PREFIX" && tar cf - .) | $SAGE_SUDO tar xpf - -C "$SAGE_INST_LOCAL"',  # passagemath
    ),
    ('$SAGE_SUDO "$SAGE_ROOT/build/bin/sage-move-tree" "$PREFIX" "$SAGE_INST_LOCAL"',),
)
_FIND = """cd "$PREFIX" && find . -type f -o -type l | sed 's|^\\./||'"""
_MANIFEST = Edit(
    (f'FILE_LIST="$({_FIND} | sort)"',),
    (f'FILE_LIST="$( ({_FIND}; cat "$SAGE_BUILD_DIR/$PKG_NAME/spkg-stored" 2>/dev/null) | sort -u)"',),
)
# passagemath asks the prefix's Python for its tags, for each package, and takes all files of a package if that fails.
_TAGS = (
    """TAGS=$("$SAGE_INST_LOCAL"/bin/python3 -c "from packaging.tags import sys_tags; """
    """print(' '.join(f'{tag.interpreter}-{tag.abi}-{tag.platform}' for tag in sys_tags()))" 2>/dev/null)"""
)
_OUR_TAGS = Edit(
    (_TAGS,),
    (
        "TAGS=of-the-prefix  # sage-wheels: see build/lib/bootstrap_tool.py",
        f'grep -q bootstrap_tool.py "$SAGE_ROOT/build/bin/sage-package" || {_TAGS}',  # git may have put that back
    ),
    optional=True,
)
_PIP = 'exec python3 -m pip --disable-pip-version-check "$@"'
_OUR_PIP = Edit(
    (_PIP,), ('[ ! -x "$SAGE_ROOT/build/bin/sage-pip" ] || exec "$SAGE_ROOT/build/bin/sage-pip" "$@"', _PIP)
)
# Where the functions for package scripts have put a ninja that takes the lock of the build directory (see sage-ninja).
_OUR_NINJA = "$SAGE_VENV/var/lib/sage-wheels/ninja"
_BUILD = Edit(
    ("ninja -C $SAGE_ROOT/build/sage-distro || exit $?",),
    (
        f'ninja=ninja; [ ! -x "{_OUR_NINJA}" ] || ninja="{_OUR_NINJA}"',
        '"$ninja" -C $SAGE_ROOT/build/sage-distro || exit $?',
    ),
    optional=True,
)
_MESON = "meson compile -C ../../build/sage-distro"
_DOCUMENT = tuple(
    Edit(
        (f"{_MESON} {target}",),
        (f'NINJA=`ls "$${_OUR_NINJA[1:]}" 2>/dev/null || echo ninja` {_MESON} {target}',),
        optional=True,
    )
    for target in ("doc-html", "doc-pdf")
)
_END = "set +o allexport"
_OURS_TOO = Edit(
    (_END,),
    (
        _END,
        "",
        '[ ! -r "${BASH_SOURCE[0]}-python" ] ||'
        ' . "${BASH_SOURCE[0]}-python"  # sage-wheels: the functions for Python packages',
    ),
)


def _module(name: str):  # type: ignore[no-untyped-def]  # a file beside this one; with -I, `import` does not find it
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_CHEAPER = _module("cheaper")


def _cheaper(path: str) -> tuple[Edit, ...]:
    """The edits of the script `path` that only save processes (cheaper.py)."""
    lines: list[tuple[str, str]] = _CHEAPER.lines(path)
    return tuple(
        Edit((old,), (f"{new}  # sage-wheels: as before, fewer processes",), optional=True) for old, new in lines
    )


REPLACED = (
    Replacement("build/bin/sage-bootstrap-python", "sage-bootstrap-python", optional=True),
    Replacement("build/bin/sage-flock", "sage-flock"),
    Replacement("build/bin/sage-pip-install", "sage-pip-install"),
    Replacement("build/bin/sage-pip-uninstall", "sage-pip-uninstall"),
    Replacement("build/bin/sage-spkg-uninstall", "sage-spkg-uninstall"),
    Replacement("build/bin/sage-build-num-threads", "sage-build-num-threads"),
    Replacement("build/bin/sage-package", "sage-bootstrap-tool"),
    Replacement("build/bin/sage-spkg-installcheck", "sage-bootstrap-tool"),
    Replacement("build/bin/sage-download-file", "sage-bootstrap-tool"),
    Replacement("build/bin/sage-uncompress-spkg", "sage-bootstrap-tool"),
    Replacement("build/bin/sage-dist-helpers", edits=(_OURS_TOO,)),
    Replacement("build/bin/sage-spkg", edits=(_MOVE, _MANIFEST, _OUR_TAGS, *_cheaper("build/bin/sage-spkg"))),
    Replacement("build/bin/sage-logger", edits=_cheaper("build/bin/sage-logger"), optional=True),
    Replacement("src/bin/sage-env", edits=_cheaper("src/bin/sage-env"), optional=True),
    Replacement("src/bin/sage", edits=(_OUR_PIP, _BUILD), optional=True, every="ninja -C"),
    Replacement("src/doc/Makefile", edits=_DOCUMENT, optional=True, every="meson compile"),
)
ADDED = {
    "build/bin/sage-wheels": "build/bin/sage-wheels",
    "build/bin/sage-pip": "build/bin/sage-pip",
    "build/bin/sage-move-tree": "build/bin/sage-move-tree",
    "build/bin/sage-ninja": "build/bin/sage-ninja",
    "build/bin/sage-dist-helpers-python": "build/bin/sage-dist-helpers",
    "build/lib/system-python.sh": "build/lib/system-python.sh",
    "build/lib/flock.py": "build/lib/flock.py",
    "build/lib/bootstrap_tool.py": "build/lib/bootstrap_tool.py",
}
# Added if the tree has no such file; otherwise it is in `REPLACED`.
ADDED_IF_MISSING = {"build/bin/sage-bootstrap-python": "build/bin/sage-bootstrap-python"}
# Files that make git ignore what is added beside them, and themselves; so `git checkout` may put a tracked file there.
IGNORING = ("build/bin/.gitignore", "build/lib/.gitignore")


class Added(NamedTuple):
    """A file that is added to the tree."""

    text: bytes
    mode: int


class State(NamedTuple):
    """What overlay.json says: the hash of each file of ours, by its path, and the directories made for them."""

    replaced: dict[str, str]
    added: dict[str, str]
    made_directories: list[str]

    @classmethod
    def of(cls, root: Path) -> State | None:
        """The state of the tree at `root`; None if it has no overlay.json. Raises `Refused` if that is damaged."""
        try:
            content = json.loads((root / LIST).read_text())
            return cls(content["replaced"], content["added"], content["made_directories"])
        except FileNotFoundError:
            return None
        except (ValueError, KeyError, TypeError):
            raise Refused(
                f"{root / LIST} is damaged; put it back, or move the files in {root / GENUINE} back to their paths"
                f" by hand, and delete {root / HOME}"
            ) from None


def apply(checkout: Path, root: Path) -> str:
    """Put the project into the tree at `root`; returns a sentence. If it raises `Refused`, nothing was changed."""
    state = State.of(root)
    if state is None and (left := _left_alone(root)):
        raise Refused(left)
    if state:
        _refuse_what_was_edited(root, state)  # first, because it may be what makes the tree unknown
    there = [entry for entry in REPLACED if not entry.optional or _genuine(root, entry.path, state) is not None]
    _refuse_conflicts(root, state)
    new = {entry.path: _new_text(checkout, root, entry, state) for entry in there}
    if differences := _module("interfaces").differences(root, lambda path: _genuine(root, path, state)):
        _not_recognised(root, "; ".join(differences))
    added = _added(checkout, root, [path for path in ADDED_IF_MISSING if path not in new], state)
    _refuse_what_is_in_the_way(root, added, state)
    undo(root)  # only now, because `Refused` promises that nothing was changed
    fresh = State(
        {path: _hash(text) for path, text in new.items()},
        {path: _hash(file.text) for path, file in added.items()},
        [each for each in ("build/lib",) if not (root / each).exists()],
    )
    shutil.rmtree(root / UNFINISHED, ignore_errors=True)
    (root / UNFINISHED).mkdir()
    (root / UNFINISHED / Path(LIST).name).write_text(json.dumps(fresh._asdict(), indent=2))
    (root / UNFINISHED / ".gitignore").write_text("*\n")  # neither stash -u nor clean nor add takes it
    (root / UNFINISHED).rename(root / HOME)  # from here on there is something to undo
    try:
        _module("bundle").bundle(checkout, root / HOME / "tool")
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
        _write(root / path, _in_git(root, path) or b"", (root / path).stat().st_mode & 0o7777)
    for path in state.replaced:
        if kinds[path] == "ours" and _went_with_its_release(root, path):
            (root / path).unlink()
        elif _is_kept(root, path) and _has_to_come_back(root, path, state):
            _put_back(root / GENUINE / path, root / path)
    for path in state.added:
        if _what(root, path, state) == "ours":
            (root / path).unlink()
    for path in [*state.added, *state.replaced]:
        _unfinished(root / path).unlink(missing_ok=True)
    _unstage(root, state)
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
    kinds = {path: _what(root, path, state) for path in [*state.added, *state.replaced]}
    edited = [path for path, kind in kinds.items() if kind == "edited"]
    if edited:
        others = f" (and {len(edited) - 1} more)" if len(edited) > 1 else ""
        raise Refused(
            f"{root / edited[0]}{others} was changed since sage-wheels was put there; save your changes, then"
            f" {_away(root, *edited)}"
        )
    for path in (path for path, kind in kinds.items() if kind == "missing" and _is_of_another_release(root, path)):
        raise Refused(f"{root / path} is gone, and what was kept of it is of another release; {_away(root, path)}")
    return kinds


def status(root: Path) -> str:
    """A line for each file that says what is there (see `_what`), and a last line with the result and advice."""
    state = State.of(root)
    if state is None:
        return _left_alone(root) or f"sage-wheels is not in {root}; to put it in: {_command(root)}"
    found = {path: _what(root, path, state) for path in [*state.replaced, *state.added]}
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


def _git(root: Path, *arguments: str) -> str:
    return shlex.join(["git", "-C", str(root), *arguments])


def _away(root: Path, *paths: str) -> str:
    """How to get rid of edited files, for messages: git has those of the release that is checked out."""
    if all(_in_git(root, path) is not None for path in paths):
        return f"run: {_git(root, 'checkout', 'HEAD', '--', *paths)}"
    return f"delete {'it' if len(paths) == 1 else 'them'}"


def _what(root: Path, path: str, state: State) -> str:
    """What is at `path`: "ours", "missing", "edited", or "genuine", which includes what git has put there.

    "merged": git has merged our lines into the script of another release, as `git stash pop` does.
    """
    if not os.path.lexists(root / path):
        was_there = path in state.added or _is_kept(root, path)
        git_took_it = path in state.replaced and _in_git(root, path) is None and _is_in_git(root)
        return "missing" if was_there and not git_took_it else "genuine"
    try:
        text = (root / path).read_bytes()
    except OSError:
        text = b""  # a dangling symbolic link
    if _hash(text) == {**state.added, **state.replaced}[path]:
        return "ours"
    if path in state.replaced and (not _is_kept(root, path) or _is_kept_text(root, path, text)):
        return "genuine"  # it was never replaced, or is back
    in_git = _in_git(root, path)
    return "genuine" if in_git == text else "merged" if _has_our_lines(path, text, in_git) else "edited"


def _has_our_lines(path: str, text: bytes, genuine: bytes | None) -> bool:
    """Whether `text` is the genuine script with some of our lines, and nothing else."""
    edits = next((entry.edits for entry in REPLACED if entry.path == path), ())
    some = [each for count in range(len(edits)) for each in itertools.combinations(edits, count + 1)]
    old = (genuine or b"").decode(errors="surrogateescape")
    return any(_edited(old, each).text.encode(errors="surrogateescape") == text for each in some)


def _is_of_another_release(root: Path, path: str) -> bool:
    """Whether the script that was kept differs from that of the release that is checked out."""
    in_git = _in_git(root, path) if _is_kept(root, path) else None
    return in_git is not None and not _is_kept_text(root, path, in_git)


def _went_with_its_release(root: Path, path: str) -> bool:
    """Whether the release that is checked out has no such script, and git has the one that was kept."""
    optional = any(entry.path == path and entry.optional for entry in REPLACED)
    if not optional or not _is_kept(root, path) or _in_git(root, path) is not None or not _is_in_git(root):
        return False
    kept = _run_git(root, "hash-object", "--no-filters", f"{GENUINE}/{path}")
    return kept is not None and _run_git(root, "cat-file", "-e", kept.decode().strip()) is not None


def _has_to_come_back(root: Path, path: str, state: State) -> bool:
    """Whether to put the kept file back to `path`: also if the same content is there already, to restore its time."""
    if _what(root, path, state) in ("ours", "missing"):
        return True
    return os.path.lexists(root / path) and _is_kept_text(root, path, (root / path).read_bytes())


def _is_kept_text(root: Path, path: str, text: bytes) -> bool:
    kept = root / GENUINE / path
    if os.path.lexists(root / path) and os.path.samestat(kept.lstat(), (root / path).lstat()):
        return True
    try:
        return ((root / path).parent / kept.readlink() if kept.is_symlink() else kept).read_bytes() == text
    except OSError:
        return False


def _in_git(root: Path, path: str) -> bytes | None:
    """The genuine text that git has at `path` in the tree at `root`; None where it has none, or there is no git.

    That is what is in its index or, after a conflict or if that has our lines (`git stash pop` adds them), what is
    checked out. Raises `Refused` as `_run_git`.
    """
    for place in (":0", ":2", "HEAD"):
        text = _run_git(root, "show", f"{place}:./{path}")
        if text is not None and not _is_ours(path, text):
            return text
    return None


def _run_git(root: Path, *arguments: str) -> bytes | None:
    """What git prints in the tree at `root`; None if it fails, or there is no git.

    If the tree belongs to another user, git is run as that user, because it may run what the tree's configuration
    names. Raises `Refused` if that is impossible.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
    owner = root.stat()
    as_owner: dict[str, Any] = {}
    if os.geteuid() == 0 != owner.st_uid:
        as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []}
        environment |= {"HOME": os.devnull, "XDG_CONFIG_HOME": os.devnull}
    environment["LC_ALL"] = "C"
    command = ["git", "-c", "core.fsmonitor=false", "-C", str(root), *arguments]
    try:
        done: subprocess.CompletedProcess[bytes] = subprocess.run(
            command, env=environment, capture_output=True, check=False, **as_owner
        )
    except OSError:
        return None
    if b"dubious ownership" in done.stderr:
        raise Refused(
            f"git does not read {root}, which belongs to another user; run this as that user, or run first:"
            f" {shlex.join(['git', 'config', '--global', '--add', 'safe.directory', str(root)])}"
        )
    return done.stdout if done.returncode == 0 else None


def _is_ours(path: str, text: bytes) -> bool:
    """Whether the script `text` is ours, of whatever version, or has lines of ours."""
    new = [line for entry in REPLACED if entry.path == path for edit in entry.edits for line in edit.new]
    old = [line for entry in REPLACED if entry.path == path for edit in entry.edits for line in edit.old]
    lines = {line.strip().partition(_ERROR)[0] for line in text.decode(errors="replace").splitlines()}
    return _OURS_SAYS in text or not lines.isdisjoint({*new} - {*old, ""})


def _unstage(root: Path, state: State) -> None:
    """Take out of git's index what is ours there, also as one side of a conflict: `git stash pop` adds it."""
    paths = [*state.replaced, *state.added]
    changed = _run_git(root, "diff", "--cached", "--name-only", "--no-renames", "-z", "--relative", "--", *paths)
    ours = []
    for path in sorted({os.fsdecode(each) for each in (changed or b"").split(b"\0") if each}):
        texts = [_run_git(root, "show", f"{place}:./{path}") or b"" for place in (":0", ":3")]
        if any(_is_ours(path, text) or (path in state.added and _speaks_of_us(text)) for text in texts):
            ours.append(path)
    if ours:
        _run_git(root, "reset", "-q", "--", *ours)


def _is_in_git(root: Path) -> bool:
    return _in_git(root, "build/bin/sage-spkg") is not None


def _is_kept(root: Path, path: str) -> bool:
    return os.path.lexists(root / GENUINE / path)  # a relative symbolic link may be dangling in this directory


def _genuine(root: Path, path: str, state: State | None) -> bytes | None:
    """The content of the genuine file: at `path`, or in `GENUINE` if ours is at `path`; None if there is none.

    Raises `OSError` if it cannot be read.
    """
    found, kept = root / path, root / GENUINE / path
    if state is None and path in ADDED_IF_MISSING and found.is_file() and _is_ours(path, found.read_bytes()):
        return None  # git does not know it, so it stayed when the rest was taken out by hand
    what = _what(root, path, state) if state and path in {**state.added, **state.replaced} else "genuine"
    if what == "merged":
        return _in_git(root, path)
    if what == "ours" and _went_with_its_release(root, path):
        return None
    if state and what in ("ours", "missing") and (path in state.added or _is_kept(root, path)):
        found = found.parent / kept.readlink() if kept.is_symlink() else kept
    try:
        return found.read_bytes()
    except FileNotFoundError:
        return None


def _put_back(kept: Path, path: Path) -> None:
    if os.path.lexists(path) and os.path.samestat(path.lstat(), kept.lstat()):
        kept.unlink()  # it was never replaced; rename(2) between two names of one file does nothing
    else:
        os.replace(kept, path)


def _new_text(checkout: Path, root: Path, entry: Replacement, state: State | None) -> bytes:
    """The new content of `entry.path`. Raises `Refused` if the genuine file is not one that we know."""
    try:
        genuine = _genuine(root, entry.path, state)
        text = genuine.decode() if genuine is not None else None
    except (OSError, UnicodeDecodeError):
        _not_recognised(root, f"{entry.path} cannot be read")
    if text is None:
        _not_recognised(root, f"{entry.path} is not there")
    if entry.ours:
        return (checkout / "build" / "bin" / entry.ours).read_bytes()
    for number, line in enumerate(map(str.strip, text.splitlines()), 1):
        is_one = entry.every and entry.every in line and not line.startswith("#")
        if is_one and not any(_matches(line, edit) for edit in entry.edits):
            _not_recognised(root, f"{entry.path} has another line {number} with {entry.every!r}, {line!r}")
    edited = _edited(text, entry.edits)
    for edit, count in edited.other:
        _not_recognised(root, f"{entry.path} has {count or 'no'} lines {edit.old[0]!r}")
    return edited.text.encode()


class Edited(NamedTuple):
    """A script after edits, and the edits for which it does not have one line, with the number of their lines."""

    text: str
    other: list[tuple[Edit, int]]


def _edited(text: str, edits: Iterable[Edit]) -> Edited:
    lines, other = text.rstrip("\n").split("\n"), []
    for edit in edits:
        found = [at for at, line in enumerate(lines) if _matches(line, edit)]
        if len(found) != 1 and not edit.optional:
            other.append((edit, len(found)))
            continue
        for at in reversed(found):
            indentation = re.match(r"\s*", lines[at])
            kept = "" if " ".join(lines[at].split()) in edit.old else "".join(lines[at].partition(_ERROR)[1:])
            lines[at : at + 1] = [f"{indentation[0] if indentation and each else ''}{each}{kept}" for each in edit.new]
    return Edited("\n".join([*lines, ""]), other)


def _matches(line: str, edit: Edit) -> bool:
    """Whether `line` is one that `edit` replaces, with or without the handling of an error."""
    plain = " ".join(line.split())
    return plain in edit.old or plain.partition(_ERROR)[0] in edit.old


def _added(checkout: Path, root: Path, missing: list[str], state: State | None) -> dict[str, Added]:
    """The files to be added to the tree at `root`, by path; `missing` are those of `ADDED_IF_MISSING`."""
    added = {}
    for path, source in [*ADDED.items(), *((path, ADDED_IF_MISSING[path]) for path in missing)]:
        file = checkout / source
        added[path] = Added(file.read_bytes(), file.stat().st_mode & 0o777)
    for ignoring in IGNORING:
        if not os.path.lexists(root / ignoring) or (state and ignoring in state.added) or _was_left(root / ignoring):
            directory = os.path.dirname(ignoring)
            names = [ignoring, *(path for path in added if os.path.dirname(path) == directory)]
            lines = ["# what sage-wheels (build/overlay) has added", *(f"/{os.path.basename(each)}" for each in names)]
            added[ignoring] = Added("\n".join([*lines, ""]).encode(), 0o644)
    return added


def _refuse_conflicts(root: Path, state: State | None) -> None:
    """Raise `Refused` if git has left a conflict in a script that matters."""
    for path in sorted({*(entry.path for entry in REPLACED), *_module("interfaces").PATHS}):
        if re.search(rb"^(<<<<<<<|>>>>>>>) ", _genuine(root, path, state) or b"", re.MULTILINE):
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
    return path.is_file() and not path.is_symlink() and _speaks_of_us(path.read_bytes())


def _speaks_of_us(text: bytes) -> bool:
    return re.search(rb"sage[-_]wheels", text) is not None


def _left_alone(root: Path) -> str:
    """A sentence if the tree has our scripts, but not `HOME`, which `git clean -x` deletes; "" if it has none."""
    for entry in REPLACED:
        try:
            if entry.ours and entry.path not in ADDED_IF_MISSING and _OURS_SAYS in (root / entry.path).read_bytes():
                return (
                    f"{root / entry.path} is ours, but {HOME} is gone, which 'git clean -x' deletes; put the genuine"
                    " scripts back from the archive of that release, or run:"
                    f" {_git(root, 'checkout', 'build/bin', 'src/bin', 'src/doc/Makefile')}"
                )
        except OSError:
            continue
    return ""


def _not_recognised(root: Path, why: str) -> NoReturn:
    raise Refused(
        f"{root} is no Sage tree that this version of sage-wheels knows: {why}; nothing was changed; undo"
        " what you have edited there, or take a newer sage-wheels"
    )


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


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
    sys.dont_write_bytecode = True
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
