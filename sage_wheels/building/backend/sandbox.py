"""A sandbox for a build backend: it can read only certain directories, and a build that needs others fails.

`bubblewrap` (the program bwrap, on Linux) makes it, from namespaces of the kernel; root is not needed. It contains:

    /usr /bin /lib /etc ...     the system, read-only
    the interpreter, the prefix, repositories of the source, --sandbox-read    at their own paths, read-only
    /sage-wheels/build          the build directory, wherever it really is: so no path of this machine gets into a wheel
    /sage-wheels/home, /tmp     empty, can be written to; deleted after the build
    /proc, /dev                 of its own processes; null, zero, random and the like
    no network, no capabilities of root, no other process, another host name

Only variables that are part of the key are passed (see `variables`). So a wheel that was built here depends on nothing
but its key, as far as the system can ensure that. The directory in CCACHE_DIR is there, too, and can be written to;
then the result is not marked as built in a sandbox (`is_closed`).
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil

from sage_wheels.building.backend import variables
from sage_wheels.building.backend.variable_names import OF_JOBS
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
# The system. In /nix/store and /gnu/store, each name contains a hash of the content.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/etc", "/nix/store", "/gnu/store")
_NO_NETWORK = re.compile(
    r"Temporary failure in name resolution|Name or service not known|Network is unreachable|Could not resolve host"
    r"|nodename nor servname|getaddrinfo|Connection refused"
)
_QUOTED = re.compile(r"""['"]([^'"\n]{2,4096})['"]|(?<![\w'"])(/[^\s:'",;]+)(?=:)""")
_SAID_BY_IT = re.compile(r"^bwrap: (.+)$", re.MULTILINE)
_NAMED = 3  # paths in a sentence


class Sandbox(NamedTuple):
    """The sandbox of the build in `directory`, which contains the `readable` paths; `ccache` is CCACHE_DIR or ""."""

    directory: str
    readable: tuple[str, ...]
    program: str
    ccache: str = ""

    @property
    def is_closed(self) -> bool:
        """Whether nothing in it was written by an earlier build."""
        return not self.ccache

    def showing(self, paths: Iterable[str]) -> Sandbox:
        """The same sandbox with `paths` that can be read, too."""
        return self._replace(readable=_roots([*self.readable, *paths]))

    def seen(self, text: str) -> str:
        """`text` with the paths of the build directory as they are in the sandbox.

        >>> Sandbox("/c/build/x", (), "bwrap").seen("/c/build/x/env/bin:/c/build/x-y:/bin")
        '/sage-wheels/build/env/bin:/c/build/x-y:/bin'
        """
        return re.sub(re.escape(self.directory) + r"(?![^/:\"])", BUILD, text)

    def variables(self, given: Variables) -> Variables:
        """Those of the variables `given` that are passed; PATH has only directories that the sandbox contains."""
        counts = variables.keyed(given.environ, {})
        of_jobs = (*variables.OF_MAKE, *OF_JOBS, SAGE_WHEELS_SLOTS)
        jobs = {name: given.environ[name] for name in of_jobs if name in given.environ}
        ccache = {name: value for name, value in given.environ.items() if name.startswith("CCACHE_") and self.ccache}
        own = {"HOME": _HOME, "TMPDIR": "/tmp", "PATH": given.environ.get("PATH", os.defpath)}
        return given._replace(environ=self.environ({**counts, **jobs, **ccache, **own}))

    def environ(self, given: Mapping[str, str]) -> dict[str, str]:
        """`given` with paths as they are in the sandbox; PATH has only directories that the sandbox contains."""
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
            with contextlib.suppress(FileNotFoundError):  # the caller reports a missing answer
                shutil.copyfile(f"{directory}/{variables.HOOK_ANSWER}", f"{control}/{variables.HOOK_ANSWER}")
        finally:
            shutil.rmtree(directory, ignore_errors=True)

    def explained(self, log: str, project: str, home: str) -> tuple[str, str]:
        """Why a build with this `log` has failed, as the end of a sentence, and what to do about it.

        It names paths that the log mentions and that the sandbox does not contain. `project` is the source tree ("" for
        an sdist), `home` the user's home. Raises `SageWheelsError` if the sandbox itself could not be made.
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
        """Whether the sandbox contains `path`."""
        shown = (*_SYSTEM, "/proc", "/dev", *self.readable, self.directory, BUILD)
        return any(f"{os.path.normpath(path)}/".startswith(f"{each}/") for each in shown)


def sandbox(directory: str, pythons: Iterable[str], paths: Iterable[str], environ: Mapping[str, str]) -> Sandbox:
    """The sandbox for the build in `directory`, which contains the interpreters `pythons` and the `paths`.

    Raises `UsageError` if bubblewrap is not installed, or one of the `paths` is no directory, and `OSError`.
    """
    program = shutil.which(_PROGRAM)
    if program is None:
        raise UsageError("--sandbox needs bubblewrap, which is not installed", "install it, or leave --sandbox out")
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
    """The directory of the installation of an interpreter: PREFIX of PREFIX/bin/python.

    >>> _home_of("/opt/python/bin/python3", "/home/me"), _home_of("/home/me/bin/python3", "/home/me")
    ('/opt/python', '/home/me/bin')
    """
    directory = os.path.dirname(os.path.abspath(python))
    above = os.path.dirname(directory)
    is_too_much = above == "/" or f"{home}/".startswith(f"{above}/")
    return directory if is_too_much or os.path.basename(directory) != "bin" else above


def _roots(paths: Iterable[str]) -> tuple[str, ...]:
    """`paths` and their resolved paths, sorted, without those inside another one or inside the system."""
    wanted = sorted({each for path in paths for each in (path, os.path.realpath(path))})
    found: list[str] = []
    for path in wanted:
        if not any(f"{path}/".startswith(f"{each}/") for each in (*_SYSTEM, *found)):
            found.append(path)
    return tuple(found)
