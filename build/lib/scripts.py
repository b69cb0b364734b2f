"""What build/overlay puts in the place of each script of Sage, or adds, and how a script is edited.

For overlay.py, which runs with nothing but the standard library of Python 3.10.
"""

from __future__ import annotations

import itertools
import re
from typing import NamedTuple

import cheaper

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

OURS_SAYS = b"sage-wheels is in this tree only in part"  # each of our scripts prints this if the tool is gone


class Edit(NamedTuple):
    """A line of a genuine script, in each form that it has in some release, and the lines that take its place.

    Indentation does not count, and the new lines get that of the old one. If `old` is only what precedes the handling
    of an error (`_ERROR`), that is kept behind the last new line, whatever its message is.
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
    (
        f'[ -x "$SAGE_ROOT/build/bin/sage-move-tree" ] || exit_with_error_msg "{OURS_SAYS.decode()}: put it in again'
        ' with its build/overlay SAGE_ROOT, or take it out: git checkout build/bin src/bin src/doc/Makefile"',
        '$SAGE_SUDO "$SAGE_ROOT/build/bin/sage-move-tree" "$PREFIX" "$SAGE_INST_LOCAL"',
    ),
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


def _cheaper(path: str) -> tuple[Edit, ...]:
    """The edits of the script `path` that only save processes (cheaper.py)."""
    return tuple(
        Edit((old,), (f"{new}  # sage-wheels: as before, fewer processes",), optional=True)
        for old, new in cheaper.lines(path)
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


class Edited(NamedTuple):
    """A script after edits, and the edits for which it does not have one line, with the number of their lines."""

    text: str
    other: list[tuple[Edit, int]]


def edited(text: str, edits: Iterable[Edit]) -> Edited:
    lines, other = text.rstrip("\n").split("\n"), []
    for edit in edits:
        found = [at for at, line in enumerate(lines) if matches(line, edit)]
        if len(found) != 1 and not edit.optional:
            other.append((edit, len(found)))
            continue
        for at in reversed(found):
            indentation = re.match(r"\s*", lines[at])
            kept = "" if " ".join(lines[at].split()) in edit.old else "".join(lines[at].partition(_ERROR)[1:])
            new = [*edit.new[:-1], f"{edit.new[-1]}{kept}"]
            lines[at : at + 1] = [f"{indentation[0] if indentation and each else ''}{each}" for each in new]
    return Edited("\n".join([*lines, ""]), other)


def matches(line: str, edit: Edit) -> bool:
    """Whether `line` is one that `edit` replaces, with or without the handling of an error."""
    plain = " ".join(line.split())
    return plain in edit.old or plain.partition(_ERROR)[0] in edit.old


def is_ours(path: str, text: bytes) -> bool:
    """Whether the script `text` is ours, of whatever version, or has lines of ours."""
    new = [line for entry in REPLACED if entry.path == path for edit in entry.edits for line in edit.new]
    old = [line for entry in REPLACED if entry.path == path for edit in entry.edits for line in edit.old]
    lines = {line.strip().partition(_ERROR)[0] for line in text.decode(errors="replace").splitlines()}
    return OURS_SAYS in text or not lines.isdisjoint({*new} - {*old, ""})


def speaks_of_us(text: bytes) -> bool:
    return re.search(rb"sage[-_]wheels", text) is not None


def has_our_lines(path: str, text: bytes, genuine: bytes | None) -> bool:
    """Whether `text` is the genuine script with some of our lines, and nothing else."""
    edits = next((entry.edits for entry in REPLACED if entry.path == path), ())
    some = [each for count in range(len(edits)) for each in itertools.combinations(edits, count + 1)]
    old = (genuine or b"").decode(errors="surrogateescape")
    return any(edited(old, each).text.encode(errors="surrogateescape") == text for each in some)
