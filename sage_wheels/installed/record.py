"""RECORD files: read and written as the specification says (PEP 376, PEP 627, "Recording installed projects").

A row is `path,algorithm=digest,size`; paths are relative to the directory that holds the `.dist-info`, or absolute.
Rows end at line feeds only: U+2028 and its relatives are characters of a path.
"""

from __future__ import annotations

import binascii
import csv
import hashlib
import io
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

# The specification's list (hashlib.algorithms_guaranteed) without md5, sha1 and what is not of fixed length.
ALGORITHMS = frozenset(
    ("sha224", "sha256", "sha384", "sha512", "sha3_224", "sha3_256", "sha3_384", "sha3_512", "blake2b", "blake2s")
)


class Row(NamedTuple):
    """One line of a RECORD; `digest` is "sha256=..." or empty, `size` in bytes or None."""

    path: str
    digest: str = ""
    size: int | None = None


def parse(data: bytes) -> list[Row]:
    r"""The rows of a RECORD. Raises `ValueError` (also for bad UTF-8) saying what is wrong with which line.

    >>> parse(b'six.py,sha256=abc,7\n"a,b.py",,\n')
    [Row(path='six.py', digest='sha256=abc', size=7), Row(path='a,b.py', digest='', size=None)]
    """
    text = data.decode("utf-8")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    rows: list[Row] = []
    try:
        for fields in reader:
            if not fields:
                continue
            if len(fields) > 3 or not fields[0]:
                raise ValueError(f"line {reader.line_num} is no row of path, hash and size")
            path, digest, size = (*fields, "", "")[:3]
            if size and not (size.isascii() and size.isdigit() and len(size) < 100):
                raise ValueError(f"line {reader.line_num} has no number as size")
            rows.append(Row(path, digest, int(size) if size else None))
    except csv.Error as error:
        raise ValueError(f"line {reader.line_num} is not CSV ({error})") from error
    return rows


def format_rows(rows: Iterable[Row]) -> bytes:
    """The RECORD with `rows`, sorted, as pip writes it."""
    lines = sorted((row.path, row.digest, "" if row.size is None else str(row.size)) for row in rows)
    text = "".join(f"{_quoted(path)},{_quoted(digest)},{size}\n" for path, digest, size in lines)
    return text.encode("utf-8", "surrogateescape")


def _quoted(field: str) -> str:
    """`field` as CSV has it; `csv` before Python 3.13 would leave a carriage return bare and read it as an end."""
    return '"' + field.replace('"', '""') + '"' if any(each in field for each in ',"\r\n') else field


def digest_of(data: bytes) -> str:
    """The digest of `data` as RECORD has it.

    >>> digest_of(b"")
    'sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU'
    """
    return encode("sha256", hashlib.sha256(data).digest())


def row_of(path: str, content: bytes) -> Row:
    """The row of the file at `path` with that content."""
    return Row(path, digest_of(content), len(content))


def encode(algorithm: str, digest: bytes) -> str:
    """`digest` in the spelling of RECORD: urlsafe base64 without padding."""
    text = binascii.b2a_base64(digest, newline=False).rstrip(b"=").decode()
    return f"{algorithm}={text.translate(_URLSAFE)}"


_URLSAFE = {ord("+"): "-", ord("/"): "_"}
