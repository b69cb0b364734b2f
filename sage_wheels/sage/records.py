"""spkg-requirements.txt: one line `NAME @ file:///PATH` for each distribution that a package of Sage has brought.

The package scripts write it, sage-spkg looks whether it is there, and uninstalling goes by its names. What people write
for pip is read here, too: installing refuses the lines that it cannot follow, uninstalling looks for names only.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

from sage_wheels.building.sources import file_url
from sage_wheels.errors import SourceError
from sage_wheels.installed.metadata import requirement_name

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

_INCLUDED = re.compile(r"(?:-r\s*|--requirement(?:\s+|\s*=\s*))(.+)")
# No index is asked in any case, and a wheelhouse has wheels; where that is, the command says.
_HARMLESS = re.compile(r"(?:--no-index|--prefer-binary|(?:-f\s*|--find-links(?:\s+|\s*=\s*))\S+)(?:\s+|$)")
_OPTION = re.compile(r"^--?[\w-]*|(?<=\s)--[a-z][a-z-]*")  # on a line of its own, or behind a requirement


class Line(NamedTuple):
    """A line of a requirements file, without comment and never empty, and where it stands."""

    text: str
    place: str


def requirements_in(path: str) -> list[str]:
    """What is to be installed by a file and those that it includes, each once.

    Raises `SourceError` for a file that is not there, and for a line that asks for what is not done here; `OSError`.
    """
    found = []
    for line in _lines_of_all(path, must_exist=True):
        text = _HARMLESS.sub("", line.text) if line.text.startswith("-") else line.text
        if option := _OPTION.search(text):
            raise _refusal(line, option[0])
        found += [text] if text else []
    return list(dict.fromkeys(found))


def _refusal(line: Line, option: str) -> SourceError:
    advice = "leave it out, or give it on the command line"
    if option == "--hash":
        advice = "leave it out, or write NAME @ file:///PATH#sha256=DIGEST, which is checked"
    return SourceError(f"{line.place} has {option}, which is not followed in a requirements file", advice)


def names_in(path: str) -> list[str]:
    """The normalised names of the distributions in a file and those that it includes; the rest is passed over.

    So is a file that is not there: a package that failed to install, or is removed a second time, has none. Raises
    `OSError`.
    """
    lines = [line.text for line in _lines_of_all(path, must_exist=False) if not line.text.startswith("-")]
    return list(dict.fromkeys(filter(None, map(requirement_name, lines))))


def add_line(path: str, name: str, where: str) -> None:
    """Say in the file `path` that the distribution `name` was made of what is at `where`, if it does not yet."""
    line = f"{name} @ {file_url(where)}"
    if line not in [each.text for each in _lines(path, must_exist=False)]:
        os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
        with open(path, "a", encoding="utf-8", errors="surrogateescape") as f:
            f.write(f"{line}\n")


def _lines_of_all(path: str, *, must_exist: bool) -> Iterator[Line]:
    """The lines of a file and those that it includes, whose paths are relative to it as for pip."""
    files = [path]
    for file in files:  # grows meanwhile
        for line in _lines(file, must_exist=must_exist):
            if included := _INCLUDED.fullmatch(line.text):
                other = os.path.join(os.path.realpath(os.path.dirname(file)), included[1])
                files += [other] if other not in files else []  # or two that include each other would never end
            else:
                yield line


def _lines(path: str, *, must_exist: bool) -> Iterator[Line]:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as f:
            text = f.read()
    except (FileNotFoundError, ValueError) as error:  # the second one: a file may include what no path can be
        if must_exist:
            raise SourceError(f"the requirements file {path} is not there", "check the path") from error
        return
    # a line that ends in a backslash goes on in the next one, unless all of it is a comment
    for found in re.finditer(r"[ \t]*#.*|(?:\\\n|.)+", text):
        line = found[0].replace("\\\n", " ").partition(" #")[0].strip()
        if line and not line.startswith("#"):
            yield Line(line, f"line {text.count(chr(10), 0, found.start()) + 1} of {path}")
