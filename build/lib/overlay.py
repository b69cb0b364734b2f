"""Put this project into a tree of the Sage distribution, and take it out again.

usage: overlay.py CHECKOUT SAGE_ROOT [--undo]

What is added:

    build/sage-wheels/      the tool and its dependencies; `overlay.json`, the list of what was done; the genuine files
                            that were replaced, below `genuine/`; `python`, which system Python was found
    build/bin, build/lib    our scripts

What is replaced: sage-bootstrap-python, sage-flock, sage-pip-install and sage-pip-uninstall as a whole;
sage-spkg-uninstall by a script that first removes what the genuine one cannot remove well, and then calls it. One line
is added to sage-dist-helpers, two are changed in sage-spkg, and one in src/bin/sage where the tree has that.

The list is written first and goes last, a genuine file is kept by a hard link before it is replaced by a rename, and
comes back by a rename: with its time and mode, and whenever this is interrupted, --undo takes back what was done.
Only the standard library of Python 3.10 is at hand here.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import NamedTuple, NoReturn

HOME = "build/sage-wheels"
LIST = f"{HOME}/overlay.json"
GENUINE = f"{HOME}/genuine"
UNFINISHED = f"{HOME}.new"


class Refused(Exception):
    """Why nothing is done, in one sentence."""


class Replacement(NamedTuple):
    """A genuine file: what is known of it (a line each), and what stands for it, our file or lines in place of its.

    An `optional` one is not in every tree.
    """

    path: str
    known_by: tuple[str, ...]
    ours: str = ""
    lines: tuple[tuple[str, str], ...] = ()
    optional: bool = False


_COPY = (
    '    $SAGE_SUDO cp -Rp "$PREFIX/." "$SAGE_INST_LOCAL" || exit_with_error_msg "Error moving files for $PKG_NAME."'
)
_MOVE = (
    '    $SAGE_SUDO "$SAGE_ROOT/build/bin/sage-move-tree" "$PREFIX" "$SAGE_INST_LOCAL"'
    ' || exit_with_error_msg "Error moving files for $PKG_NAME."'
)
_MANIFEST = """    FILE_LIST="$(cd "$PREFIX" && find . -type f -o -type l | sed 's|^\\./||' | sort)\""""
_MANIFEST_AND_STORED = (
    """    FILE_LIST="$( (cd "$PREFIX" && find . -type f -o -type l | sed 's|^\\./||';"""
    """ cat "$SAGE_BUILD_DIR/$PKG_NAME/spkg-stored" 2>/dev/null) | sort -u)\""""
)
_PIP = '    exec python3 -m pip --disable-pip-version-check "$@"'
_OUR_PIP = f"""    [ ! -x "$SAGE_ROOT/build/bin/sage-pip" ] || exec "$SAGE_ROOT/build/bin/sage-pip" "$@"\n{_PIP}"""
_END_OF_HELPERS = "set +o allexport"
_OURS_TOO = """. "${BASH_SOURCE[0]}-python"  # sage-wheels: the functions for Python packages"""

REPLACED = (
    Replacement(
        "build/bin/sage-bootstrap-python", ('PYTHONS="python python3', 'exec "$PYTHON" "$@"'), "sage-bootstrap-python"
    ),
    Replacement("build/bin/sage-flock", ("from sage_bootstrap.flock import run",), "sage-flock"),
    Replacement("build/bin/sage-pip-install", ("sage-flock -s $LOCK $PYTHON -m pip install",), "sage-pip-install"),
    Replacement(
        "build/bin/sage-pip-uninstall", ("sage-flock -x $LOCK $PYTHON -m pip uninstall",), "sage-pip-uninstall"
    ),
    Replacement(
        "build/bin/sage-spkg-uninstall", ("from sage_bootstrap.uninstall import run", "run()"), "sage-spkg-uninstall"
    ),
    Replacement(
        "build/bin/sage-dist-helpers",
        ("sdh_build_wheel() {", "sdh_actually_pip_install_wheel() {", "sdh_pip_uninstall() {"),
        lines=((_END_OF_HELPERS, f"{_END_OF_HELPERS}\n\n{_OURS_TOO}"),),
    ),
    Replacement(
        "build/bin/sage-spkg",
        ("install_scripts() {", "post_install() {"),
        lines=((_COPY, _MOVE), (_MANIFEST, _MANIFEST_AND_STORED)),
    ),
    Replacement("src/bin/sage", ("'--pip'",), lines=((_PIP, _OUR_PIP),), optional=True),
)
ADDED = {
    "build/bin/sage-wheels": "build/bin/sage-wheels",
    "build/bin/sage-pip": "build/bin/sage-pip",
    "build/bin/sage-move-tree": "build/bin/sage-move-tree",
    "build/bin/sage-dist-helpers-python": "build/bin/sage-dist-helpers",
    "build/lib/system-python.sh": "build/lib/system-python.sh",
    "build/lib/flock.py": "build/lib/flock.py",
}


def apply(checkout: Path, root: Path) -> str:
    """Put everything in; a sentence about it. Raises `Refused`, and then nothing was changed."""
    there = [entry for entry in REPLACED if not entry.optional or _genuine(root, entry.path).exists()]
    new = {entry.path: _new_text(checkout, root, entry) for entry in there}
    _refuse_what_is_in_the_way(root)
    undo(root)  # only now: what is refused keeps what it has
    state = {
        "made_directories": [each for each in ("build/lib",) if not (root / each).exists()],
        "replaced": {path: _hash(text) for path, text in new.items()},
        "added": {path: _hash((checkout / source).read_bytes()) for path, source in ADDED.items()},
    }
    shutil.rmtree(root / UNFINISHED, ignore_errors=True)
    (root / UNFINISHED).mkdir()
    (root / UNFINISHED / Path(LIST).name).write_text(json.dumps(state, indent=2))
    (root / UNFINISHED).rename(root / HOME)  # from here on there is something to undo
    try:
        _module("bundle").bundle(checkout, root / HOME / "tool")
        for entry in sorted((root / HOME / "tool").iterdir()):
            entry.rename(root / HOME / entry.name)
        (root / HOME / "tool").rmdir()
        for path, source in ADDED.items():
            (root / path).parent.mkdir(exist_ok=True)
            _write(root / path, (checkout / source).read_bytes(), (checkout / source).stat().st_mode & 0o777)
        for path, text in new.items():
            kept = root / GENUINE / path
            kept.parent.mkdir(parents=True, exist_ok=True)
            os.link(root / path, kept, follow_symlinks=False)
            _write(root / path, text, (root / path).stat().st_mode & 0o7777)
    except BaseException:
        undo(root)
        raise
    return f"sage-wheels is in {root}; '{Path('build') / 'overlay'} {root} --undo' takes it out"


def undo(root: Path) -> str:
    """Take everything out; a sentence about it. Raises `Refused`, and then nothing was changed."""
    shutil.rmtree(root / UNFINISHED, ignore_errors=True)
    try:
        state = json.loads((root / LIST).read_text())
    except FileNotFoundError:
        return f"sage-wheels is not in {root}"
    replaced = {path: known for path, known in state["replaced"].items() if _is_replaced(root, path)}
    ours = {**state["added"], **replaced}
    for path, known in ours.items():
        if (root / path).exists() and _hash((root / path).read_bytes()) != known:
            raise Refused(
                f"{root / path} was changed since sage-wheels was put there; save that elsewhere and delete it"
            )
    for path in state["replaced"]:
        if _is_kept(root, path):
            _put_back(root / GENUINE / path, root / path)
    for path in state["added"]:
        (root / path).unlink(missing_ok=True)
    for path in [*state["added"], *state["replaced"]]:
        _unfinished(root / path).unlink(missing_ok=True)
    for path in state["made_directories"]:
        shutil.rmtree(root / path / "__pycache__", ignore_errors=True)
        if (root / path).exists() and not any((root / path).iterdir()):
            (root / path).rmdir()
    for entry in (root / HOME).iterdir():
        if entry != root / LIST:
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    (root / LIST).unlink()
    (root / HOME).rmdir()
    return f"sage-wheels is no longer in {root}, and its files are what they were"


def _is_kept(root: Path, path: str) -> bool:
    return os.path.lexists(root / GENUINE / path)  # a symbolic link may lead nowhere from there


def _is_replaced(root: Path, path: str) -> bool:
    """Whether something else stands for a genuine file that is kept.

    One that was interrupted may only have kept it; and `git checkout` or `git stash` may have put it back.
    """
    if not _is_kept(root, path) or _is_same(root / GENUINE / path, root / path):
        return False
    try:
        return _genuine(root, path).read_bytes() != (root / path).read_bytes()
    except OSError:
        return True


def _is_same(kept: Path, path: Path) -> bool:
    return os.path.lexists(path) and os.path.samestat(path.lstat(), kept.lstat())


def _genuine(root: Path, path: str) -> Path:
    """Where the genuine file `path` can be read: where it was, or where it is kept."""
    kept = root / GENUINE / path
    if not _is_kept(root, path):
        return root / path
    return (root / path).parent / kept.readlink() if kept.is_symlink() else kept


def _put_back(kept: Path, path: Path) -> None:
    if _is_same(kept, path):
        kept.unlink()  # it was never replaced; rename(2) between two names of one file does nothing
    else:
        os.replace(kept, path)


def _new_text(checkout: Path, root: Path, entry: Replacement) -> bytes:
    """What is to stand at `entry.path`. Raises `Refused` if what stands there is not what we know."""
    try:
        text = _genuine(root, entry.path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        _not_recognised(root, f"{entry.path} cannot be read")
    lines = text.splitlines()
    for line in [*entry.known_by, *(old for old, _ in entry.lines)]:
        if line not in text:
            _not_recognised(root, f"{entry.path} has no line {line.strip()!r}")
    if entry.ours:
        return (checkout / "build" / "bin" / entry.ours).read_bytes()
    for old, new in entry.lines:
        if lines.count(old) != 1:
            _not_recognised(root, f"{entry.path} has {lines.count(old)} lines {old.strip()!r}")
        lines[lines.index(old)] = new
    return "\n".join([*lines, ""]).encode()


def _refuse_what_is_in_the_way(root: Path) -> None:
    try:
        version = (root / "VERSION.txt").read_text()
    except OSError:
        version = ""
    if not re.search(r"SageMath version 10\.\d", version):
        _not_recognised(root, "VERSION.txt names no Sage 10.x")
    ours = {HOME, *json.loads((root / LIST).read_text())["added"]} if (root / LIST).exists() else set()
    for path in [HOME, *ADDED]:
        if path not in ours and os.path.lexists(root / path):
            _not_recognised(root, f"{path} is there already")
    if os.path.lexists(root / "build/lib") and not (root / "build/lib").is_dir():
        _not_recognised(root, "build/lib is no directory")


def _not_recognised(root: Path, why: str) -> NoReturn:
    raise Refused(f"{root} is not the tree of a Sage 10.x as it was released: {why}; name the root of one")


def _hash(text: bytes) -> str:
    return hashlib.sha256(text).hexdigest()


def _write(path: Path, text: bytes, mode: int) -> None:
    """Write a file by a rename: a script that is being run keeps its old content."""
    new = _unfinished(path)
    new.write_bytes(text)
    new.chmod(mode)
    os.replace(new, path)


def _unfinished(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")


def _module(name: str):  # type: ignore[no-untyped-def]  # the file beside this one; -I leaves no other way
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(
        prog="build/overlay", description="Put sage-wheels into a Sage tree, or take it out."
    )
    parser.add_argument("checkout", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("root", metavar="SAGE_ROOT", type=Path)
    parser.add_argument("--undo", action="store_true", help="take it out again, byte for byte")
    options = parser.parse_args(arguments)
    root = options.root.absolute()
    print(undo(root) if options.undo else apply(options.checkout, root), file=sys.stderr)


if __name__ == "__main__":
    sys.dont_write_bytecode = True
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
    except Refused as error:
        sys.exit(f"overlay: {error}")
    except OSError as error:
        sys.exit(f"overlay: {error.filename} cannot be read or changed ({error.strerror}); see to that and do it again")
