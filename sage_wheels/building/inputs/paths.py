"""Find out whether a wheel contains the path of its build directory, or of the prefix. Then it fits only this path.

The paths are searched in the inflated members: as they are, with links resolved, as in strings of C, Python and JSON,
percent-encoded, and as UTF-16; and so in what is compressed in them (`compressed`). A wheel with something compressed
that cannot be looked into may contain each path.
"""

from __future__ import annotations

import os

from sage_wheels.building.inputs.compressed import contents

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping


def named_in(
    wheel: str, named_paths: Mapping[str, str], look: Callable[[str, bytes], object] = lambda name, data: None
) -> list[str]:
    """The names of those `named_paths` (absolute paths) that a file in the wheel contains.

    `look` is called with the name and the content of each file. Raises `OSError`, and `zipfile.BadZipFile` if it is no
    wheel.
    """
    import zipfile

    wanted = {name: [form for each in spellings(path) for form in _forms(each)] for name, path in named_paths.items()}
    found: set[str] = set()
    is_dark = False
    with zipfile.ZipFile(wheel) as archive:
        for member in archive.infolist():
            if member.is_dir():
                continue
            data = archive.read(member)
            look(member.filename, data)
            for part in (data, *contents(data)):
                if part is None:
                    is_dark = True  # so it may contain any path
                    continue
                found.update(name for name, forms in wanted.items() if any(form in part for form in forms))
    return sorted(named_paths if is_dark else found)


def spellings(path: str) -> list[str]:
    """`path`, and the path that the system names instead of it (getcwd) if there are links in it."""
    return list(dict.fromkeys([path, os.path.realpath(path)]))


def _forms(path: str) -> Iterator[bytes]:
    import json
    from urllib.parse import quote

    plain = path.encode("utf-8", "surrogateescape")
    forms = {plain, plain.replace(b"/", b"\\/"), quote(plain).encode(), quote(plain, safe="").encode()}
    forms |= {path.encode("unicode_escape", "replace"), plain.replace(b" ", b"\\ "), json.dumps(path)[1:-1].encode()}
    forms |= {_escaped(plain, "\\x{:02x}"), _escaped(plain, "\\{:03o}")}
    yield from forms
    for encoding in ("utf-16-le", "utf-16-be", "utf-32-le"):
        yield path.encode(encoding, "surrogatepass")


def _escaped(data: bytes, form: str) -> bytes:
    """`data` with bytes that are not ASCII in that `form`, as in a string of bytes in Python or C."""
    return "".join(chr(byte) if 32 <= byte < 127 else form.format(byte) for byte in data).encode()
