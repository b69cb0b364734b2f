"""The names of the distributions that arguments and requirements files mention, in any form that pip accepts.

These are names, requirements, URLs, archives, and source trees.
"""

from __future__ import annotations

import os
import re

from sage_wheels.errors import UsageError
from sage_wheels.metadata import PROJECT_FILES, is_archive_name
from sage_wheels.named import NamedTuple
from sage_wheels.requirements import references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

# Patterns are compiled when they are needed.
_URL = r"(?i:https?|file|ftp|(?:git|hg|svn|bzr)\+[a-z]+):"
_EGG = r"[#&]egg=([^&]*)"


class Named(NamedTuple):
    """An argument, as it was `written`, and the `name` of the distribution in it, not normalised.

    `name` is "" for a URL, archive or source tree that does not contain one. `position` is "line N of FILE", or "" for
    the command line.
    """

    written: str
    name: str
    position: str = ""


def named_by(given: Sequence[str], files: Sequence[str] = (), *, must_exist: bool = True) -> list[Named]:
    """The names in the arguments `given` and the requirements files `files`; constraints are left out.

    With `must_exist=False`, a file that does not exist counts as empty. Raises `UsageError` for text that is not a
    requirement, and `SourceError` for a file that cannot be read or parsed.
    """
    found = [_named(text, "") for text in given]
    if files:
        from sage_wheels.requirements.files import read

        for line in (line for file in files for line in read(file, must_exist=must_exist)):
            if line.is_editable and not line.is_constraint:
                found.append(Named(line.text, "".join(re.findall(_EGG, line.text)[:1]), line.position))
            elif line.text and not line.is_constraint:
                found.append(_named(line.text, line.position))
    return found


def all_named(given: Sequence[str], files: Sequence[str] = (), *, must_exist: bool = True) -> list[str]:
    """The names, not normalised; see `named_by`. Also raises `UsageError` for an argument that contains no name."""
    return names_of(named_by(given, files, must_exist=must_exist))


def names_of(found: list[Named]) -> list[str]:
    """The names in `found`, not normalised. Raises `UsageError` if one has no name."""
    for each in found:
        if not each.name:
            position = f" in {each.position}" if each.position else ""
            raise UsageError(f"{each.written!r}{position} does not contain the name of a distribution", "give the name")
    return [each.name for each in found]


def _named(text: str, position: str) -> Named:
    try:
        return Named(text, name_in(text), position)
    except (ValueError, RecursionError) as error:  # RecursionError: deeply nested brackets
        reason = str(error).partition("\n")[0]
        where = f" in {position}" if position else ""
        raise UsageError(f"{text!r}{where} is no name of a distribution ({reason})", "see sage-wheels list") from error


def name_in(requirement: str) -> str:
    """The name in `requirement`, not normalised; "" for a URL, archive or source tree that does not contain one.

    Raises `ValueError` if pip would not accept `requirement`.

    >>> name_in("Pexpect[x]>=4; python_version<'4'")
    'Pexpect'
    >>> name_in("git+https://example.org/some.git#egg=pexpect")
    'pexpect'
    """
    requirement = requirement.strip()
    if re.fullmatch(references.NAME, requirement) and not is_archive_name(requirement):
        return requirement  # a plain name; importing packaging would take 15 ms
    reference = references.reference_in(requirement)
    if reference and reference.name:
        return reference.name  # packaging would refuse a URL with spaces
    if re.match(_URL, requirement):
        from urllib.parse import unquote, urlsplit

        url = requirement.partition("; ")[0]
        return _name_in_archive(unquote(urlsplit(url).path)) or _egg(url)
    if _is_archive(path := requirement.partition(";")[0].strip()):
        return _name_in_archive(path)
    if _is_source_tree(path):
        return ""
    from packaging.requirements import Requirement

    return Requirement(requirement).name


def _is_archive(text: str) -> bool:
    """Whether pip takes `text` for the path of an archive; false for `NAME @ URL`."""
    name, at, _ = text.partition("@")
    is_path = not at or "/" in name or name.startswith(".") or os.path.isfile(text)
    return is_path and is_archive_name(text)


def _is_source_tree(text: str) -> bool:
    tree = references.with_extras(text)[0][0]
    looks_like_a_path = "/" in tree or tree.startswith(".")
    return looks_like_a_path and any(os.path.isfile(os.path.join(tree, file)) for file in PROJECT_FILES)


def _name_in_archive(path: str) -> str:
    if not path.endswith(".whl"):
        return ""
    from packaging.utils import parse_wheel_filename

    return parse_wheel_filename(os.path.basename(path))[0]


def _egg(url: str) -> str:
    found = re.search(_EGG, url)
    return name_in(found[1]) if found else ""
