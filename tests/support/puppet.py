"""A process that does what it is told in children, each of which can be killed, or failed, at its k-th file operation.

Everything is imported once, in the puppet; every command runs the real API in a fork of it. That makes a point of a
kill test cost a few milliseconds, so that every point can be tested.

The operations counted are those that Python's audit events tell of: opening for writing, rename, link, symlink, remove,
mkdir, rmdir, chmod, utime and truncate below the prefix, and the event `sage_wheels.exchange`. An event comes before
the operation, so a child that is killed at the k-th has done k - 1 of them.
"""

from __future__ import annotations

import errno
import gc
import os
import pickle
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import sage_wheels
from support.trees import make_prefix
from support.wheels import make_wheel

_CHANGING = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.utime"}
_CHANGING |= {"os.truncate", "sage_wheels.exchange"}
_READING = {"open", "os.scandir", "os.listdir"}
_LOOKS = ("stat", "lstat", "readlink")
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Command(NamedTuple):
    """What a child does: `do` is "install", "uninstall" or "recover", `items` are wheels or names; or `do` is "main"
    and `items` is a command line.

    `at` is the operation at which it is killed, or at which the error `fail` is raised (0: never); with `sticky` the
    error is raised at every operation from there on, with `sticky="space"` only at those that need space. Another
    `signal` than SIGKILL may be sent at the operation. `reads` counts opening for reading and listing of directories,
    too, `looks="too"` also stat, lstat and readlink of what is below the prefix, `looks="only"` nothing else.
    `exchange=False` is a file system that cannot exchange, `overlay` one that renames no directory that stood in the
    prefix before. `everything` counts all audit events of Python. `sites` counts only what is below the prefix, and
    only the first operation of each kind from each place in the program. `then_recover` runs `recover` in the same
    process after an error. `environ` is added to the environment.
    """

    do: str
    prefix: str
    items: list[str] = []  # noqa: RUF012  nobody changes it
    compile: bool = False
    overwrite: bool = False
    reinstall: bool = False
    durable: bool = False
    at: int = 0
    fail: int = 0
    sticky: str = ""
    reads: bool = False
    looks: str = ""
    exchange: bool = True
    overlay: bool = False
    then_recover: bool = False
    signal: int = signal.SIGKILL
    everything: bool = False
    sites: bool = False
    environ: dict[str, str] = {}  # noqa: RUF012


class Outcome(NamedTuple):
    """What became of a command. `status` is 0, 1 for an exception, or minus the signal that killed it.

    `operations` lists the operations that were begun (none are known of a killed child); of an exception there is its
    type's name, whether it is a `SageWheelsError`, its `exit_status` and its text. `recovered` holds the text of what
    went wrong in the recovery after an error, `descriptors` how many file descriptors were left open. Of "main" the
    `answer` is its standard output.
    """

    status: int
    operations: list[str] = []  # noqa: RUF012
    answer: Any = None
    error: str = ""
    ours: bool = False
    exit_status: int = 0
    text: str = ""
    recovered: str = ""
    descriptors: int = 0
    said: list[str] = []  # noqa: RUF012

    @property
    def killed(self) -> bool:
        return self.status == -signal.SIGKILL


class Puppet:
    """The process itself; use it as a context manager."""

    def __init__(self) -> None:
        environment = {**os.environ, "SOURCE_DATE_EPOCH": "1600000000", "PYTHONPATH": import_path()}
        self._process = subprocess.Popen(
            [sys.executable, "-B", __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment
        )
        assert self._process.stdin
        assert self._process.stdout
        self._to, self._from = self._process.stdin, self._process.stdout

    def __enter__(self) -> Puppet:
        return self

    def __exit__(self, *_: object) -> None:
        self._to.close()
        self._process.wait()
        self._from.close()

    def run(self, command: Command) -> Outcome:
        pickle.dump(tuple(command), self._to)
        self._to.flush()
        return Outcome(*pickle.load(self._from))


def import_path() -> str:
    """The value of PYTHONPATH with which a child process tests the very package that this process tests."""
    return os.pathsep.join([str(Path(sage_wheels.__file__).parent.parent), str(Path(__file__).parent.parent)])


def child_environment(**more: str) -> dict[str, str]:
    """The environment for a fresh Python that imports the package under test."""
    return {**os.environ, "PYTHONPATH": import_path(), **more}


# --- in the puppet ---


def _serve() -> None:
    _import_everything()
    source, sink = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # nothing that is printed may get among the answers
    while True:
        try:
            fields = pickle.load(source)
        except EOFError:
            return
        pickle.dump(tuple(_fork(Command(*fields))), sink)
        sink.flush()


def _import_everything() -> None:
    import importlib
    import pkgutil

    importlib.import_module("sage_wheels.building")
    for room in ("prefix", "installed", "wheel", "transaction"):
        package = importlib.import_module(f"sage_wheels.{room}")
        for module in pkgutil.iter_modules(package.__path__):
            if module.name != "ask":  # runs, and does not let itself be imported
                importlib.import_module(f"sage_wheels.{room}.{module.name}")
    # what is imported only where it is needed comes in by doing everything once
    with tempfile.TemporaryDirectory() as directory:
        prefix = str(make_prefix(directory))
        files = {"warm/__init__.py": "", "up.py": ""}
        for version in ("1.0", "2.0"):
            wheel = make_wheel(directory, "warm", version, files, entry_points={"warm": "warm:up"})
            for do, item, compiled in (("install", str(wheel), version == "2.0"), ("recover", "", False)):
                _action(Command(do, prefix, [item], compile=compiled), [])()
        _action(Command("uninstall", prefix, ["warm"]), [])()


def _fork(command: Command) -> Outcome:
    receive, send = os.pipe()
    pid = os.fork()
    if not pid:
        try:
            os.close(receive)
            outcome = _obey(command)
            with open(send, "wb") as f:
                pickle.dump(tuple(outcome), f)
        except BaseException:
            import traceback

            traceback.print_exc()
            os._exit(2)
        os._exit(0)
    os.close(send)
    with open(receive, "rb") as f:
        data = f.read()
    _, status = os.waitpid(pid, 0)
    code = os.waitstatus_to_exitcode(status)
    return Outcome(*pickle.loads(data)) if code == 0 else Outcome(code)


class _Hook:
    """The audit hook of a child."""

    def __init__(self, command: Command) -> None:
        self.command = command
        self.armed = True
        self.operations: list[str] = []
        self.below = command.prefix + "/"
        self.sites: set[object] = set()
        self.before = {entry.path for entry in _walk(command.prefix)} if command.overlay else set()
        if command.looks:
            self._tell_of_looks()

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if self.command.everything:
            self._count(event, [str(each)[:100] for each in args[:2]])
            return
        if event not in _CHANGING and event not in _READING:
            return
        paths = self._paths(event, args)
        if not paths or (event in _READING and not self._counts(event, args)):
            return
        if self.command.looks == "only":
            return
        below = any(path.startswith(self.below) for path in paths)
        if (self.command.reads or below) if not self.command.sites else (below and self._is_new_site(event)):
            self._count(event, paths)
        if event == "sage_wheels.exchange" and not self.command.exchange:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), *paths[:1], None, *paths[1:])
        if event in ("os.rename", "sage_wheels.exchange") and not self.before.isdisjoint(paths):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), paths[0], None, paths[1])

    def _tell_of_looks(self) -> None:
        """Python raises no audit event for these."""

        def telling(name: str, look: Callable[..., Any]) -> Callable[..., Any]:
            def told(path: Any, *args: Any, **options: Any) -> Any:
                counts = self.armed and isinstance(path, str) and path.startswith(self.below)
                if counts and (not self.command.sites or self._is_new_site(name)):
                    self._count(f"os.{name}", [path])
                return look(path, *args, **options)

            return told

        for name in _LOOKS:
            setattr(os, name, telling(name, getattr(os, name)))

    def _is_new_site(self, event: str) -> bool:
        """Whether `event` comes for the first time from where it comes; recursion makes no difference."""
        lines = set()
        frame = sys._getframe(2)
        while frame:
            lines.add((frame.f_code.co_filename, frame.f_lineno))
            frame = frame.f_back  # type: ignore[assignment]
        site = (event, frozenset(lines))
        known = site in self.sites
        self.sites.add(site)
        return not known

    def _counts(self, event: str, args: tuple[Any, ...]) -> bool:
        if event == "open" and isinstance(args[0], int):
            return False  # a descriptor becomes a file object: nothing is asked of the system
        return self.command.reads or (event == "open" and bool((args[2] or 0) & _WRITE_FLAGS))

    def _paths(self, event: str, args: tuple[Any, ...]) -> list[str]:
        pairs: list[tuple[Any, int]] = [(args[0], -1)]
        if event == "os.rename":
            pairs = [(args[0], args[2]), (args[1], args[3])]
        elif event == "os.link":
            pairs = [(args[1], args[3]), (args[0], args[2])]
        elif event == "os.symlink":
            pairs = [(args[1], args[2])]
        elif event == "sage_wheels.exchange":
            pairs = [(args[0], -1), (args[1], -1)]
        elif event in ("os.remove", "os.rmdir"):
            pairs = [(args[0], args[1])]
        elif event in ("os.mkdir", "os.chmod"):
            pairs = [(args[0], args[2])]
        found = []
        for path, directory in pairs:
            if isinstance(path, int):
                name = _of_descriptor(path)
            else:
                name = os.fsdecode(path)
                if not name.startswith("/"):
                    name = f"{_of_descriptor(directory)}/{name}" if directory >= 0 else os.path.abspath(name)
            found.append(name)
        return found

    def _count(self, event: str, paths: list[str]) -> None:
        command = self.command
        self.operations.append(f"{event} {' '.join(paths)}")
        number = len(self.operations)
        if not command.at or number < command.at or (number > command.at and not command.sticky):
            return
        if command.sticky == "space" and number > command.at and event not in ("open", "os.mkdir", "os.link"):
            return
        if not command.fail:
            os.kill(os.getpid(), command.signal)
            return
        first, second = (*paths, None)[:2]
        raise OSError(command.fail, os.strerror(command.fail), first, None, second)


def _of_descriptor(fd: int) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


def _walk(top: str) -> Iterator[os.DirEntry[str]]:
    with os.scandir(top) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False) and "sage-wheels" not in entry.name:
                yield entry
                yield from _walk(entry.path)


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def _obey(command: Command) -> Outcome:
    from sage_wheels.errors import SageWheelsError

    said: list[str] = []
    os.environ.update(command.environ)
    tempfile.tempdir = None
    action = _action(command, said)
    before = _descriptors()
    hook = _Hook(command)
    hook.armed = command.do != "main"
    sys.addaudithook(hook)
    result = Outcome(0)
    if command.do == "main":
        return _obey_as_main(action, hook, before)
    try:
        result = result._replace(answer=action())
    except Exception as error:
        hook.armed = False
        ours = isinstance(error, SageWheelsError)
        if not ours:
            import traceback

            traceback.print_exc()
        result = Outcome(1, error=type(error).__name__, ours=ours, text=str(error))
        result = result._replace(exit_status=getattr(error, "exit_status", 0))
    hook.armed = False
    if command.then_recover:
        try:
            sage_wheels.recover(command.prefix)
        except Exception as error:
            result = result._replace(recovered=f"{type(error).__name__}: {error}")
    return result._replace(operations=hook.operations, descriptors=_descriptors() - before, said=said)


def _obey_as_main(action: Callable[[], Any], hook: _Hook, descriptors: int) -> Outcome:
    """Run a command line: its exit status, and what it says on standard error, tracebacks included."""
    import contextlib
    import io
    import traceback

    stream, printed = io.StringIO(), io.StringIO()
    with contextlib.redirect_stderr(stream), contextlib.redirect_stdout(printed):
        try:
            hook.armed = True
            status = action()
            hook.armed = False
        except BaseException:
            traceback.print_exc()
            status = 1
    hook.armed = False
    gc.collect()
    left_open = _descriptors() - descriptors
    said, answer = stream.getvalue().splitlines(), printed.getvalue()
    return Outcome(status, operations=hook.operations, answer=answer, descriptors=left_open, said=said)


def _action(command: Command, said: list[str]) -> Callable[[], Any]:
    from sage_wheels.transaction.commit import Settings
    from sage_wheels.transaction.install import Options

    if command.do == "main":
        from sage_wheels.cli import main

        sys.argv[:] = ["sage-wheels", *command.items]
        return main
    settings = Settings(durable=command.durable, say=said.append)
    if command.do == "install":
        options = Options(compile_bytecode=command.compile, overwrite=command.overwrite, reinstall=command.reinstall)
        return lambda: tuple(sage_wheels.install(command.items, command.prefix, options, settings))
    if command.do == "uninstall":
        return lambda: tuple(sage_wheels.uninstall(command.items, command.prefix, settings))
    assert command.do == "recover"
    return lambda: sage_wheels.recover(command.prefix, settings)


if __name__ == "__main__":
    _serve()
