"""Scripts behave in any directory as in one with a short and plain path: shown by running them on each Python here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import sage_wheels
from sage_wheels.errors import WheelRefused
from sage_wheels.prefix import find_prefix
from support.pythons import Python, other_pythons
from support.run import install, tool, uninstall
from support.trees import make_prefix
from support.wheels import make_wheel

# Scripts that show what they see of themselves, without the first line.
SCRIPTS = {
    "plain": b"print('plain', __doc__)\n",
    "empty": b"",
    "comments": b"# a comment\n\n  # another one\nprint('commented', __doc__)\n",
    "docstring": b'"""A docstring,\nof two lines."""\nprint(repr(__doc__))\n',
    "docstring-raw": b"# first a comment\nr'A raw \\d docstring.'\nprint(repr(__doc__))\n",
    "docstring-in-brackets": b"('In brackets, '\n 'in two parts.')\nprint(repr(__doc__))\n",
    "future": b"from __future__ import annotations\ndef f(x: not_there): pass\nprint(f.__annotations__)\n",
    "docstring-future": b'"""Doc."""\nfrom __future__ import annotations\ndef f(x: no): pass\nprint(__doc__, f(1))\n',
    "latin-1": b"# -*- coding: latin-1 -*-\nprint(ascii('\xe4\xf6'), __doc__)\n",
    "latin-1-docstring": b"# vim: set fileencoding=latin-1 :\n'\xe4\xf6'\nprint(ascii(__doc__))\n",
    "ascii": b"# coding: ascii\nprint('ascii')\n",
    "utf-8": "print(ascii('\u00e4\u00f6'))\n".encode(),
    "names": b"print(sorted(each for each in globals() if each[:2] != '__'))\n",
    "docstring-names": b"'Doc.'\nprint(sorted(each for each in globals() if each[:2] != '__'))\n",
    "main": b"'Doc.'\nimport sys\nclass C: pass\nprint(__name__, C.__module__, sys.argv[1:])\n"
    b"print(*[ascii(x)[1:-1] for x in (sys.argv[0], sys.path[0], __file__)])\n",
    "pickle": b"'Doc.'\nimport pickle\nclass C: x = 1\nprint(pickle.loads(pickle.dumps(C())).x)\n",
    "traceback": b"'Doc.'\nimport traceback\ndef f():\n    return traceback.extract_stack()[-1]\n"
    b"print(f().lineno, f().line)\n",
    "spawn": b"'Doc.'\nimport multiprocessing as m\ndef f(x): return x * 2\nif __name__ == '__main__':\n"
    b"    with m.get_context('spawn').Pool(1) as p: print(p.map(f, [21]))\n",
    "status": b"'Doc.'\nimport sys\nsys.exit(7)\n",
    "input": b"'Doc.'\nprint(input())\n",
    "argparse": b"'Doc.'\nimport argparse\nprint(argparse.ArgumentParser(description=__doc__).format_usage())\n",
    "crlf": b"'Doc.'\r\nprint(__doc__)\r\n",
}
KEPT = {"plain", "empty", "comments", "latin-1", "ascii", "utf-8", "names"}  # in one file, wherever they are

# The last one is what other Pythons than ours are tried with.
DIRECTORIES = {
    "blank": "with blank",
    "quotes": "with 'quote\"s $HOME `x` '' ''' %s",
    "non-ascii": "\u00fcn\u00efc\u00f6de",
    "long": "l" * 140,
    "backslash": "back\\slash \\x \\N{x} \\u \\",
    "tab": "tab\there\nand a line",
    "bytes": os.fsdecode(b"raw\xff\xe4"),
    "everything": os.fsdecode(b"raw \xff\xe4 'quote' \\N \xc3\xbc\n") + "l" * 140,
}


def programs(root: Path, python: str, where: Path) -> Path:
    """A prefix of `python` at `root` in which a wheel has put the scripts; the directory of them."""
    if python == sys.executable:
        make_prefix(root.parent, root.name)
    else:
        made = root.with_name("made")  # venv itself cannot write every path
        subprocess.run([python, "-I", "-m", "venv", "--without-pip", made], check=True)
        made.rename(root)
    data = {f"scripts/{name}": b"#!python\n" + text for name, text in SCRIPTS.items()}
    code = {"wrapped.py": "import sys\ndef main():\n    print(len(sys.argv), sys.modules['__main__'].__doc__)\n"}
    install(root, make_wheel(where, "scripted", "1.0", code, data=data, entry_points={"wrapper": "wrapped:main"}))
    return root / "bin"


def shown(directory: Path, name: str, *python: str) -> tuple[int, str, bytes]:
    """What a program shows when it runs, perhaps as an argument of `python`; the path of the prefix is left out."""
    command = [*(f"{directory}/{each}" for each in (*python, name)), "a b", "$c"]
    done = subprocess.run(command, input=b"in\n", capture_output=True, cwd="/")
    return done.returncode, done.stdout.decode().replace(ascii(str(directory))[1:-1], "BIN"), done.stderr


def check_behaviour(tmp_path: Path, directory_name: str, python: str) -> None:
    short, prefix = programs(tmp_path / "p", python, tmp_path), tmp_path / directory_name
    directory = programs(prefix, python, tmp_path)
    for name in (*SCRIPTS, "wrapper"):
        expected = shown(short, name)
        assert expected[2] == b""
        assert shown(directory, name) == expected, name
    for name in ("main", "docstring-future", "latin-1"):
        assert shown(directory, name, "python") == shown(short, name), name
    assert sage_wheels.verify("scripted", prefix) == []
    uninstall(prefix, "scripted")
    assert not [each for each in directory.iterdir() if each.name.startswith(".") or each.name in SCRIPTS]


@pytest.mark.parametrize("kind", DIRECTORIES)
def test_scripts_behave_in_any_directory_as_in_a_short_one(tmp_path: Path, kind: str) -> None:
    check_behaviour(tmp_path, DIRECTORIES[kind], sys.executable)


@pytest.mark.skipif(not other_pythons(), reason="no Python of another version here")
@pytest.mark.parametrize("python", other_pythons(), ids=lambda each: "{}.{}".format(*each.version))
def test_scripts_of_other_pythons_do_so_too(tmp_path: Path, python: Python) -> None:
    check_behaviour(tmp_path, DIRECTORIES["everything"], python.executable)


def test_only_what_cannot_be_kept_has_a_second_file(tmp_path: Path) -> None:
    prefix = tmp_path / "with blank"
    directory = programs(prefix, sys.executable, tmp_path)
    assert {name for name in SCRIPTS if not (directory / f".{name}.script").exists()} == KEPT
    files = tool("files", "--prefix", prefix, "scripted").stdout.splitlines()
    for name in SCRIPTS.keys() - KEPT:
        second = directory / f".{name}.script"
        assert second.read_bytes() == b"#!python\n" + SCRIPTS[name]
        assert second.stat().st_mode & 0o111 == 0
        assert str(second) in files
    again = tool("install", "--prefix", prefix, next(tmp_path.glob("scripted-*.whl")))
    assert "already" in again.stderr
    assert not list(programs(tmp_path / "p", sys.executable, tmp_path).glob(".*"))


@pytest.mark.parametrize("length", [246, 247, 248, 254, 255])
@pytest.mark.parametrize("letter", ["x", "\u00e4", "\u20ac"])
def test_programs_with_the_longest_names_have_a_second_file(tmp_path: Path, letter: str, length: int) -> None:
    """Two of them whose names differ at the end only do not share it."""
    width = len(letter.encode())
    stem = letter * ((length - 1) // width)
    stem += "y" * (length - 1 - len(stem.encode()))
    data = {f"scripts/{stem}{end}": f"#!python\n'Doc.'\nprint('{end}', __doc__)\n" for end in "12"}
    wheel = make_wheel(tmp_path, "long", "1.0", {"long.py": ""}, data=data, entry_points={f"{stem}3": "long:main"})
    prefix = make_prefix(tmp_path, "with blank")
    before = sorted((prefix / "bin").iterdir())
    install(prefix, wheel)
    for end in "12":
        assert shown(prefix / "bin", f"{stem}{end}") == (0, f"{end} Doc.\n", b"")
    assert sage_wheels.verify("long", prefix) == []
    assert len(set((prefix / "bin").iterdir())) == len(before) + 2 + 2 + 1
    uninstall(prefix, "long")
    assert sorted((prefix / "bin").iterdir()) == before


def test_the_wrappers_of_setuptools_give_way_to_entry_points(tmp_path: Path) -> None:
    """By each of the names that setuptools gave them, as pip has it."""
    names = ("tool", "tool.exe", "Tool-script.py", "tool-script.py", "tool.pya", "tool.py", "other-script.py")
    data = {f"scripts/{name}": "#!python\n'of setuptools'\n" for name in names}
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"pkg.py": ""}, data=data, entry_points={"tool": "pkg:main"})
    for name in ("short", "with blank"):
        prefix = make_prefix(tmp_path, name)
        before = set(os.listdir(prefix / "bin"))
        install(prefix, wheel)
        there = {each for each in os.listdir(prefix / "bin") if not each.startswith((".", "__"))} - before
        assert there == {"tool", "Tool-script.py", "tool.py", "other-script.py"}
        assert "of setuptools" not in (prefix / "bin/tool").read_text()
        assert not (prefix / "bin/.tool.script").exists()


def test_a_launcher_does_not_replace_an_interpreter(tmp_path: Path) -> None:
    wheel = make_wheel(tmp_path, "pkg", "1.0", {"pkg.py": ""}, data={"scripts/python": "#!python\n'Doc.'\n"})
    with pytest.raises(WheelRefused, match="would replace the interpreter"):
        install(make_prefix(tmp_path, "with blank"), wheel)
    assert find_prefix(tmp_path / "with blank").python.endswith("/python")
