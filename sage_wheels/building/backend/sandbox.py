"""A sandbox for a build backend: it sees what it is given, and a build that reads anything else fails.

`bubblewrap` (the program bwrap, on Linux) makes it, from namespaces of the kernel; no root is needed. In there:

    /usr /bin /lib /etc ...     the system, to be read
    the interpreter, the prefix, repositories of the source, --sandbox-read    at their own paths, to be read
    /sage-wheels/build          the build directory, wherever it really is: so no path of this machine gets into a wheel
    /sage-wheels/home, /tmp     empty, to be written; they go with the build
    /proc, /dev                 of its own processes; null, zero, random and the like
    no network, no capabilities of root, no other process, another host name

Of the variables only those pass that count (see `variables`): a wheel that was built here depends on its key alone, as
far as a system can see to that. The directory that CCACHE_DIR names is there, too, and may be written; then nobody
vouches for the result (`is_closed`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil

from sage_wheels.building.backend import variables
from sage_wheels.environment import SAGE_WHEELS_SLOTS
from sage_wheels.errors import SageWheelsError, UsageError
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from sage_wheels.building.backend.variables import Variables

BUILD = "/sage-wheels/build"
_HOME = "/sage-wheels/home"
_PROGRAM = "bwrap"
# The system. What lies in /nix and /gnu has names that say what it is.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/nix/store", "/gnu/store")
_NO_NETWORK = re.compile(
    r"Temporary failure in name resolution|Name or service not known|Network is unreachable|Could not resolve host"
    r"|nodename nor servname|getaddrinfo|Connection refused"
)
_QUOTED = re.compile(r"""['"]([^'"\n]{2,4096})['"]|(?<![\w'"])(/[^\s:'",;]+)(?=:)""")
_SAID_BY_IT = re.compile(r"^bwrap: (.+)$", re.MULTILINE)
_NAMED = 3  # paths in a sentence


class Sandbox(NamedTuple):
    """The sandbox of the build in `directory`, where `readable` paths are shown; `ccache` is "" without CCACHE_DIR."""

    directory: str
    readable: tuple[str, ...]
    program: str
    ccache: str = ""

    @property
    def is_closed(self) -> bool:
        """Whether nothing in it was written by an earlier build."""
        return not self.ccache

    def showing(self, paths: Iterable[str]) -> Sandbox:
        """The same sandbox, in which more can be read."""
        return self._replace(readable=_roots([*self.readable, *paths]))

    def seen(self, text: str) -> str:
        """`text` with the paths of the build directory as they are in the sandbox.

        >>> Sandbox("/c/build/x", (), "bwrap").seen("/c/build/x/env/bin:/c/build/x-y:/bin")
        '/sage-wheels/build/env/bin:/c/build/x-y:/bin'
        """
        return re.sub(re.escape(self.directory) + r"(?![^/:\"])", BUILD, text)

    def variables(self, given: Variables) -> Variables:
        """What a backend sees of the variables `given`: those that count, and of PATH what is there."""
        counts = variables.keyed(given.environ, {})
        jobs = {name: given.environ[name] for name in (*variables.OF_MAKE, SAGE_WHEELS_SLOTS) if name in given.environ}
        ccache = {name: value for name, value in given.environ.items() if name.startswith("CCACHE_") and self.ccache}
        own = {"HOME": _HOME, "TMPDIR": "/tmp", "PATH": given.environ.get("PATH", os.defpath)}
        return given._replace(environ=self.environ({**counts, **jobs, **ccache, **own}))

    def environ(self, given: Mapping[str, str]) -> dict[str, str]:
        """Variables with paths as they are in the sandbox; of PATH what is there."""
        result = {name: self.seen(value) for name, value in given.items()}
        path = result["PATH"].split(os.pathsep)
        return {**result, "PATH": os.pathsep.join(each for each in path if self._shows(each))}

    def command(self, cwd: str, environ: Mapping[str, str]) -> list[str]:
        """What to put before a command so that it runs in the sandbox, in the directory `cwd`."""
        words = [self.program, "--unshare-all", "--die-with-parent", "--cap-drop", "ALL", "--hostname", "sage-wheels"]
        for path in _SYSTEM:
            if os.path.islink(path):
                words += ["--symlink", os.readlink(path), path]
            elif os.path.isdir(path):
                words += ["--ro-bind", path, path]
        words += ["--proc", "/proc", "--dev", "/dev"]
        for path in ("/tmp", "/var/tmp", _HOME):
            words += ["--tmpfs", path]
        for path in self.readable:
            words += ["--ro-bind", path, path]
        tokens = variables.jobserver_of(environ)
        for path in filter(None, (self.ccache, tokens[0] if tokens and isinstance(tokens[0], str) else "")):
            words += ["--bind", path, path]
        return [*words, "--bind", self.directory, BUILD, "--remount-ro", "/", "--chdir", self.seen(cwd), "--"]

    @contextlib.contextmanager
    def exchange(self, script: str, control: str) -> Iterator[tuple[str, str]]:
        """Within this context, where a hook finds its `script` and its `control` directory (see `pyproject_hooks`)."""
        directory = f"{self.directory}/hook"
        os.makedirs(directory, exist_ok=True)
        shutil.copyfile(script, f"{directory}/hook.py")
        with open(f"{control}/input.json", encoding="utf-8") as f:
            told = json.load(f)
        arguments = told.get("kwargs", {})
        told["kwargs"] = {
            name: self.seen(value) if isinstance(value, str) else value for name, value in arguments.items()
        }
        with open(f"{directory}/input.json", "w", encoding="utf-8") as f:
            json.dump(told, f)
        try:
            yield self.seen(f"{directory}/hook.py"), self.seen(directory)
            with contextlib.suppress(FileNotFoundError):  # whoever reads it says what that means
                shutil.copyfile(f"{directory}/{variables.HOOK_ANSWER}", f"{control}/{variables.HOOK_ANSWER}")
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def explained(self, log: str, project: str, home: str) -> tuple[str, str]:
        """What of this machine a build has looked for in vain that ended with `log`, and what to do about it.

        `project` is the source tree ("": an sdist), `home` the user's. Raises `SageWheelsError` if the sandbox itself
        could not be made.
        """
        if failed := _SAID_BY_IT.search(log):
            raise SageWheelsError(
                f"the sandbox cannot be made here (bubblewrap says: {failed[1]})",
                "let this user make namespaces, or leave --sandbox out",
            )
        hidden = list(dict.fromkeys(self._hidden(log, project, home)))[:_NAMED]
        if hidden:
            return f" in a sandbox that does not show {', '.join(hidden)}", (
                "give --sandbox-read DIR for what it needs, or leave --sandbox out"
            )
        if _NO_NETWORK.search(log):
            return " in a sandbox that has no network", "put what it fetches beside its files, or leave --sandbox out"
        return " in a sandbox", "correct the error at the end of the log; without --sandbox it sees the whole machine"

    def _hidden(self, log: str, project: str, home: str) -> Iterator[str]:
        for quoted, plain in _QUOTED.findall(log):
            found = path = quoted or plain
            if path.startswith(f"{_HOME}/"):
                found = home + path.removeprefix(_HOME)
            elif path.startswith("../") and project:
                found = os.path.normpath(f"{project}/{path}")
            elif not path.startswith("/"):
                continue
            if not self._shows(found) and os.path.lexists(found):
                yield found

    def _shows(self, path: str) -> bool:
        """Whether `path` is of the system, or of what is shown."""
        shown = (*_SYSTEM, "/proc", "/dev", *self.readable, self.directory, BUILD)
        return any(f"{os.path.normpath(path)}/".startswith(f"{each}/") for each in shown)


def sandbox(directory: str, pythons: Iterable[str], paths: Iterable[str], environ: Mapping[str, str]) -> Sandbox:
    """The sandbox for the build in `directory`, which shows the interpreters `pythons` and `paths`.

    Raises `UsageError` if bubblewrap is not there, or one of the `paths` is no directory, and `OSError`.
    """
    program = shutil.which(_PROGRAM)
    if program is None:
        raise UsageError("--sandbox needs bubblewrap, which is not there", "install it, or leave --sandbox out")
    paths = [os.path.abspath(each) for each in paths]
    for each in paths:
        if not os.path.isdir(each) or each == "/":
            raise UsageError(
                f"--sandbox-read {each} shows {'everything' if each == '/' else 'nothing: it is no directory'}",
                "name a directory",
            )
    homes = [home for each in pythons if (home := _home_of(each, environ.get("HOME", "")))]
    ccache = environ.get("CCACHE_DIR", "")
    if ccache:
        ccache = os.path.abspath(ccache)
        os.makedirs(ccache, exist_ok=True)  # as it does itself
    return Sandbox(directory, _roots([*paths, *homes]), program, ccache)


def _home_of(python: str, home: str) -> str:
    """The directory in which the installation of an interpreter lies: PREFIX of PREFIX/bin/python.

    >>> _home_of("/opt/python/bin/python3", "/home/me"), _home_of("/home/me/bin/python3", "/home/me")
    ('/opt/python', '/home/me/bin')
    """
    directory = os.path.dirname(os.path.abspath(python))
    above = os.path.dirname(directory)
    is_too_much = above == "/" or f"{home}/".startswith(f"{above}/")
    return directory if is_too_much or os.path.basename(directory) != "bin" else above


def _roots(paths: Iterable[str]) -> tuple[str, ...]:
    """`paths`, as they are called and where they are, without what is shown in any case; those above first."""
    wanted = sorted({each for path in paths for each in (path, os.path.realpath(path))})
    found: list[str] = []
    for path in wanted:
        if not any(f"{path}/".startswith(f"{each}/") for each in (*_SYSTEM, *found)):
            found.append(path)
    return tuple(found)
