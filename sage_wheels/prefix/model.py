"""The model of a prefix: its root, the version of its Python, and the directories for the files of a wheel.

`finding` finds a prefix, and `interpreter` asks its Python for facts.
"""

from __future__ import annotations

import os

from sage_wheels.fs import presence
from sage_wheels.fs.paths import full
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import names
from sage_wheels.prefix.paths import plain

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.fs.paths import FullPath

# The state directory of this tool, in a prefix: lock, journal, stages, caches, files set aside. It is not below
# lib/pythonX.Y, so that neither an upgrade of Python nor `rm -rf` of a package can delete the lock.
STATE = plain("var/lib/sage-wheels")
BESIDE = ".sage-wheels-"  # how the names begin of directories of old files on other volumes


class Scheme(NamedTuple):
    """The installation scheme (as in `sysconfig`): five directories for the files of a wheel, relative to the prefix.

    Components are separated by `/`. In `headers`, each distribution gets a subdirectory.
    """

    purelib: str
    platlib: str
    headers: str
    scripts: str
    data: str


class Prefix(NamedTuple):
    """A directory tree to install into: a virtual environment or a whole Python installation.

    - `root`: the absolute path, as the user gave it, because it is written into scripts and byte-code.
    - `version`: that of the target interpreter, `(3, 11)`.
    - `home`: the directory of the interpreter from which a virtual environment was made; "" for a whole installation.
    - `full_version`: "3.11.2" if pyvenv.cfg contains it, else "3.11"; in the form of PEP 440.
    - `sees_system`: whether a virtual environment also sees the packages of its base installation (PEP 405).
    - `executable`: the target interpreter, if it is not the one in `bin` of the prefix.

    >>> Prefix("/p", (3, 11), "", "3.11", Scheme("lib/python3.11/site-packages", "", "", "bin", "")).path("bin/six")
    '/p/bin/six'
    """

    root: str
    version: tuple[int, int]
    home: str
    full_version: str
    scheme: Scheme
    sees_system: bool = False
    executable: str = ""

    @property
    def is_venv(self) -> bool:
        return bool(self.home)

    @property
    def state(self) -> str:
        """The full path of the state directory of this tool in the prefix."""
        return self.path(STATE)

    @property
    def python(self) -> str:
        """The path of the target interpreter, as it is written into shebangs; it need not exist. Raises `OSError`."""
        if self.executable:
            return self.executable
        found = names.executables(self.version)
        # not scheme.scripts: Debian's Python in /usr/bin installs scripts into /usr/local/bin
        candidates = [self.path(f"bin/{name}") for name in (found[::-1] if self.is_venv else found)]
        return next((each for each in candidates if presence.is_there(each)), candidates[0])

    @property
    def python_of_pip(self) -> str:
        """The target interpreter by the name that a virtual environment was made with. Raises `OSError`.

        `venv` and `virtualenv` link this name to the base interpreter, the others to it, and pip's own scripts use it.
        """
        if self.executable or not self.is_venv:
            return self.python
        links = [self.path(f"bin/{name}") for name in names.executables(self.version)]
        leading_out = (each for each in links if presence.is_there(each) and not _is_link_to_neighbour(each))
        return next(leading_out, self.python)

    def path(self, relative: str) -> FullPath:
        """The full path of `relative`, a path relative to the prefix."""
        return full(f"{self.root.rstrip('/')}/{relative}" if relative else self.root)


def _is_link_to_neighbour(path: str) -> bool:
    return os.path.islink(path) and os.path.dirname(os.path.join(os.path.dirname(path), os.readlink(path))) == (
        os.path.dirname(path)
    )


# The types of an argument that names a prefix. None stands for the one in an environment variable
# (`environment.OF_PREFIX`).
PrefixLike = Prefix | str | os.PathLike[str] | None
