"""The lines of a requirements file, by pip's rules:

- The encoding is given by a byte-order mark or by a comment in the first two lines (PEP 263); by default it is UTF-8.
- A backslash continues a line. Variables are written ${NAME}.

Requirements files (`files`) and the manifests of packages are read so. Quick commands read manifests, so this module
imports very little, and patterns are compiled when they are needed.
"""

from __future__ import annotations

import re

from sage_wheels import environment

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

# The byte-order marks. Those of UTF-32 come first, because they begin with those of UTF-16.
_MARKS = (
    (b"\xef\xbb\xbf", "utf-8"),
    *((b"\xff\xfe\0\0", "utf-32-le"), (b"\0\0\xfe\xff", "utf-32-be")),
    *((b"\xff\xfe", "utf-16-le"), (b"\xfe\xff", "utf-16-be")),
)
_CODING = rb"#.*?coding[:=]\s*([-\w.]+)"
_COMMENT = r"(?:^|\s+)#.*$"
_VARIABLE = r"\$\{([A-Z0-9_]+)\}"


def decoded(data: bytes) -> str:
    """Decode `data` by its byte-order mark, else by a comment in the first two lines (PEP 263), else as UTF-8.

    Bytes that are not UTF-8 become surrogates, because they may be part of a file name. Raises `ValueError`, and
    `LookupError` for an encoding that is not known.

    >>> decoded(b"# coding: latin-1\\n\\xdf")[-1]
    'ß'
    """
    for mark, encoding in _MARKS:
        if data.startswith(mark):
            return data[len(mark) :].decode(encoding)
    for line in data.split(b"\n")[:2]:
        if found := re.match(_CODING, line):
            return data.decode(found[1].decode("ascii"))
    return data.decode("utf-8", "surrogateescape")


def logical_lines(text: str) -> Iterator[tuple[int, str]]:
    r"""The number and text of each line that is not empty, with continued lines joined, without comments, and with
    variables replaced by their values.

    >>> list(logical_lines("# six \\\nsix \\\n  >= 1  # why\n\npexpect"))
    [(2, 'six   >= 1'), (5, 'pexpect')]
    """
    for number, line in _joined(text):
        stripped = re.sub(_COMMENT, "", line).strip()
        if stripped:
            yield number, _expanded(stripped)


def _joined(text: str) -> Iterator[tuple[int, str]]:
    """Join each line that ends in a backslash to the next one. A comment is not continued, and ends a continued line.

    Yields the number of the first of the joined lines, and the text.
    """
    first = 0
    pieces: list[str] = []
    for number, line in enumerate(text.splitlines(), 1):
        is_comment = re.match(_COMMENT, line) is not None
        first = first or number
        if line.endswith("\\") and not is_comment:
            pieces.append(line.strip("\\"))  # as pip does it
            continue
        yield first, "".join([*pieces, f" {line}" if is_comment else line])
        first, pieces = 0, []
    if pieces:
        yield first, "".join(pieces)


def _expanded(line: str) -> str:
    """`line` with each ${NAME} replaced by the value of that environment variable, if it is set."""
    for name in re.findall(_VARIABLE, line):
        line = line.replace(f"${{{name}}}", environment.get(name) or f"${{{name}}}")
    return line
