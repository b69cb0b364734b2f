"""What two builds of the same packages have left below SAGE_LOCAL, and in what that differs.

usage: python benchmarks/sage_files.py LOCAL OTHER_LOCAL

Prints paths that only one has, and paths whose kind, mode or content differs; then how many were compared. What is not
compared is in `IGNORED`; what is compared only in part, and why, in `PARTLY`.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import sys
import tempfile
from collections import Counter
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Byte-code has the time of its source in it; the rest is for builds, or is ours alone.
IGNORED = re.compile(r"(.*/)?(__pycache__|var/(tmp|lock|lib/sage-wheels))(/|$)|.*\.pyc$|.*/lib64$")


# What is there because of a package: whatever is in a library, and what Sage keeps about it.
LEFT_BY_A_PACKAGE = re.compile(
    r"(^|/)(lib/python3\.\d+/site-packages|var/lib/sage/(installed|scripts|wheels))/(?!\.dummy$|python3_venv-)."
)


class Entry(NamedTuple):
    """What is at a path: `kind` is "file", "directory", "link" or "other", `content` a digest or where a link leads."""

    kind: str
    mode: int
    content: str


def _without_date(data: bytes) -> bytes:
    try:
        record = json.loads(data)
    except ValueError:
        return data
    record.pop("install_date", None)
    return json.dumps(record, sort_keys=True).encode()


def _what_is_called(data: bytes) -> bytes:
    """A script without the difference between bin/python and bin/python3; of that of an entry point, what it calls."""
    if not data.startswith(b"#!"):
        return data
    first, _, rest = data.partition(b"\n")
    first = re.sub(rb"(?<=/bin/)python[0-9.]*$", b"python", first)
    called = re.findall(rb"^from \S+ import \S+$|^ +sys\.exit\(\w[\w.]*\(\)\)$", rest, re.MULTILINE)
    return b"\n".join([first, *(called if len(called) == 2 else [rest])])


def _without_hash(data: bytes) -> bytes:
    return str(json.loads(data)["url"]).encode()


# By the end of a path: why the content is compared only in part, and what is compared of it.
PARTLY: tuple[tuple[str, str, Callable[[bytes], bytes]], ...] = (
    (r"\.dist-info/INSTALLER", "the name of the installer", lambda data: b""),
    (r"\.dist-info/RECORD", "it has the hashes of byte-code or of these files", lambda data: b""),
    (r"\.dist-info/direct_url\.json", "the hash of a wheel, which has times in it", _without_hash),
    (r"var/lib/sage/wheels/[^/]*\.whl", "a wheel, which has times in it; its files are compared", lambda data: b""),
    (
        r"/bin/[^/]*",
        "bin/python or bin/python3; what is around the call of an entry point",
        _what_is_called,
    ),
    (r"var/lib/sage/installed/[^/]*", "the date of the installation", _without_date),
)


def look(local: str) -> dict[str, Entry]:
    """Everything below `local` that is compared, by its path there."""
    return {path: _entry(os.path.join(local, path), path) for path in _paths(local, "")}


def differences(one: dict[str, Entry], other: dict[str, Entry], names: tuple[str, str]) -> Iterator[str]:
    """A line for each difference; `names` are what the two are called."""
    for path in sorted(one.keys() | other.keys()):
        if path not in other or path not in one:
            yield f"only {names[path not in one]}: {path}"
            continue
        for field in Entry._fields:
            this, that = getattr(one[path], field), getattr(other[path], field)
            if this != that:
                told = f" {this:o}, {that:o}" if field == "mode" else f" {this}, {that}" if field == "kind" else ""
                yield f"{field} differs: {path}{told}"
                break


def summary(entries: dict[str, Entry]) -> str:
    """How many of which kind."""
    kinds = Counter(each.kind for each in entries.values())
    return ", ".join(f"{number} {kind}" for kind, number in sorted(kinds.items()))


def _paths(top: str, below: str) -> Iterator[str]:
    with os.scandir(os.path.join(top, below)) as scan:
        found = sorted(scan, key=lambda each: each.name)
    for each in found:
        path = f"{below}/{each.name}" if below else each.name
        if IGNORED.match(path):
            continue
        yield path
        if each.is_dir(follow_symlinks=False):
            yield from _paths(top, path)


def _entry(full: str, path: str) -> Entry:
    status = os.lstat(full)
    mode = stat.S_IMODE(status.st_mode)
    if stat.S_ISDIR(status.st_mode):
        return Entry("directory", mode, "")
    if stat.S_ISLNK(status.st_mode):
        return Entry("link", 0, os.readlink(full))
    if not stat.S_ISREG(status.st_mode):
        return Entry("other", mode, "")
    with open(full, "rb") as f:
        data = f.read()
    for end, _, part in PARTLY:
        if re.search(f"(^|/|[^/]){end}$", path):
            data = part(data)
            break
    else:
        if data.startswith(b"\x7fELF"):
            data = _code_of(full, data)
    return Entry("file", mode, hashlib.sha256(data).hexdigest())


def _code_of(path: str, data: bytes) -> bytes:
    """A shared object without what tells where it was built: debugging information, and its own identifier."""
    with tempfile.NamedTemporaryFile() as stripped:
        command = ["objcopy", "--strip-all", "--remove-section=.note.gnu.build-id", path, stripped.name]
        done = subprocess.run(command, capture_output=True)
        if not done.returncode:
            with open(stripped.name, "rb") as f:
                return f.read()
    return data


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    first, second = (look(each) for each in sys.argv[1:])
    lines = list(differences(first, second, (sys.argv[1], sys.argv[2])))
    print("\n".join([*lines, f"{len(lines)} differences in {summary(first)}"]))
