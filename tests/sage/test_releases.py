"""Which changes of Sage's scripts are accepted and which are refused (build/lib/interfaces.py), in every known release.

Each relied-on part of each script is changed in each way. The releases are fetched from the package index; without it,
the same is done with the scripts of `test_overlay`.
"""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
import tarfile
import tokenize
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

from support.modules import loaded

from .test_overlay import write_stock

pytestmark = pytest.mark.once

RELEASES = (
    *("sage_conf==10.7", "sagemath==10.8", "sagemath==10.9", "sagemath==10.10", "sagemath==11.0b1"),
    "passagemath-conf==10.8.13.post1",
)
Change = Callable[[str], str]


@pytest.fixture
def interfaces(checkout: Path) -> Iterator[ModuleType]:
    with loaded(checkout / "build/lib/interfaces.py") as module:
        yield module


class Scripts:
    """The scripts of a release that matter, at `root`; one of them is changed at a time. `known` has the releases."""

    def __init__(self, root: Path, interfaces: ModuleType, known: Path | None = None) -> None:
        self.root, self.interfaces = root, interfaces
        self.known = json.loads((known or interfaces.KNOWN).read_text())
        self.names = {entry.rstrip("?"): names for entry, names in interfaces.RELIED_ON.items()}
        self.texts = {path: (root / path).read_text() for path in self.names if (root / path).exists()}

    def parts(self, path: str) -> dict[str, list[object]]:
        parts: dict[str, list[object]] = self.interfaces.parts_of(path, self.texts[path])
        return parts

    def said(self, path: str, text: str) -> str:
        return "; ".join(self.interfaces.differences_in(path, text, self.names[path], self.known.get(path, {})))

    def accepted(self) -> None:
        for path, text in self.texts.items():
            is_python = path.endswith(".py") or "python" in text.splitlines()[0]
            function = "\n\ndef trial():\n    return 1\n" if is_python else "\ntrial() {\n    exit 1\n}\n"
            changes = [with_comment(text), indented(text, is_python), text + function, with_other_messages(text)]
            others = [name for name in functions(text, is_python) if name not in self.names[path]]
            changes += [with_line_in(text, name, is_python) for name in others]
            for changed in changes:
                assert self.said(path, changed) == "", f"{path}: {changed}"

    def refused(self) -> int:
        count = 0
        for path, names in self.names.items():
            for name in names if path in self.texts else ():
                for kind, changed in self.harmful(path, name):
                    assert changed != self.texts[path], (path, name, kind)
                    said = self.said(path, changed)
                    called = name.rstrip("=").removeprefix("has ")
                    assert said.startswith(f"{path} "), (path, name, kind)
                    assert called in said or "is not understood" in said, (path, name, kind, said)
                    count += 1
        return count

    def harmful(self, path: str, name: str) -> Iterator[tuple[str, str]]:
        """The text of `path` with the part `name` changed: a kind, and the text."""
        text = self.texts[path]
        if name.startswith("has "):
            lines = text.splitlines()
            compact = name[4:].replace(" ", "")
            yield "gone", "\n".join(line for line in lines if line.replace(" ", "") != compact)
            return
        lines = self.interfaces.parts_of(path, text)[name]
        if name == self.interfaces.OUTSIDE or name.endswith("="):
            yield "another value", edited(text, lines[0].number, lambda _: f"{lines[0].text}.other")
        elif name == self.interfaces.CALLS:
            for line in (line for line in lines if line.text in self.names[path]):
                yield "not called", edited(text, line.number, lambda _: "true")
            return
        else:
            own = name.rpartition(".")[2]
            yield "renamed", re.sub(rf"^(\s*(?:def )?){own}(?=\s*\()", rf"\1{own}_2", text, flags=re.MULTILINE)
        if many := [line for line in lines if len(line.text.split()) > 2 and "\n" not in line.text]:
            longest = max(many, key=lambda line: len(line.text))
            yield "dropped argument", edited(text, longest.number, lambda _: longest.text.rpartition(" ")[0])
        for line in lines:
            for old, new in (
                *(("cp -Rp ", "cp -a "), ("tar xpf ", "tar xf "), ("spkg-requirements.txt", "requirements.txt")),
                *(("var/lib/sage/installed", "var/lib/sage/records"), ("'installed'", "'records'")),
            ):
                now = text.splitlines()[line.number - 1]
                if old in now and not now.lstrip().startswith(("#", "echo")):
                    yield f"{old} moved", edited(text, line.number, lambda each, o=old, n=new: each.replace(o, n))  # type: ignore[misc]


def edited(text: str, number: int, change: Change) -> str:
    lines = text.splitlines()
    lines[number - 1] = change(lines[number - 1])
    return "\n".join(lines) + "\n"


def with_comment(text: str) -> str:
    lines = text.splitlines()
    return "\n".join([lines[0], "# what this is for", *lines[1:]]) + "\n"


def with_other_messages(text: str) -> str:
    """What error messages say is for people."""
    return re.sub(r'\b(exit_with_error_msg|error_msg|sdh_die) "Error', r'\1 "Cannot do it: error', text)


def functions(text: str, is_python: bool) -> list[str]:
    pattern = r"^def (\w+)\(" if is_python else r"^(?:function )?(\w+) ?\(\) *\{"
    return re.findall(pattern, text, re.MULTILINE)


def with_line_in(text: str, function: str, is_python: bool) -> str:
    """Another last line in a function: before the next line that is not indented."""
    if is_python:
        head = re.search(rf"^def {function}\((?:.|\n)*?\):.*\n", text, re.MULTILINE)
        assert head
        return text[: head.end()] + "    trial = 1\n" + text[head.end() :]
    return re.sub(rf"^((?:function )?{function} ?\(\) *\{{.*\n)", r"\1    trial=1\n", text, flags=re.MULTILINE)


def indented(text: str, is_python: bool) -> str:
    """All of it with twice the indentation, but what is in strings and here-documents."""
    kept: set[int] = set()
    if is_python:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            kept.update(range(token.start[0] + 1, token.end[0] + 1) if token.type == tokenize.STRING else ())
    lines, ending = [], ""
    for number, line in enumerate(text.splitlines(), 1):
        if not ending and number not in kept:
            lines.append(re.sub("^ +", lambda found: found[0] * 2, line) + ("" if line.strip() else " "))
            found = None if is_python else re.search(r"<<-?\s*(['\"]?)([A-Za-z_]\w*)\1", line)
            ending = found[2] if found else ""
        else:
            lines.append(line)
            ending = "" if line.strip() == ending else ending
    return "\n".join(lines) + "\n"


def test_with_scripts_of_our_own(interfaces: ModuleType, tmp_path: Path) -> None:
    root, known = write_stock(tmp_path / "tree"), tmp_path / "known.json"
    interfaces.learn([root], known)
    scripts = Scripts(root, interfaces, known)
    assert interfaces.differences(root, file=known) == []
    scripts.accepted()
    assert scripts.refused() > 40


@pytest.mark.network
@pytest.mark.slow
@pytest.mark.parametrize("release", RELEASES)
def test_a_release(interfaces: ModuleType, tmp_path: Path, checkout: Path, release: str) -> None:
    root = unpacked(fetched(release, tmp_path, checkout), tmp_path / "tree", interfaces)
    scripts = Scripts(root, interfaces)
    assert interfaces.differences(root) == []
    scripts.accepted()
    assert scripts.refused() > 60


def fetched(release: str, directory: Path, checkout: Path) -> Path:
    """The sdist of a release; nothing of it is run."""
    program = checkout / "sage_wheels/building/pip_download.py"
    command = [sys.executable, "-I", str(program), "download", "-q", "--no-deps", "--no-binary", ":all:"]
    command += ["--ignore-requires-python", "--dest", str(directory), release]
    subprocess.run(command, check=True)
    [sdist] = directory.glob("*.tar.gz")
    return sdist


def unpacked(sdist: Path, root: Path, interfaces: ModuleType) -> Path:
    """The scripts in it, as a tree."""
    wanted = {entry.rstrip("?") for entry in interfaces.RELIED_ON}
    with tarfile.open(sdist) as archive:
        for member in archive:
            path = re.sub(r"^[^/]+/(sage_root/)?", "", member.name)
            if path in wanted and member.isreg():
                content = archive.extractfile(member)
                assert content
                (root / path).parent.mkdir(parents=True, exist_ok=True)
                (root / path).write_bytes(content.read())
    return root
