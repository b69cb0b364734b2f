"""The reader of requirements files: what pip's own parser finds, or a refusal."""

from __future__ import annotations

import importlib.metadata
import random
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.version import Version

from sage_wheels.errors import SourceError
from sage_wheels.requirements.files import Line, read
from sage_wheels.requirements.names import all_named
from support.chance import seed

# Run by a Python with a pip: a line of JSON for each directory that standard input names.
PIPS_PARSER = """
import json, os, sys
from pip._internal.exceptions import PipError
from pip._internal.network.session import PipSession
from pip._internal.req.req_file import RequirementsFileParser, get_line_parser

def told(line):
    return [(getattr(line, "requirement", None) or "").rstrip(), os.path.basename(line.filename), line.lineno,
            line.constraint, bool(getattr(line, "is_editable", False)),
            sorted(f"{algorithm}:{each}" for algorithm, all_of_one in (line.opts.hashes or {}).items()
                   for each in all_of_one)]

os.environ.update(SET="value", TWICE="${SET}", EMPTY="")
for directory in sys.stdin.read().split("\\n")[:-1]:
    os.chdir(directory)
    parser = RequirementsFileParser(PipSession(), get_line_parser(None))
    try:
        found = [told(line) for line in parser.parse("main.txt", False)]
    except (PipError, ValueError, LookupError, OSError) as error:
        found = None
    print(json.dumps(found))
"""
PIECES = (
    *(
        "six",
        "six>=1",
        "Foo.Bar[x, y]",
        "a @ file:///w/a.whl",
        "./tree",
        "git+https://h/x.git#egg=y",
        "pkg==1 ; os_name",
    ),
    *(
        "==",
        " ",
        "  ",
        "\t",
        " # why",
        "#",
        " #",
        "\\\n",
        "\\",
        "\\\\\n",
        "\n",
        "\n",
        "\n",
        "\r\n",
        "\x0c",
        "\u2028",
        ";",
    ),
    *("${SET}", "${TWICE}", "${EMPTY}", "${NOT_SET}", "${set}", "$SET", "é", "'", '"', "'a b'"),
    *("-r one.txt", "-rone.txt", "--requirement=one.txt", "--req one.txt", "-c two.txt", "--constraint two.txt", "-r"),
    *(
        "-e ./tree",
        "--editable=x",
        "--hash=sha256:00",
        "--hash sha512:ff",
        "--hash=md5:0",
        "--hash=0",
        " --hash=sha256:1",
    ),
    *(
        "-i http://h",
        "--index-url=h",
        "--no-index",
        "--pre",
        "--pre=1",
        "-f x",
        "--find-links 'x y'",
        "--bogus",
        "-x",
        "-",
    ),
    *("--", "--no-", "--trusted-host h", "--require-hashes", "--global-option=x", "--config-settings=a=b", "-C a"),
)
STARTS = (
    *(b"", b"", b"", b"\xef\xbb\xbf", b"# coding: latin-1\n", b"#!x\n# -*- coding: utf-8 -*-\n", b"# coding: none\n"),
    *(b"\n\n# coding: latin-1\n", b"# vim: set fileencoding=latin-1\n"),
)


def made_up(chance: random.Random) -> bytes:
    text = "".join(chance.choice(PIECES) + chance.choice(("", "", " ", "\n")) for _ in range(chance.randrange(12)))
    encoding = chance.choice(("utf-8", "utf-8", "utf-8", "utf-16", "utf-16-be"))
    if encoding.startswith("utf-8"):
        return chance.choice(STARTS) + text.encode()
    return text.encode(encoding)


def told(line: Line) -> list[object]:
    hashes = sorted({each.value for each in line.options if each.name == "--hash"})
    where = [Path(line.file).name, line.number]
    return [line.text, *where, line.is_constraint, line.is_editable, hashes]


def pips(directories: list[Path]) -> list[list[list[object]] | None]:
    import json

    command = [sys.executable, "-I", "-c", PIPS_PARSER]
    text = "".join(f"{each}\n" for each in directories)
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True)
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.skipif(
    Version(importlib.metadata.version("pip")) < Version("23.1"),
    reason="this pip knows fewer options behind a line",
)
def test_every_file_is_read_as_pip_reads_it_or_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is read is what pip reads; nothing is refused that pip understands whole."""
    pytest.importorskip("pip")
    chance = random.Random(seed("REQUIREMENTS_SEED"))
    directories = []
    for number in range(200):
        directory = tmp_path / str(number)
        directory.mkdir()
        (directory / "main.txt").write_bytes(made_up(chance))
        (directory / "one.txt").write_text("inner>=1\n--no-index\n")
        (directory / "two.txt").write_text("inner<3\n")
        directories.append(directory)
    for name, value in {"SET": "value", "TWICE": "${SET}", "EMPTY": ""}.items():
        monkeypatch.setenv(name, value)
    read_by_both = refused = 0
    for directory, theirs in zip(directories, pips(directories), strict=True):
        monkeypatch.chdir(directory)
        content = (directory / "main.txt").read_bytes()
        ours, refusal = attempted("main.txt")
        if ours is None:
            refused += 1
            assert theirs is None or is_passed_over(refusal), (content, refusal)
        elif theirs is None and b"--global-option" in content.replace(b"\0", b""):
            continue  # pip 26 has taken this option away
        else:
            read_by_both += 1
            assert theirs is not None, (content, ours)
            assert without_repetition(ours) == without_repetition(theirs), content  # a file counts once
    assert read_by_both > 30
    assert refused > 30


def attempted(path: str) -> tuple[list[list[object]] | None, str]:
    """What is read, or None and the refusal."""
    try:
        return [told(line) for line in read(path)], ""
    except SourceError as error:
        return None, str(error)


def without_repetition(lines: list[list[object]]) -> list[list[object]]:
    lines = [[*each[:-1], sorted({*map(str, each[-1])})] if isinstance(each[-1], list) else each for each in lines]
    return [each for at, each in enumerate(lines) if each not in lines[:at]]


def is_passed_over(refusal: str) -> bool:
    """Whether pip says nothing about what is refused."""
    return any(
        words in refusal
        for words in (
            " after an option",
            " after a requirement",
            " and no requirement",
            " has -",
            " without KEY=VALUE",
        )
    )


def lines(tmp_path: Path, content: str | bytes) -> list[Line]:
    file = tmp_path / "file.txt"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return read(str(file))


def test_a_path_may_be_of_any_bytes_but_nothing_else(tmp_path: Path) -> None:
    [line] = lines(tmp_path, b"ok @ file:///caf\xe9/ok-1-py3-none-any.whl\n")
    assert line.text.endswith("/caf\udce9/ok-1-py3-none-any.whl")
    with pytest.raises(SourceError, match=r"line 2 of .* is not UTF-8"):
        lines(tmp_path, b"six\ncaf\xe9\n")


def test_what_a_line_asks_for(tmp_path: Path) -> None:
    digest = 64 * "0"
    text = f"six==1 \\\n  --hash=sha256:{digest} \\\n  --hash sha512:1\n-c bounds.txt\n-e ./tree\n-i https://me:secret@host\n"
    (tmp_path / "bounds.txt").write_text("six<2\n")
    first, bound, editable, index = lines(tmp_path, text)
    assert first.argument == f"six==1 --hash=sha256:{digest} --hash=sha512:1"
    assert (bound.text, bound.is_constraint, bound.position) == ("six<2", True, f"line 1 of {tmp_path}/bounds.txt")
    assert (editable.text, editable.is_editable, editable.number) == ("./tree", True, 5)
    assert (index.text, index.options[0].name, index.options[0].written) == ("", "--index-url", "-i")


def test_what_a_command_does_not_follow_is_refused_by_name_and_without_its_value(tmp_path: Path) -> None:
    file = tmp_path / "file.txt"
    file.write_text("six\n-i https://me:secret@host\n")
    with pytest.raises(SourceError) as caught:
        read(str(file), ["--requirement"])
    assert f"line 2 of {file} has -i, which is not supported" in str(caught.value)
    assert "secret" not in str(caught.value)


def test_a_file_that_includes_itself_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "other.txt").write_text("two\n-r file.txt\n")
    assert [line.text for line in lines(tmp_path, "one\n-r other.txt\nthree\n")] == ["one", "two", "three"]


def test_an_included_file_may_be_a_file_url(tmp_path: Path) -> None:
    (tmp_path / "with blank.txt").write_text("two\n")
    assert [line.text for line in lines(tmp_path, f"-r 'file://{tmp_path}/with%20blank.txt'\n")] == ["two"]
    with pytest.raises(SourceError, match="is not downloaded"):
        lines(tmp_path, "-r https://example.org/x.txt\n")


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert read(f"{tmp_path}/none.txt", must_exist=False) == []
    with pytest.raises(SourceError, match=r"none\.txt is not there"):
        read(f"{tmp_path}/none.txt")
    for included in ("none.txt", "no\0ne.txt"):
        (tmp_path / "file.txt").write_text(f"-r {included}\n")
        with pytest.raises(SourceError, match="is not there"):
            read(f"{tmp_path}/file.txt", must_exist=False)


def test_names(tmp_path: Path) -> None:
    """What a shell script writes, too; a constraint names nothing."""
    (tmp_path / "bounds.txt").write_text("seven<2\n")
    (tmp_path / "file.txt").write_text("a @ file:///with blank/a-1.0-py3-none-any.whl\nB.b>1\n-c bounds.txt\n--pre\n")
    assert all_named(["c"], [f"{tmp_path}/file.txt"]) == ["c", "a", "B.b"]
