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
    stem = f"{name.replace('-', '_').replace('.', '_')}-{version}"
    dist_info = f"{stem}.dist-info"
    links = symlinks or {}
    members: dict[str, Content] = dict(files)
    members.update((f"{stem}.data/{path}", content) for path, content in (data or {}).items())
    members.update(links)
    own: dict[str, Content] = {"entry_points.txt": _entry_points(entry_points)} if entry_points else {}
    own.update(dist_info_files or {})
    own["METADATA"] = _or(metadata_text, _metadata(name, version, requires, requires_python, headers))
    own["WHEEL"] = _or(wheel_text, _wheel(tag, root_is_purelib))
    members.update((f"{dist_info}/{path}", content) for path, content in own.items())

    right = {path: record_row(path, content) for path, content in members.items()}
    said = [(rows or {}).get(path, row) for path, row in right.items()]
    record = [*(row for row in said if row is not None), f"{dist_info}/RECORD,,", *extra_rows]
    members.update(unlisted or {})
    members[f"{dist_info}/RECORD"] = _or(record_text, "".join(f"{row}\n" for row in record))

    permissions = {**dict.fromkeys(executable, 0o755), **(modes or {})}
    kinds = {path: (stat.S_IFLNK if path in links else stat.S_IFREG) | permissions.get(path, 0o644) for path in members}
    parts = [stem, *([build] if build else []), tag]
    destination = Path(directory)
    destination.mkdir(parents=True, exist_ok=True)
    result = destination / (file_name or "-".join(parts) + ".whl")
    left_out = set(leave_out)
    _write(result, {path: each for path, each in members.items() if path not in left_out}, kinds, compression)
    return result


def _metadata(name: str, version: str, requires: Iterable[str], requires_python: str, headers: str) -> str:
    lines = ["Metadata-Version: 2.1", f"Name: {name}", f"Version: {version}"]
    lines += [f"Requires-Dist: {each}" for each in requires]
    lines += [f"Requires-Python: {requires_python}"] if requires_python else []
    lines += [headers.rstrip("\n")] if headers else []
    return "".join(f"{line}\n" for line in lines)


def _wheel(tag: str, root_is_purelib: bool) -> str:
    lines = ["Wheel-Version: 1.0", "Generator: tests", f"Root-Is-Purelib: {str(root_is_purelib).lower()}"]
    return "".join(f"{line}\n" for line in [*lines, *(f"Tag: {'-'.join(each)}" for each in _expand(tag))])


def _or(spoilt: Content | None, right: Content) -> Content:
    return right if spoilt is None else spoilt


def _write(path: Path, members: Mapping[str, Content], modes: Mapping[str, int], compression: int) -> None:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name, date_time=(2020, 2, 2, 0, 0, 0))
            info.compress_type = compression
            info.external_attr = modes[name] << 16
            archive.writestr(info, content)


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


def changing(name: str, version: str) -> tuple[dict[str, Content], dict[str, Content]]:
    """Files and data of a distribution that change in kind from version 1 to 2: whole directories, a shared one, a file
    that is the same in all distributions, one that turns into a directory, a `.pth`."""
    text = f"VERSION = {version!r}\n"
    files: dict[str, Content] = {
        f"{name}/__init__.py": text,
        f"{name}/v{version}/only.py": text,
        f"{name}_single.py": text,
        f"{name}.pth": f"# {version}\n",
        f"space/{name}.py": text,
        "space/common.txt": "the same in all of them\n",
    }
    data: dict[str, Content] = {f"data/share/{name}.txt": text, "data/share/all/common.txt": "the same\n"}
    if version == "1":
        files[f"space/turn_{name}"] = "a file\n"
        files[f"{name}/deep/er/est.txt"] = text
    if version == "2":
        files[f"space/turn_{name}/now.txt"] = "a directory\n"
    return files, data
