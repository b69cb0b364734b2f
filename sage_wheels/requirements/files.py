"""Requirements files and constraints files: the one reader, for every command, by pip's rules.

The rules are those of https://pip.pypa.io/en/stable/reference/requirements-file-format/:

- Encodings, continued lines, comments and variables: `lines`.
- Options stand after a requirement, or on a line of their own. -r and -c include other files; their paths are relative
  to the file that includes them.

A line that cannot be parsed is refused, and the message gives its number. This is stricter than pip, which ignores
words after an option, a second -r on one line, and global options after a requirement. Two rules are more lenient than
pip's: a file that is included again, even by itself, is read once; and the path in `NAME @ file:` may have bytes that
are not UTF-8, as a file name may. (Some versions of pip read UTF-32 as UTF-16.)
"""

from __future__ import annotations

import contextlib
import os
import re
import sys

from sage_wheels.errors import SourceError, reason_of
from sage_wheels.named import NamedTuple
from sage_wheels.requirements import lines, references

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

# The options that pip 26 accepts in a requirements file, by all their names, and whether they take a value.
_WITH_VALUE = (
    *(("-i", "--index-url", "--pypi-url"), ("--extra-index-url",), ("-f", "--find-links"), ("--trusted-host",)),
    *(("-r", "--requirement"), ("-c", "--constraint"), ("-e", "--editable"), ("--no-binary",), ("--only-binary",)),
    *(("--all-releases",), ("--only-final",), ("--use-feature",)),
    *(("--hash",), ("--global-option",), ("-C", "--config-settings", "--config-setting")),
)
_FLAGS = (("--no-index",), ("--prefer-binary",), ("--require-hashes",), ("--pre",))
_HAS_VALUE = {name: names in _WITH_VALUE for names in (*_WITH_VALUE, *_FLAGS) for name in names}
_USUAL_NAME = {name: names[:2][-1] for names in (*_WITH_VALUE, *_FLAGS) for name in names}
# The options that belong to one requirement, and stand after it; all others stand on a line of their own.
_OF_ONE = ("--hash", "--global-option", "--config-settings")
# A file may not say what is trusted.
_OF_INDEXES = ("--index-url", "--extra-index-url", "--trusted-host", "--no-index")
_THAT_SAY_ALL = ("--requirement", "--constraint", "--editable")  # at most one of these on a line
_HASH = re.compile(r"(?:sha256|sha384|sha512):.*", re.DOTALL)
_URL = re.compile(r"(?:https?|file|ftp):", re.IGNORECASE)


class Option(NamedTuple):
    """An option: its usual name ("--requirement"), as it was `written` ("-r"), and its value, "" if it has none."""

    name: str
    written: str
    value: str = ""


class Line(NamedTuple):
    """A line that is not empty. `text` is a requirement with its marker, the source of an editable installation, or ""
    if the line has only `options`."""

    text: str
    file: str
    number: int
    options: tuple[Option, ...] = ()
    is_editable: bool = False
    is_constraint: bool = False

    @property
    def position(self) -> str:
        return f"line {self.number} of {self.file}"

    @property
    def argument(self) -> str:
        """The requirement with its hashes, in a form for `arguments.parse_source`."""
        hashes = [f"--hash={each.value}" for each in self.options if each.name == "--hash"]
        return " ".join([self.text, *hashes])

    @contextlib.contextmanager
    def named(self) -> Iterator[None]:
        """Each `SourceError` that is raised meanwhile names this line."""
        try:
            yield
        except SourceError as error:
            raise SourceError(f"{self.position}: {error.what}", error.advice) from error


def read(
    path: str,
    followed: Collection[str] | None = None,
    *,
    must_exist: bool = True,
    is_constraint: bool = False,
) -> list[Line]:
    """The lines of the file at `path` ("-" is standard input) and of those that it includes, in pip's order.

    `followed` are the long names of the options that the command obeys or may ignore; any other one is refused. None
    stands for all options. With `must_exist=False`, a file that does not exist has no lines; included files must exist.
    With `is_constraint`, it is a constraints file, and so is each file that it includes. Raises `SourceError`.
    """
    found: list[Line] = []
    seen = {(os.path.realpath(path), is_constraint)} if "\0" not in path else set()
    reading = [_lines_in(path, is_constraint, followed, must_exist=must_exist)]
    while reading:
        line = next(reading[-1], None)
        if line is None:
            reading.pop()
            continue
        included = next((each for each in line.options if each.name in ("--requirement", "--constraint")), None)
        if not included:
            found.append(line)
            continue
        other = _path_of(included.value, line)
        key = (os.path.realpath(other), is_constraint or included.name == "--constraint")
        if key not in seen:
            seen.add(key)
            reading.append(_lines_in(other, key[1], followed, must_exist=True))
    return found


def _path_of(included: str, line: Line) -> str:
    """The path of the file `included` by `line`. Raises `SourceError` if it does not exist, or is a URL."""
    if references.is_file_url(included):
        return references.location_of(included).path
    if _URL.match(included):
        raise SourceError(f"the requirements file {included} is not downloaded", "download it, and name the file")
    if "\0" in included:
        raise SourceError(f"the requirements file {included} is not there", f"correct {line.position}")
    return os.path.abspath(os.path.join(os.path.dirname(line.file), included))


def _lines_in(path: str, is_constraint: bool, followed: Collection[str] | None, *, must_exist: bool) -> Iterator[Line]:
    if references.is_file_url(path):
        path = references.location_of(path).path
    elif _URL.match(path):
        raise SourceError(f"the requirements file {path} is not downloaded", "download it, and name the file")
    text = _text_of(path, "constraints" if is_constraint else "requirements", must_exist=must_exist)
    for number, logical in lines.logical_lines(text):
        requirement, options = _split(logical)
        line = Line(requirement, path, number, is_constraint=is_constraint)
        line = line._replace(options=tuple(_options_in(options, line)))
        for option in line.options:
            if followed is not None and option.name not in followed:
                raise _not_followed(line, option)
        _check(line)
        if editable := next((each for each in line.options if each.name == "--editable"), None):
            line = line._replace(text=editable.value, is_editable=True)
        yield line


def _text_of(path: str, kind: str, *, must_exist: bool) -> str:
    try:
        return lines.decoded(_content(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        if must_exist:
            raise SourceError(f"the {kind} file {path} is not there", "check the path") from error
        return ""
    except (OSError, ValueError, LookupError) as error:  # LookupError: the encoding is not known
        raise SourceError(
            f"the {kind} file {path} cannot be read ({reason_of(error)})", "check the path, and its encoding"
        ) from error


def _content(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    with open(path, "rb") as f:
        return f.read()


def _split(line: str) -> tuple[str, str]:
    """Split a line at the first word that begins with a dash: into the requirement, and its options.

    >>> _split("six >= 1 --hash=sha256:00")
    ('six >= 1', '--hash=sha256:00')
    """
    words = line.split(" ")
    at = next((at for at, word in enumerate(words) if word.startswith("-")), len(words))
    return " ".join(words[:at]).rstrip(), " ".join(words[at:])


def _options_in(text: str, line: Line) -> Iterator[Option]:
    """The options in `text`, which is quoted as for a shell. Raises `SourceError` for anything else."""
    if not text:
        return
    import shlex

    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SourceError(f"{line.position} cannot be understood: a quotation does not end", "end it") from error
    words.reverse()
    while words:
        word = words.pop()
        if word.startswith("--") and len(word) > 2:
            name, equals, value = word.partition("=")
            name = _full_name(name, line)
            if equals and not _HAS_VALUE[name]:
                raise SourceError(f"{line.position} gives a value to {name}, which has none", "leave the value out")
            rest = [value] if equals else []
            yield Option(_USUAL_NAME[name], name, _value(name, rest or words, line) if _HAS_VALUE[name] else "")
        elif word.startswith("-") and word not in ("-", "--"):
            name = word[:2]
            if name not in _HAS_VALUE:
                raise _unknown(line, name)
            yield Option(_USUAL_NAME[name], name, _value(name, [word[2:]] if word[2:] else words, line))
        else:
            raise SourceError(f"{line.position} has {word!r} after an option", "put it on a line of its own")


def _full_name(name: str, line: Line) -> str:
    """The long name of the option `name`, which may be abbreviated, as with pip. Raises `SourceError`."""
    if name in _HAS_VALUE:
        return name
    possible = [each for each in _HAS_VALUE if each.startswith(name)]
    if len(possible) > 1:
        raise SourceError(f"{line.position} has {name}, which may be {' or '.join(possible)}", "write it in full")
    if not possible:
        raise _unknown(line, name)
    return possible[0]


def _value(name: str, words: list[str], line: Line) -> str:
    if not words:
        raise SourceError(f"{line.position} has {name} without a value", "give one")
    value = words.pop()
    if _USUAL_NAME[name] == "--hash" and not _HASH.fullmatch(value):
        raise SourceError(f"{line.position} has an invalid --hash", "write sha256:DIGEST, or sha384 or sha512")
    if _USUAL_NAME[name] == "--config-settings" and "=" not in value:
        raise SourceError(f"{line.position} has {name} without KEY=VALUE", "write both")
    return value


def _check(line: Line) -> None:
    """Raise `SourceError` for parts of a line that pip would silently ignore."""
    if any("\udc80" <= character <= "\udcff" for character in line.text):
        reference = references.reference_in(line.text)
        if not (reference and references.is_file_url(reference.url)):
            raise SourceError(
                f"{line.position} is not UTF-8", "write the file in UTF-8, or name its encoding (PEP 263)"
            )
    says_all = [each for each in line.options if each.name in _THAT_SAY_ALL]
    if len(says_all) > 1:
        raise SourceError(
            f"{line.position} has {' and '.join(each.written for each in says_all)}", "write a line for each"
        )
    for option in line.options:
        is_of_one = option.name in _OF_ONE
        if line.text and not is_of_one:
            raise SourceError(
                f"{line.position} has {option.written} after a requirement", "put it on a line of its own"
            )
        if is_of_one and not line.text and not (says_all and says_all[0].name == "--editable"):
            raise SourceError(f"{line.position} has {option.written} and no requirement", "put it after a requirement")


def _unknown(line: Line, option: str) -> SourceError:
    return SourceError(f"{line.position} has {option}, which is no option of a requirements file", "correct that line")


def _not_followed(line: Line, option: Option) -> SourceError:
    advice = "leave it out, or give it on the command line"
    if option.name == "--hash":
        advice = "leave it out, or write NAME @ file:///PATH#sha256=DIGEST, which is checked"
    elif option.name in _OF_INDEXES:
        advice = "leave it out, and if you trust it, write it into the configuration of pip ('pip config set')"
    return SourceError(f"{line.position} has {option.written}, which is not supported in a requirements file", advice)
