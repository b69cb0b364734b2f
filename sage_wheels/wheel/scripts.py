"""Scripts: shebangs, entry points, and names that scripts must not have.

The text of an entry point script is made by `installer`. Its parser of entry_points.txt is not used: `configparser` can
take hours for a malicious line, and a reference without a function leads to an `AssertionError`.
"""

from __future__ import annotations

import os
import re
import sys

from sage_wheels.archive.strict_zip import MAX_COMPONENT
from sage_wheels.fs.digest import sha256
from sage_wheels.prefix.names import is_interpreter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from sage_wheels.wheel.wheel import Wheel

# Linux reads 127 bytes of the first line before 5.1 (BINPRM_BUF_SIZE), macOS 512.
_SHEBANG_LIMIT = 512 if sys.platform == "darwin" else 127
_SHELL = b"#!/bin/sh\n"
# Patterns are compiled when they are needed: many wheels have no script.
_CODING = rb"[ \t\f]*#.*?coding[:=][ \t]*([-\w.]+)"  # PEP 263
_PLAIN_NAME = r"[^-/\\][^/\\]*"  # no hyphen at the beginning: other programs would take it for an option
_OBJECT = r"\w+(\.\w+)*"


def is_read_by_kernel(executable: str) -> bool:
    """Whether the line `#!` + `executable` is short enough for all kernels, and valid for Python in every encoding."""
    path = os.fsencode(executable)
    return path.isascii() and _fits(path)


def _fits(path: bytes) -> bool:
    return len(path) + 3 <= _SHEBANG_LIMIT and not re.search(rb"\s", path)


def run_by(executable: str, text: bytes) -> bytes | None:
    """A script that is run by `executable`; `text` is its content after the first line, or the beginning of that.

    If no kernel could read the shebang, the script begins with a line for /bin/sh, which Python reads as a string. None
    if `text` may not follow a string, because it begins with a docstring or an import from `__future__`.

    >>> run_by("/p/bin/python", b"import six\\n")
    b'#!/p/bin/python\\nimport six\\n'
    >>> print(run_by("/my prefix/bin/python", b"import six").decode())
    #!/bin/sh
    '''exec' '/my prefix/bin/python' "$0" "$@"
    ' '''; __doc__ = None
    import six
    >>> run_by("/my prefix/bin/python", b"'A docstring.'")
    """
    path = os.fsencode(executable)
    if _fits(path) and _can_be_read(path, text):
        return b"#!" + path + b"\n" + text
    if b"__future__" in text or _begins_with_string(text):
        return None
    second, rest = _split_coding(text)
    return _SHELL + second + _to_python(path) + rest


def text_of(script: bytes, executable: str) -> bytes | None:
    """The inverse of `run_by`: the `text` in `script`; None if `run_by` has not made `script` for `executable`.

    >>> text_of(run_by("/my prefix/bin/python", b"# coding: latin-1\\nimport six"), "/my prefix/bin/python")
    b'# coding: latin-1\\nimport six'
    """
    path = os.fsencode(executable)
    plain = b"#!" + path + b"\n"
    if script.startswith(plain):
        return script[len(plain) :]
    before, found, rest = script.partition(_to_python(path))
    return before[len(_SHELL) :] + rest if found and before.startswith(_SHELL) else None


def files_of(path: str, executable: str, text: bytes) -> dict[str, bytes]:
    """The files, by path, for the program `text` at `path`: a script; or a launcher and the script that it runs."""
    script = run_by(executable, text)
    if script is not None:
        return {path: script}
    return {path: launcher(executable, path), launched_by(path): b"#!python\n" + text}


def launched_by(path: str) -> str:
    """The path of the unchanged script that the launcher at `path` runs, in the same directory.

    If its name would be too long for a file system, the end of the program's name is replaced by a digest.

    >>> launched_by("/p/bin/tool")
    '/p/bin/.tool.script'
    >>> len(os.path.basename(launched_by("/p/bin/" + "long" * 63)))
    255
    """
    directory, name = os.path.split(path)
    encoded = os.fsencode(name)
    if len(encoded) + len("..script") > MAX_COMPONENT:
        digest = sha256(encoded).hexdigest()[:16]
        beginning = encoded[: MAX_COMPONENT - len(f"...script{digest}")]
        name = f"{beginning.decode('utf-8', 'ignore')}.{digest}"
    return os.path.join(directory, f".{name}.script")


def launcher(executable: str, path: str) -> bytes:
    """The launcher at `path`: it runs the script `launched_by(path)` as if that were the program itself."""
    text = f"""\
with open({launched_by(path)!a}, "rb") as code:
    code = compile(code.read(), code.name, "exec", dont_inherit=True)
exec(vars().pop("code"))
"""
    return _SHELL + _to_python(os.fsencode(executable)) + text.encode()


def _to_python(path: bytes) -> bytes:
    """Two lines for /bin/sh and Python: by the first, the shell executes the Python at `path`, which reads both lines
    as a string.

    They are printable ASCII, valid in every encoding of a script, and have only escape sequences that Python knows.
    """
    if re.fullmatch(rb"[ -\[\]-~]+", path):
        import shlex

        quoted = shlex.quote(path.decode()).encode()
    else:
        octal = b"".join(bytes([c]) if bytes([c]).isalnum() or c in b"/._-" else b"\\0%03o" % c for c in path)
        quoted = b"\"$(printf %b '" + octal + b"')\""
    return b"'''exec' " + quoted + b" \"$0\" \"$@\"\n' '''; __doc__ = None\n"


def _can_be_read(path: bytes, text: bytes) -> bool:
    """Whether a first line with `path` is valid in the encoding of the script `text`."""
    found = re.match(_CODING, text)
    try:
        for encoding in ("utf-8", found[1].decode() if found else "utf-8"):  # the first line is read as UTF-8
            path.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return path.isascii()
    return True


def _split_coding(text: bytes) -> tuple[bytes, bytes]:
    """Split `text` into the line with the encoding, which must stay the second line (PEP 263), and the rest."""
    if not re.match(_CODING, text):
        return b"", text
    line, end, rest = text.partition(b"\n")
    return line + (end or b"\n"), rest


def _begins_with_string(text: bytes) -> bool:
    """Whether the first statement of `text` may be a docstring."""
    for line in text.split(b"\n"):
        code = line.strip()
        if code and not code.startswith(b"#"):
            return bool(re.match(rb"[A-Za-z]{0,2}['\"]|[(\\]", code))
    return False


def with_shebang(head: bytes, executable: str) -> bytes:
    """Replace a first line that begins with `#!python` (PEP 427, "Recommended installer features").

    `head` is the beginning of the script; `needs_launcher` must be false for it.
    """
    return (run_by(executable, _behind_first_line(head)) or head) if head.startswith(b"#!python") else head


def needs_launcher(head: bytes, executable: str) -> bool:
    """Whether a script that begins with `head` cannot follow a first line that names `executable`."""
    return head.startswith(b"#!python") and run_by(executable, _behind_first_line(head)) is None


def _behind_first_line(head: bytes) -> bytes:
    return head.partition(b"\n")[2]


def wrapped_by(name: str) -> str:
    """The entry point for which a script called `name` may be the wrapper: old setuptools put wrappers into wheels.

    >>> [wrapped_by(name) for name in ("tool", "tool.exe", "Tool-script.py", "tool.pya", "tool.py")]
    ['tool', 'tool', 'Tool', 'tool', 'tool.py']
    """
    return re.sub(r"(\.exe|-script\.py|\.pya)$", "", name, flags=re.IGNORECASE)


def entry_points(wheel: Wheel, version: tuple[int, int]) -> Iterator[tuple[str, bytes]]:
    """Name and text (without the first line) of the script for each console and GUI entry point of `wheel`.

    Raises `WheelRefused` if a name is not a plain file name or is that of an interpreter, or an object reference is
    invalid ("Entry points specification").
    """
    parsed = _parsed(wheel)
    if not parsed:
        return
    for name, reference in _versioned_pip(parsed, version) if wheel.canonical_name == "pip" else parsed:
        plain = re.fullmatch(_PLAIN_NAME, name) and name not in (".", "..") and name.isprintable()
        if not plain or len(name.encode("utf-8")) > MAX_COMPONENT:
            raise wheel.refused(f"its entry point {name!r} is no plain file name")
        if is_interpreter(name):
            raise wheel.refused(f"its entry point {name!r} would replace the interpreter")
        function, bracket, extras = reference.partition("[")
        module, _, attribute = (each.strip() for each in function.partition(":"))
        is_function = re.fullmatch(_OBJECT, module) and re.fullmatch(_OBJECT, attribute)
        if not is_function or (bracket and not extras.endswith("]")):
            raise wheel.refused(f"its entry point {name!r} names no function: {reference[:100]}")
        if reference not in wheel.launchers:
            from installer.scripts import Script

            _, script = Script(name, module, attribute, "console").generate("python", "posix")
            wheel.launchers[reference] = _behind_first_line(script)
        yield name, wheel.launchers[reference]


def names(wheel: Wheel) -> set[str]:
    """The names of the scripts for the entry points of `wheel`, as written in entry_points.txt."""
    return {name for name, _ in _parsed(wheel)}


def _parsed(wheel: Wheel) -> list[tuple[str, str]]:
    text = wheel.read_text("entry_points.txt")
    if not text or "_scripts" not in text:
        return []
    try:
        return list(_parse(text))
    except ValueError as error:
        raise wheel.refused(f"its entry_points.txt cannot be read ({error})") from error


def _parse(text: str) -> Iterator[tuple[str, str]]:
    """Name and object reference of each script ("Entry points specification"). Raises `ValueError`.

    A name must not appear twice with two references. configparser is not used, because it can take hours for a line of
    a kilobyte.
    """
    section = ""
    seen: dict[str, dict[str, str]] = {}  # by section and name: the reference
    indent: int | None = None  # of the previous option
    for line in text.split("\n"):
        content = line.strip()
        if not content or content[0] in "#;":
            continue
        if content[0] == "[" and content[-1] == "]":
            section, indent = content[1:-1], None
            if section in seen:
                raise ValueError(f"the section {section!r} is there twice")
            seen[section] = {}
            continue
        if not section:
            raise ValueError("there is text before its first section")
        if section not in ("console_scripts", "gui_scripts"):
            continue
        name, equals, reference = content.partition("=")
        before, indent = indent, len(line) - len(line.lstrip())
        if not equals or (before is not None and indent > before):  # a line with more indentation would continue it
            raise ValueError(f"the line {content[:100]!r} is no entry point")
        name, reference = name.strip(), reference.strip()
        if name not in seen[section]:
            yield name, reference
        elif seen[section][name] != reference:
            raise ValueError(f"the entry point {name!r} in {section} is there twice")
        seen[section][name] = reference


def _versioned_pip(parsed: Iterable[tuple[str, str]], version: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """The entry points of the wheel of pip itself, which has pip and pip3: pip and ensurepip install pip3.11, too."""
    for name, reference in parsed:
        if name == "pip":
            for alias in ("pip", f"pip{version[0]}", f"pip{version[0]}.{version[1]}"):
                yield alias, reference
        elif not re.fullmatch(r"pip\d+(\.\d+)?", name):
            yield name, reference
