"""Check whether the scripts of a Sage tree, whatever its version, have the interfaces that this project relies on.

usage: interfaces.py SAGE_ROOT...           prints the differences from the known releases
       interfaces.py --learn SAGE_ROOT...   adds these releases to interfaces.json, which is beside this file

A script is cut into parts: each function, methods as `CLASS.NAME`; each variable that is set outside of functions, as
`NAME=`; all that is outside of functions, as `outside of functions`; and the lines there that only call a function of
the script, as `order of calls`. `RELIED_ON` names the parts that matter to us; of the calls, only those of functions
that it names. A part is compared line by line with that of the known releases, without comments, indentation and
messages for people. For `has LINE`, the script must only contain that line. Nothing else is compared: neither a
version, nor other parts of a script.

interfaces.json contains only a hash of each line of Sage's scripts. This file uses only the standard library of Python
3.10.
"""

from __future__ import annotations

import ast
import difflib
import hashlib
import io
import json
import re
import sys
import tokenize
from pathlib import Path
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

OUTSIDE = "outside of functions"
CALLS = "order of calls"

# docs/sage.md says what we use each script for. A script that is followed by "?" may be missing.
RELIED_ON: dict[str, tuple[str, ...]] = {
    "build/bin/sage-dist-helpers": (
        *("sdh_die", "sdh_build_wheel", "sdh_build_and_store_wheel", "sdh_pip_install", "sdh_pip_editable_install"),
        *("sdh_store_wheel", "sdh_store_and_pip_install_wheel", "sdh_actually_pip_install_wheel", "sdh_pip_uninstall"),
        OUTSIDE,
    ),
    "build/bin/sage-spkg": (
        *("setup_directories", "extract_the_package", "prepare_for_installation", "write_script_wrapper"),
        *("actually_build_and_install", "unload_destdir", "install_scripts", "post_install"),
        *("write_installation_record", "SAGE_INST_LOCAL=", "SAGE_BUILD_DIR=", "SAGE_SPKG_INST=", "SAGE_SPKG_SCRIPTS="),
        *("SAGE_SPKG_WHEELS=", "SAGE_DESTDIR=", "SAGE_DESTDIR_LOCAL=", "INSTALLED_SCRIPTS_DEST=", "INSTALLED_SCRIPTS="),
        *("WRAPPED_SCRIPTS=", "PKG_BASE=", "PKG_NAME=", "PKG_VER=", CALLS),
    ),
    "build/bin/sage-bootstrap-python?": ('has exec "$PYTHON" "$@"',),
    "build/bin/sage-flock": (OUTSIDE,),
    "build/sage_bootstrap/flock.py": ("run",),
    "build/bin/sage-pip-install": (OUTSIDE,),
    "build/bin/sage-pip-uninstall": (OUTSIDE,),
    "build/bin/sage-spkg-uninstall": (OUTSIDE,),
    "build/sage_bootstrap/uninstall.py": (
        *("uninstall", "modern_uninstall", "legacy_uninstall", "run_spkg_script", "remove_stamp_files", "make_parser"),
        "run",
    ),
    "build/bin/sage-build-num-threads": ("number_of_cores", "parse_jobs_from_MAKE", "num_threads", OUTSIDE),
    "build/bin/sage-package": (OUTSIDE,),
    "build/sage_bootstrap/package.py": (
        *("Package.source", "Package.trees", "Package.purl", "Package.distribution_name", "Package.path"),
        *("Package.version_with_patchlevel", "Package._init_version", "Package._init_type", "Package._init_trees"),
    ),
    "build/sage_bootstrap/cmdline.py": ("has def run ( ) :",),
    "build/bin/sage-spkg-installcheck": (OUTSIDE,),
    "build/sage_bootstrap/installcheck.py": ("has def run ( argv = None ) :",),
    "build/bin/sage-download-file": (OUTSIDE,),
    "build/sage_bootstrap/download/cmdline.py": ("has def run_safe ( ) :",),
    "build/bin/sage-uncompress-spkg": (OUTSIDE,),
    "build/sage_bootstrap/uncompress/cmdline.py": ("has def run ( ) :",),
}

PATHS = [entry.rstrip("?") for entry in RELIED_ON]
KNOWN = Path(__file__).with_name("interfaces.json")

_FUNCTION = re.compile(r"\s*(?:function\s+)?([A-Za-z_]\w*)\s*\(\s*\)\s*\{?\s*$")
_VARIABLE = re.compile(r"\s*(?:export\s+|local\s+|readonly\s+)*([A-Za-z_]\w*)\+?=")
_HERE_DOCUMENT = re.compile(r"<<-?\s*(['\"]?)([A-Za-z_]\w*)\1")
# An echo that does nothing else: words, strings and variables, but no command, in neither of them.
_MESSAGE = re.compile(r"""echo\b(?:[^"'$`;&|<>\\]|>&2|\$(?!\()|\\.|'[^']*'|"(?:[^"$`\\]|\$(?!\()|\\.)*")*$""")
# The message of a script that reports an error; it is left out of the line.
_ERROR = re.compile(r"""\b((?:exit_with_)?error_msg|sdh_die) "(?:[^"$`\\]|\$(?!\()|\\.)*\"""")


class Line(NamedTuple):
    """A line that is compared: its number in the file, and its text with one space for each run of white space."""

    number: int
    text: str

    @property
    def digest(self) -> str:
        return hashlib.sha256(self.text.encode()).hexdigest()[:12]


def differences(root: Path, read: Callable[[str], bytes | None] | None = None, file: Path = KNOWN) -> list[str]:
    """The differences of the tree at `root` from all releases in `file`: a clause for each, which names the script.

    `read` returns the genuine text of a script, None if there is none; without it, that is what is in the tree.
    """
    known = json.loads(file.read_text(encoding="utf-8"))
    found = []
    for entry, names in RELIED_ON.items():
        path = entry.rstrip("?")
        try:
            content = read(path) if read else (root / path).read_bytes() if (root / path).exists() else None
            text = content.decode() if content is not None else None
        except (OSError, UnicodeDecodeError):
            found.append(f"{path} cannot be read")
            continue
        if text is None:
            found += [f"{path} is not there"] if entry == path else []
            continue
        found += differences_in(path, text, names, known.get(path, {}))
    return found


def differences_in(path: str, text: str, names: tuple[str, ...], known: dict[str, list[str]]) -> list[str]:
    """As `differences`, for one script and its `text`; `known` has the digests of each part, by release."""
    try:
        parts = parts_of(path, text)
    except (SyntaxError, tokenize.TokenError) as error:
        return [f"{path} is not understood ({error.args[0]})"]
    found = []
    everything = {line.text for lines in parts.values() for line in lines}
    for name in names:
        releases = known.get(name, [])
        if name.startswith("has "):
            if name[4:] not in everything:
                found.append(f"{path} has no line {name[4:]!r}")
            continue
        part = _part(parts, name, names)
        if part is None:
            found.append(f"{path} has no {_called(name)}")
        elif _digests(part) not in releases:
            found.append(f"{path} {_difference(name, part, releases)}")
    return found


def _part(parts: dict[str, list[Line]], name: str, names: tuple[str, ...]) -> list[Line] | None:
    part = parts.get(name)
    return [line for line in part or () if line.text in names] if name == CALLS else part


def parts_of(path: str, text: str) -> dict[str, list[Line]]:
    """The parts of a script, by name.

    >>> [*parts_of("x", "A=1\\nf() {\\n  go $A  # comment\\n}\\nf\\n")]
    ['A=', 'outside of functions', 'f', 'order of calls']
    """
    is_python = path.endswith(".py") or re.match(r"#!.*python", text)
    return _parts_of_python(text) if is_python else _parts_of_shell(text)


def _parts_of_shell(text: str) -> dict[str, list[Line]]:
    parts: dict[str, list[Line]] = {}
    inside: list[str] = []  # the functions that the line is in, the innermost last
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        plain = _plain(line)
        if found := _HERE_DOCUMENT.search(plain):
            document = [Line(number, plain)]
            for at, each in lines:
                document.append(Line(at, each.rstrip()))
                if each.strip() == found[2]:
                    break
            _add(parts, inside, document)
            continue
        if (found := _FUNCTION.match(plain)) and plain.endswith("{"):
            _add(parts, inside, [Line(number, plain)] if inside else [])
            inside.append(found[1])
            parts[found[1]] = []
        elif plain.startswith("}") and inside:
            inside.pop()
        elif plain and not _MESSAGE.match(plain):
            _add(parts, inside, [Line(number, _ERROR.sub(r"\1", plain))])
    return parts | {CALLS: [line for line in parts.get(OUTSIDE, []) if line.text in parts]}


def _plain(line: str) -> str:
    """A line of shell without its comment and indentation."""
    plain = re.sub(r"\s+", " ", line.strip())
    for found in re.finditer(r"(?:^|(?<= ))#", plain):
        before = re.sub(r"\\.", "", plain[: found.start()])
        if before.count('"') % 2 == 0 and before.count("'") % 2 == 0:
            return plain[: found.start()].rstrip()
    return plain


def _add(parts: dict[str, list[Line]], inside: list[str], lines: list[Line]) -> None:
    if inside:
        for name in inside:
            parts[name] += lines
        return
    for line in lines:
        if found := _VARIABLE.match(line.text):
            parts.setdefault(f"{found[1]}=", []).append(line)
    parts.setdefault(OUTSIDE, []).extend(lines)


def _parts_of_python(text: str) -> dict[str, list[Line]]:
    functions = [*_functions(ast.parse(text).body)]
    parts: dict[str, list[Line]] = {}
    for line in _logical_lines(text):
        owner = next((name for name, first, last in functions if first <= line.number <= last), OUTSIDE)
        parts.setdefault(owner, []).append(line)
    return parts


def _functions(body: list[ast.stmt], above: str = "") -> Iterator[tuple[str, int, int]]:
    """The functions, and methods as CLASS.NAME, with their first and last line."""
    for each in body:
        if isinstance(each, ast.FunctionDef):
            yield f"{above}{each.name}", each.lineno, each.end_lineno or 0
        elif isinstance(each, ast.ClassDef):
            yield from _functions(each.body, f"{each.name}.")


def _logical_lines(text: str) -> list[Line]:
    """The logical lines of a Python program, without comments and docstrings."""
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    found: list[Line] = []
    tokens: list[tokenize.TokenInfo] = []
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.NEWLINE:
            if [each.type for each in tokens] != [tokenize.STRING]:
                found.append(Line(tokens[0].start[0], " ".join(each.string for each in tokens)))
            tokens = []
        elif token.type not in skipped:
            tokens.append(token)
    return found


def _called(name: str) -> str:
    return f"variable {name[:-1]}" if name.endswith("=") else name if name in (OUTSIDE, CALLS) else f"function {name}"


def _digests(lines: list[Line]) -> str:
    return " ".join(line.digest for line in lines)


def _difference(name: str, lines: list[Line], releases: list[str]) -> str:
    """The first difference of a part from that of the most similar release."""
    digests = [line.digest for line in lines]
    compared = [
        (each.split(), difflib.SequenceMatcher(None, each.split(), digests, autojunk=False)) for each in releases
    ]
    known, best = max(compared, key=lambda each: each[1].ratio())
    where = OUTSIDE if name == OUTSIDE else f"in {_called(name)}"
    for kind, _, _, begin, end in best.get_opcodes():
        if kind in ("insert", "replace"):
            # the known release may have lines such as `;;` elsewhere: one that it has nowhere says more
            line = next((each for each in lines[begin:end] if each.digest not in known), lines[begin])
            return f"has another line {line.number} {where}, {line.text!r}"
        if kind == "delete":
            after = f"line {lines[end - 1].number}" if end else "the beginning"
            return f"lacks a line after {after} {where}"
    raise AssertionError("the same after all")


def learn(roots: list[Path], file: Path = KNOWN) -> None:
    """Add the releases at `roots` to those in `file`."""
    known: dict[str, dict[str, list[str]]] = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    for root in roots:
        for entry, names in RELIED_ON.items():
            path = entry.rstrip("?")
            if not (root / path).exists():
                continue
            parts = parts_of(path, (root / path).read_text(encoding="utf-8"))
            for name in (each for each in names if not each.startswith("has ")):
                releases = known.setdefault(path, {}).setdefault(name, [])
                if (digests := _digests(_part(parts, name, names) or [])) not in releases:
                    releases.append(digests)
    file.write_text(json.dumps(known, indent=1, sort_keys=True) + "\n", encoding="utf-8")


def main(arguments: list[str]) -> None:
    if arguments[:1] == ["--learn"]:
        learn([Path(each) for each in arguments[1:]])
        return
    found = [f"{root}: {each}" for root in arguments for each in differences(Path(root))]
    sys.exit("\n".join(found) if found else 0)


if __name__ == "__main__":
    main(sys.argv[1:])
