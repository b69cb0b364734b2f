"""RECORD files: read and written as the specification says (PEP 376, PEP 627, "Recording installed projects").

A row is `path,algorithm=digest,size`; paths are relative to the directory that holds the `.dist-info`, or absolute.
Rows end at line feeds only: U+2028 and other Unicode line separators may be part of a path.

The functions of `installer` are not used: it splits at all line separators (`str.splitlines`), changes every backslash
to `/`, and before Python 3.13 does not quote a carriage return in a path.
"""

from __future__ import annotations

import binascii
import csv
import io
from operator import itemgetter

from sage_wheels.fs.digest import sha256
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# The algorithms of the specification (hashlib.algorithms_guaranteed), without md5, sha1 and those of variable length.
ALGORITHMS = frozenset(
    ("sha224", "sha256", "sha384", "sha512", "sha3_224", "sha3_256", "sha3_384", "sha3_512", "blake2b", "blake2s")
)

# `csv` before Python 3.11 refuses NUL. For parsing it is replaced by a lone surrogate, which UTF-8 cannot contain.
_INSTEAD_OF_NUL = "\udc00"

_LONGEST_SIMPLE = 100_000  # characters; `csv` refuses fields of more than 131,072


class Row(NamedTuple):
    """One line of a RECORD; `digest` is "sha256=..." or empty, `size` in bytes or None."""

    path: str
    digest: str = ""
    size: int | None = None


def parse(data: bytes) -> list[Row]:
    r"""The rows of a RECORD. Raises `ValueError`, also if `data` is not UTF-8; the message names the line.

    >>> parse(b'six.py,sha256=abc,7\n"a,b.py",,\n')
    [Row(path='six.py', digest='sha256=abc', size=7), Row(path='a,b.py', digest='', size=None)]
    """
    text = data.decode("utf-8")
    rows = _simple(text)
    return _parse_csv(text) if rows is None else rows


def _simple(text: str) -> list[Row] | None:
    """The rows of a RECORD as nearly all are: with nothing that is quoted, and three fields in each row; else None."""
    if any(each in text for each in '"\r\0'):
        return None
    rows: list[Row] = []
    make = Row._make
    try:
        for line in text.split("\n"):
            if line:
                path, digest, size = line.split(",")
                if size and not (size.isascii() and size.isdigit() and len(size) < 100):
                    return None
                if not path or len(line) > _LONGEST_SIMPLE:
                    return None
                rows.append(make((path, digest, int(size) if size else None)))
    except ValueError:  # not three fields
        return None
    return rows


def _parse_csv(text: str) -> list[Row]:
    has_nul = "\0" in text
    text = text.replace("\0", _INSTEAD_OF_NUL)
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    try:
        for fields in reader:
            if not fields:
                continue
            if has_nul:
                fields = [field.replace(_INSTEAD_OF_NUL, "\0") for field in fields]
            if len(fields) > 3 or not fields[0]:
                raise ValueError(f"line {reader.line_num} is no row of path, hash and size")
            path, digest, size = (*fields, "", "")[:3]
            if size and not (size.isascii() and size.isdigit() and len(size) < 100):
                raise ValueError(f"line {reader.line_num} has no number as size")
            rows.append(Row(path, digest, int(size) if size else None))
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} is not CSV ({error})") from error
    return rows


def agree(one: Row, other: Row) -> bool:
    """Whether two rows of the same path agree: the same hash, with or without padding, and the same size, if given.

    >>> agree(Row("a", "sha256=abc", 7), Row("a", "sha256=abc=")), agree(Row("a", "sha256=abc"), Row("a"))
    (True, False)
    """
    sizes = {one.size, other.size} - {None}
    return one.digest.rstrip("=") == other.digest.rstrip("=") and len(sizes) < 2


def format_rows(rows: Iterable[Row]) -> bytes:
    """The content of a RECORD with `rows`, sorted, in the format that pip writes."""
    told = sorted((row.path, row.digest, "" if row.size is None else str(row.size), row) for row in rows)
    return format_lines((path, line(path, ending(row))) for path, _, _, row in told)


def format_lines(lines: Iterable[tuple[str, str]]) -> bytes:
    """The content of a RECORD with `lines`, each after its path; they are sorted by that."""
    return "".join([each for _, each in sorted(lines, key=itemgetter(0))]).encode("utf-8", "surrogateescape")


def line(path: str, end: str) -> str:
    """The line of RECORD for `path`, with what `ending` has made."""
    return f"{_quoted(path)}{end}"


def ending(row: Row | None) -> str:
    """The rest of a line of RECORD, after the path, for `row`; None stands for one without hash.

    >>> ending(Row("six.py", "sha256=abc", 7)), ending(None)
    (',sha256=abc,7\\n', ',,\\n')
    """
    return f",{_quoted(row.digest)},{'' if row.size is None else row.size}\n" if row else ",,\n"


def lines_in(directory: str, names: list[str], ends: list[str]) -> list[tuple[str, str]]:
    """The paths and lines of the files `names` in `directory` (which ends in a slash), with the `ends` of the lines."""
    paths = [f"{directory}{name}" for name in names]
    if _quoted(joined := "".join(names) + directory) == joined:
        return [(path, path + end) for path, end in zip(paths, ends, strict=True)]
    return [(path, line(path, end)) for path, end in zip(paths, ends, strict=True)]


def _quoted(field: str) -> str:
    """`field`, quoted for CSV. (`csv` before Python 3.13 does not quote a carriage return, which ends the row.)"""
    if "," in field or '"' in field or "\r" in field or "\n" in field:  # no loop: it is called for each file
        return '"' + field.replace('"', '""') + '"'
    return field


def digest_of(data: bytes) -> str:
    """The SHA-256 of `data` in the form of RECORD.

    >>> digest_of(b"")
    'sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU'
    """
    return encode("sha256", sha256(data).digest())


def row_of(path: str, content: bytes) -> Row:
    """The row for a file with that path and content."""
    return Row(path, digest_of(content), len(content))


def encode(algorithm: str, digest: bytes) -> str:
    """`digest` in the form of RECORD: "ALGORITHM=", then urlsafe base64 without padding."""
    text = binascii.b2a_base64(digest, newline=False).rstrip(b"=").decode()
    return f"{algorithm}={text.translate(_URLSAFE)}"


_URLSAFE = {ord("+"): "-", ord("/"): "_"}
