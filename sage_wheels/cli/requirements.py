"""What to uninstall, as people say it to pip: names, requirements, URLs, archives, and files of those."""

from __future__ import annotations

import argparse
import codecs
import os
import re
import shlex
import sys
from typing import NamedTuple

from sage_wheels.errors import SourceError, UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

_NAME = re.compile(r"[A-Z0-9](?:[A-Z0-9._-]*[A-Z0-9])?", re.IGNORECASE | re.ASCII)
_URL = re.compile(r"(?:https?|file|ftp|(?:git|hg|svn|bzr)\+[a-z]+):", re.IGNORECASE)
_EXTRAS = re.compile(r"\[[^\]]+\]$")
_EGG = re.compile(r"[#&]egg=([^&]*)")
# By these endings pip knows a file that it could install.
_ARCHIVES = (
    *(".whl", ".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tlz", ".tar.lz"),
    ".tar.lzma",
)
_PROJECT_FILES = ("pyproject.toml", "setup.py")
# The marks of UTF-32 before those of UTF-16, with which they begin.
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    *((mark, "utf-32") for mark in (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)),
    *((mark, "utf-16") for mark in (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)),
)
_CODING = re.compile(rb"#.*?coding[:=]\s*([-\w.]+)")


class Asked(NamedTuple):
    """What somebody has `written`, and the name in it, as it is spelt; no name if a URL, an archive or a source tree
    tells none."""

    written: str
    name: str


def asked(given: Sequence[str], files: Sequence[str]) -> list[Asked]:
    """What the arguments `given` and the requirements files `files` ask for.

    Raises `UsageError` for what is no requirement, and `SourceError` for a file that cannot be read.
    """
    lines = [(text, "") for text in given]
    lines += [(text, f" in {file}") for file in files for text in _requirements_in(file)]
    return [_asked(text, place) for text, place in lines]


def _asked(text: str, place: str) -> Asked:
    try:
        return Asked(text, name_in(text))
    except (ValueError, RecursionError) as error:  # the second one: of brackets in brackets
        reason = str(error).partition("\n")[0]
        raise UsageError(f"{text!r}{place} is no name of a distribution ({reason})", "see sage-wheels list") from error


def name_in(requirement: str) -> str:
    """The name that `requirement` speaks of, as it is spelt; "" for a URL, an archive or a source tree that tells none.

    Raises `ValueError` for what pip takes for no requirement.

    >>> name_in("Pexpect[x]>=4; python_version<'4'")
    'Pexpect'
    >>> name_in("git+https://example.org/some.git#egg=pexpect")
    'pexpect'
    """
    requirement = requirement.strip()
    if _NAME.fullmatch(requirement) and not requirement.lower().endswith(_ARCHIVES):
        return requirement  # without the 15 ms that packaging takes to import
    if _URL.match(requirement):
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
    """Whether pip takes `text` for the path of an archive; NAME @ URL is none."""
    name, at, _ = text.partition("@")
    is_path = not at or "/" in name or name.startswith(".") or os.path.isfile(text)
    return is_path and text.lower().endswith(_ARCHIVES)


def _is_source_tree(text: str) -> bool:
    tree = _EXTRAS.sub("", text)
    looks_like_a_path = "/" in tree or tree.startswith(".")
    return looks_like_a_path and any(os.path.isfile(os.path.join(tree, file)) for file in _PROJECT_FILES)


def _name_in_archive(path: str) -> str:
    if not path.endswith(".whl"):
        return ""
    from packaging.utils import parse_wheel_filename

    return parse_wheel_filename(os.path.basename(path))[0]


def _egg(url: str) -> str:
    found = _EGG.search(url)
    return name_in(found[1]) if found else ""


def _requirements_in(path: str) -> list[str]:
    """The requirements in a file and in those that it includes, without comments and options. Raises `SourceError`."""
    found: list[str] = []
    files = [path]
    for file in files:  # grows meanwhile
        for line in _lines_in(file):
            words = line.split(" ")
            at = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
            if requirement := " ".join(words[:at]):
                found.append(requirement)
                continue
            options = _options_in(line, file)
            found += [name for editable in options.editable for name in _EGG.findall(editable)]
            for included in options.requirement:
                other = included if _URL.match(included) else os.path.join(os.path.dirname(file), included)
                files += [other] if other not in files else []
    return found


def _options_in(line: str, file: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, exit_on_error=False)
    parser.add_argument("-r", "--requirement", action="append", default=[])
    parser.add_argument("-e", "--editable", action="append", default=[])
    try:
        return parser.parse_known_args(shlex.split(line))[0]
    except (ValueError, argparse.ArgumentError) as error:  # the first one: of a quotation that does not end
        raise SourceError(f"{line!r} in {file} cannot be understood ({error})", "mend that line") from error


def _lines_in(file: str) -> list[str]:
    """The lines of a requirements file as pip sees them: what is continued in one, and no comments."""
    if _URL.match(file):
        raise SourceError(f"the requirements file {file} is not downloaded", "download it, and name the file")
    try:
        text = _decoded(_read(file))
    except (OSError, ValueError, LookupError) as error:  # the last one: of an encoding that nobody knows
        raise SourceError(f"the requirements file {file} cannot be read ({error})", "name one that can") from error
    # a comment is never continued, and ends what is
    lines = ["" if line.lstrip().startswith("#") else line for line in text.splitlines()]
    joined = "\n".join(lines).replace("\\\n", "").split("\n")
    stripped = (_expanded(re.sub(r"\s+#.*", "", line).strip()) for line in joined)
    return [line for line in stripped if line]


def _read(file: str) -> bytes:
    if file == "-":
        return sys.stdin.buffer.read()
    with open(file, "rb") as f:
        return f.read()


def _decoded(data: bytes) -> str:
    """By its byte order mark, else by a comment in the first two lines (PEP 263), else UTF-8."""
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data.decode(encoding)
    for line in data.split(b"\n")[:2]:
        if found := _CODING.match(line):
            return data.decode(found[1].decode())
    return data.decode()


def _expanded(line: str) -> str:
    """`line` with the values of the variables of the environment that are set and written as ${NAME}."""
    return re.sub(r"\$\{([A-Z0-9_]+)\}", lambda found: os.environ.get(found[1]) or found[0], line)
