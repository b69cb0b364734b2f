"""Make wheels in code: right ones, and ones that are wrong in exactly one way.

`make_wheel` writes a correct wheel unless a keyword says otherwise; `metadata_text`, `wheel_text`, `record_text`,
`rows`, `unlisted`, `symlinks`, `leave_out` and `file_name` spoil it.
"""

from __future__ import annotations

import base64
import hashlib
import os
import stat
import zipfile
from collections.abc import Iterable, Mapping
from pathlib import Path

Content = str | bytes


def make_wheel(
    directory: str | os.PathLike[str],
    name: str,
    version: str,
    files: Mapping[str, Content],
    *,
    data: Mapping[str, Content] | None = None,
    entry_points: Mapping[str, str] | Mapping[str, Mapping[str, str]] | None = None,
    tag: str = "py3-none-any",
    build: str = "",
    root_is_purelib: bool = True,
    requires: Iterable[str] = (),
    requires_python: str = "",
    headers: str = "",
    executable: Iterable[str] = (),
    modes: Mapping[str, int] | None = None,
    dist_info_files: Mapping[str, Content] | None = None,
    compression: int = zipfile.ZIP_DEFLATED,
    # what follows spoils the wheel
    metadata_text: Content | None = None,
    wheel_text: Content | None = None,
    record_text: Content | None = None,
    rows: Mapping[str, str | None] | None = None,
    extra_rows: Iterable[str] = (),
    unlisted: Mapping[str, Content] | None = None,
    symlinks: Mapping[str, str] | None = None,
    leave_out: Iterable[str] = (),
    file_name: str | None = None,
) -> Path:
    """Write a wheel into `directory` (made if need be) and return its path.

    `files` go below the wheel's root; `data` has paths like "scripts/tool" or "data/share/x" below `.data/`;
    `entry_points` is {"tool": "pkg:main"} for console scripts, or {group: {name: reference}}; `headers` are more lines
    for METADATA; members in `executable` get mode 755, others 644 or what `modes` says; `dist_info_files` are more
    files for `.dist-info`.

    Spoiling: `metadata_text`, `wheel_text` and `record_text` stand instead of the files of those names; `rows` replaces
    the row of a member in RECORD (None leaves it out), `extra_rows` are appended to it; `unlisted` members are written
    without a row; `symlinks` are members that claim to be symbolic links, listed as files with that content;
    `leave_out` members are listed, but not written; `file_name` is the name of the wheel file.
    """
    escaped = name.replace("-", "_").replace(".", "_")
    dist_info = f"{escaped}-{version}.dist-info"
    lines = [f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"]
    lines += [f"Requires-Dist: {each}\n" for each in requires]
    lines += [f"Requires-Python: {requires_python}\n"] if requires_python else []
    lines += [headers.rstrip("\n") + "\n"] if headers else []
    tags = [f"{py}-{abi}-{plat}" for py, abi, plat in _expand(tag)]
    wheel_file = f"Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: {str(root_is_purelib).lower()}\n"
    wheel_file += "".join(f"Tag: {each}\n" for each in tags)

    members: dict[str, bytes] = {path: _bytes(content) for path, content in files.items()}
    for path, content in (data or {}).items():
        members[f"{escaped}-{version}.data/{path}"] = _bytes(content)
    links = {path: _bytes(target) for path, target in (symlinks or {}).items()}
    members.update(links)
    if entry_points:
        members[f"{dist_info}/entry_points.txt"] = _entry_points(entry_points)
    for path, content in (dist_info_files or {}).items():
        members[f"{dist_info}/{path}"] = _bytes(content)
    members[f"{dist_info}/METADATA"] = _bytes("".join(lines) if metadata_text is None else metadata_text)
    members[f"{dist_info}/WHEEL"] = _bytes(wheel_file if wheel_text is None else wheel_text)

    record = []
    for path, member in members.items():
        row: str | None = record_row(path, member)
        if rows and path in rows:
            row = rows[path]
        if row is not None:
            record.append(row)
    record += [f"{dist_info}/RECORD,,", *extra_rows]
    members.update((path, _bytes(content)) for path, content in (unlisted or {}).items())
    text = "".join(f"{row}\n" for row in record)
    members[f"{dist_info}/RECORD"] = _bytes(text if record_text is None else record_text)

    goal = Path(directory)
    goal.mkdir(parents=True, exist_ok=True)
    parts = [escaped, version, *([build] if build else []), tag]
    result = goal / (file_name or "-".join(parts) + ".whl")
    with zipfile.ZipFile(result, "w", compression) as archive:
        for path, member in members.items():
            if path in set(leave_out):
                continue
            info = zipfile.ZipInfo(path, date_time=(2020, 2, 2, 0, 0, 0))
            info.compress_type = compression
            mode = (modes or {}).get(path, 0o755 if path in set(executable) else 0o644)
            kind = stat.S_IFLNK if path in links else stat.S_IFREG
            info.external_attr = (kind | mode) << 16
            archive.writestr(info, member)
    return result


def record_row(path: str, content: Content) -> str:
    """The row of RECORD for a member.

    >>> record_row("a.py", "")
    'a.py,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0'
    """
    data = _bytes(content)
    digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
    quoted = '"' + path.replace('"', '""') + '"' if "," in path or '"' in path else path
    return f"{quoted},sha256={digest},{len(data)}"


def _bytes(content: Content) -> bytes:
    return content.encode() if isinstance(content, str) else content


def _expand(tag: str) -> list[tuple[str, str, str]]:
    pythons, abis, platforms = tag.split("-")
    return [(py, abi, plat) for py in pythons.split(".") for abi in abis.split(".") for plat in platforms.split(".")]


def _entry_points(entry_points: Mapping[str, str] | Mapping[str, Mapping[str, str]]) -> bytes:
    groups: dict[str, dict[str, str]] = {}
    for key, value in entry_points.items():
        if isinstance(value, str):
            groups.setdefault("console_scripts", {})[key] = value
        else:
            groups[key] = dict(value)
    text = ""
    for group, pairs in groups.items():
        text += f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in pairs.items()) + "\n"
    return text.encode()
