"""What is installed: wheels from the index, fetched once, and wheels and prefixes made here."""

from __future__ import annotations

import base64
import hashlib
import random
import re
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

from contenders import CHECKOUT, make_prefix, site_packages

if TYPE_CHECKING:
    from collections.abc import Iterable

CACHE = CHECKOUT / ".cache" / "benchmarks"
LIST = Path(__file__).with_name("wheels.txt")  # what SageMath installs from wheels
_OTHERS = ("six==1.16.0", "networkx==3.4.2", "networkx==3.5", "sympy==1.13.2", "sympy==1.13.3")

_BINARY = ("llvmlite==0.50.0", "pyarrow==26.0.1", "semgrep==1.185.0")  # 55 to 72 MB each


class Wheels:
    """The wheels from the index."""

    def __init__(self) -> None:
        self._directory = CACHE / "wheels"
        self._directory.mkdir(parents=True, exist_ok=True)
        listed = LIST.read_text(encoding="utf-8").split()
        # pip takes no two versions of one at once
        for each in (set(listed), *({other} for other in (*_OTHERS, *_BINARY))):
            self._fetch(each)
        found = self._found()
        missing = [each for each in _OTHERS if each not in found]
        if missing:
            sys.exit(f"benchmarks: pip cannot download {', '.join(missing)}; make an index reachable for it")
        self.binary = [found[each] for each in _BINARY if each in found]
        self.many = [found[each] for each in listed if each in found]

    def __getitem__(self, requirement: str) -> Path:
        return self._found()[requirement]

    def _found(self) -> dict[str, Path]:
        """The wheels that are there, by NAME==VERSION."""
        paths = self._directory.glob("*.whl")
        return {_requirement(*path.name.split("-")[:2]): path for path in paths}

    def _fetch(self, wanted: set[str]) -> None:
        missing = wanted - self._found().keys()
        if missing and not self._download(missing):
            for each in sorted(missing - self._found().keys()):
                if not self._download([each]):
                    print(f"benchmarks: cannot download {each}, going on without it", file=sys.stderr)

    def _download(self, requirements: Iterable[str]) -> bool:
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
        command += ["--only-binary=:all:", "--dest", str(self._directory), *requirements]
        return subprocess.run(command, stdout=sys.stderr).returncode == 0


def _requirement(name: str, version: str) -> str:
    return f"{re.sub('[-_.]+', '-', name).lower()}=={version}"


def make_large_wheel(directory: Path, *, compress: bool, size: int) -> Path:
    """Make a wheel with one member of `size` bytes that compresses to three quarters, a megabyte at a time."""
    name = f"large_{'deflated' if compress else 'stored'}"
    path = directory / f"{name}-1-py3-none-any.whl"
    numbers = random.Random(1)
    digest = hashlib.sha256()
    kind = zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED
    with zipfile.ZipFile(path, "w", kind, compresslevel=1) as archive:
        with archive.open(f"{name}/data.bin", "w") as member:
            for _ in range(size >> 20):
                block = numbers.randbytes(3 << 18) + bytes(1 << 18)
                digest.update(block)
                member.write(block)
        rows = [f"{name}/data.bin,{_digest(digest.digest())},{size >> 20 << 20}\n"]
        for file, text in _dist_info(name).items():
            archive.writestr(file, text)
            rows.append(_row(file, text))
        record = f"{name}-1.dist-info/RECORD"
        archive.writestr(record, "".join([*rows, f"{record},,\n"]))
    return path


def make_wheel_of_many(directory: Path, name: str, version: str, *, files: int, scripts: int = 0) -> Path:
    """Make a wheel with `files` small files, fifty to a directory, and `scripts` entry points."""
    path = directory / f"{name}-{version}-py3-none-any.whl"
    where = f"{name}-{version}.dist-info"
    content = {f"{name}/__init__.py": f"def main(): print({version!r})\n"}
    content |= {f"{name}/d{n // 2000}/d{n // 50 % 40}/f{n}.txt": f"{n} of {version}\n" * 30 for n in range(files)}
    content |= _dist_info(name, version)
    if scripts:
        lines = "".join(f"script-{n} = {name}:main\n" for n in range(scripts))
        content[f"{where}/entry_points.txt"] = f"[console_scripts]\n{lines}"
    record = "".join([*(_row(file, text) for file, text in content.items()), f"{where}/RECORD,,\n"])
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for file, text in {**content, f"{where}/RECORD": record}.items():
            archive.writestr(file, text)
    return path


def make_full_prefix(path: Path, count: int) -> None:
    """Make a prefix in which `count` small distributions are installed."""
    make_prefix(path)
    library = site_packages(path)
    for number in range(count):
        name = f"filler_{number:04}"
        files = {f"{name}/{each}.py": f"{each} = {number}\n" for each in ("__init__", "a", "b", "c")}
        files |= _dist_info(name)
        files[f"{name}-1.dist-info/INSTALLER"] = "pip\n"
        record = f"{name}-1.dist-info/RECORD"
        files[record] = "".join([*(_row(file, text) for file, text in files.items()), f"{record},,\n"])
        (library / name).mkdir()
        (library / f"{name}-1.dist-info").mkdir()
        for file, text in files.items():
            (library / file).write_text(text, encoding="utf-8")


def _dist_info(name: str, version: str = "1") -> dict[str, str]:
    where = f"{name}-{version}.dist-info"
    return {
        f"{where}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{where}/WHEEL": "Wheel-Version: 1.0\nGenerator: benchmarks\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }


def _row(file: str, text: str) -> str:
    data = text.encode()
    return f"{file},{_digest(hashlib.sha256(data).digest())},{len(data)}\n"


def _digest(digest: bytes) -> str:
    return f"sha256={base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}"
