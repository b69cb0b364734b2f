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

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.transaction.commit import CommitOptions

_CHANGING = {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink", "os.chmod", "os.utime"}
_CHANGING |= {"os.truncate", "sage_wheels.exchange"}
_READING = {"open", "sage_wheels.open", "os.scandir", "os.listdir"}
_LOOKS = ("stat", "lstat", "readlink")
_WRITE_FLAGS = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC


class Disturbance(NamedTuple):
    """What happens at the operation number `at` (0: nothing does): the child gets a signal. Or, with `fail`, that error
    is raised; or, with `move`, the prefix is renamed to that path.

    `lasting` says how long the error lasts: "" for this operation only, "all" for all that follow, "space" for those
    that follow and need space.
    """

    at: int = 0
    signal: int = signal.SIGKILL
    fail: int = 0
    lasting: str = ""
    move: str = ""


class Counting(NamedTuple):
    """Which operations count: those that change something below the prefix, and more.

    `reads`: opening for reading, and listing of directories. `looks`: "too" for stat, lstat and readlink of what is
    below the prefix as well, "only" for nothing but these. `sites`: of what is below the prefix, only the first
    operation of each kind from each line of the program. `everything`: all audit events of Python instead.
    """

    reads: bool = False
    looks: str = ""
    sites: bool = False
    everything: bool = False


class FileSystem(NamedTuple):
    """What the file system of the prefix can do: exchange two paths or not; an `overlay` renames no directory that
    stood in the prefix before."""

    exchange: bool = True
    overlay: bool = False


class Command(NamedTuple):
    """What a child does: `do` is one of `_DEEDS`, `items` are wheels, names or numbers of entries; or `do` is "main"
    and `items` is a command line.

    `compile`, `overwrite` and `reinstall` are for "install". `durable` is for all, and `history`, of how many
    transactions old files are kept. "undo" takes the number in `items` or the last one, or goes back `to` the state
    after that number, with `force` or without. "repair" takes contents from the wheels `items` and clears up what a
    killed pip left, "forget" forgets the entries with the numbers in `items`, or all. `then_recover` runs `recover` in
    the same process after an error. `environ` is added to the environment.
    """

    do: str
    prefix: str
    items: list[str] = []  # noqa: RUF012  nobody changes it
    compile: bool = False
    overwrite: bool = False
    reinstall: bool = False
    durable: bool = False
    history: int = 20
    to: int = -1
    force: bool = False
    then_recover: bool = False
    environ: dict[str, str] = {}  # noqa: RUF012
    disturbance: Disturbance = Disturbance()
    counting: Counting = Counting()
    file_system: FileSystem = FileSystem()

    def killed(self, at: int, *, by: int = signal.SIGKILL) -> Command:
        """The same, killed at the operation number `at`."""
        return self._replace(disturbance=Disturbance(at, by))

    def failing(self, at: int, error: int, lasting: str = "") -> Command:
        """The same, with an error of the system at the operation number `at`."""
        return self._replace(disturbance=Disturbance(at, fail=error, lasting=lasting))

    def moved(self, at: int, path: str) -> Command:
        """The same, and the prefix is renamed to `path` at the operation number `at`."""
        return self._replace(disturbance=Disturbance(at, move=path))

    def counted(
        self, *, reads: bool = False, looks: str = "", sites: bool = False, everything: bool = False
    ) -> Command:
        """The same, with other operations that count."""
        return self._replace(counting=Counting(reads, looks, sites, everything))


ON_AN_OVERLAY = FileSystem(overlay=True)
WITHOUT_EXCHANGE = FileSystem(exchange=False)


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
        *fields, disturbance, counting, file_system = command
        pickle.dump((fields, tuple(disturbance), tuple(counting), tuple(file_system)), self._to)
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
            fields, disturbance, counting, file_system = pickle.load(source)
        except EOFError:
            return
        command = Command(*fields)._replace(
            disturbance=Disturbance(*disturbance), counting=Counting(*counting), file_system=FileSystem(*file_system)
        )
        pickle.dump(tuple(_fork(command)), sink)
        sink.flush()


def _import_everything() -> None:
    import importlib
    import pkgutil

    importlib.import_module("sage_wheels.building")
    for package_name in ("prefix", "installed", "wheel", "transaction"):
        package = importlib.import_module(f"sage_wheels.{package_name}")
        for module in pkgutil.iter_modules(package.__path__):
            if module.name != "ask":  # runs, and does not let itself be imported
                importlib.import_module(f"sage_wheels.{package_name}.{module.name}")
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
        self.prefix, self.disturbance, self.counting = command.prefix, command.disturbance, command.counting
        self.exchange = command.file_system.exchange
        self.armed = True
        self.operations: list[str] = []
        self.below = command.prefix + "/"
        self.sites: set[object] = set()
        self.before = {entry.path for entry in _walk(command.prefix)} if command.file_system.overlay else set()
        if self.counting.looks:
            self._tell_of_looks()

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if not self.armed:
            return
        if self.counting.everything:
            self._count(event, [str(each)[:100] for each in args[:2]])
            return
        if event not in _CHANGING and event not in _READING:
            return
        if is_announced(event, args):
            return
        paths = paths_of(event, args)
        if not paths or (event in _READING and not self._counts(event, args)):
            return
        if self.counting.looks == "only":
            return
        below = any(path.startswith(self.below) for path in paths)
        if (self.counting.reads or below) if not self.counting.sites else (below and self._is_new_site(event)):
            self._count(event, paths)
        if event == "sage_wheels.exchange" and not self.exchange:
            raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS), *paths[:1], None, *paths[1:])
        if event in ("os.rename", "sage_wheels.exchange") and not self.before.isdisjoint(paths):
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV), paths[0], None, paths[1])

    def _tell_of_looks(self) -> None:
        """Python raises no audit event for these."""

        def telling(name: str, look: Callable[..., Any]) -> Callable[..., Any]:
            def told(path: Any, *args: Any, **options: Any) -> Any:
                if self.armed and isinstance(path, str):
                    directory = options.get("dir_fd")
                    full = path if directory is None or path.startswith("/") else full_path(path, directory)
                    if full.startswith(self.below) and (not self.counting.sites or self._is_new_site(name)):
                        self._count(f"os.{name}", [full])
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
        return self.counting.reads or bool(flags_of(event, args) & _WRITE_FLAGS)

    def _count(self, event: str, paths: list[str]) -> None:
        self.operations.append(f"{event} {' '.join(paths)}")
        if self._is_now(event):
            self._disturb(paths)

    def _is_now(self, event: str) -> bool:
        """Whether the operation that was counted last is the one, or one of those, to disturb."""
        number, at, lasting = len(self.operations), self.disturbance.at, self.disturbance.lasting
        if not at or number < at:
            return False
        return number == at or lasting == "all" or (lasting == "space" and event in ("open", "os.mkdir", "os.link"))

    def _disturb(self, paths: list[str]) -> None:
        told = self.disturbance
        if told.move:
            self.armed = False
            os.rename(self.prefix, told.move)
            self.armed = True
        elif told.fail:
            first, second = (*paths, None)[:2]
            raise OSError(told.fail, os.strerror(told.fail), first, None, second)
        else:
            os.kill(os.getpid(), told.signal)


def is_announced(event: str, args: tuple[Any, ...]) -> bool:
    """Whether this is an `open` that need not be told: a descriptor becomes a file object, which asks nothing of the
    system; or `sage_wheels.open` has told of it, with the directory."""
    return event == "open" and (
        isinstance(args[0], int) or (isinstance(args[0], str) and not args[0].startswith("/") and args[1] is None)
    )


def flags_of(event: str, args: tuple[Any, ...]) -> int:
    """The flags with which a file is opened."""
    return int(args[{"open": 2, "sage_wheels.open": 1}[event]] or 0) if event.endswith("open") else 0


def paths_of(event: str, args: tuple[Any, ...]) -> list[str]:
    """The full paths that an audit event of an operation on files names, by whatever descriptors."""
    pairs: list[tuple[Any, int]] = [(args[0], -1)]
    if event in ("os.rename", "sage_wheels.exchange"):
        pairs = [(args[0], args[2]), (args[1], args[3])]
    elif event == "os.link":
        pairs = [(args[1], args[3]), (args[0], args[2])]
    elif event == "os.symlink":
        pairs = [(args[1], args[2])]
    elif event in ("os.remove", "os.rmdir"):
        pairs = [(args[0], args[1])]
    elif event in ("os.mkdir", "os.chmod", "sage_wheels.open"):
        pairs = [(args[0], args[2])]
    return [full_path(path, directory) for path, directory in pairs]


def full_path(path: Any, directory: int) -> str:
    """What is called `path`, a name or a descriptor, in the directory with the descriptor `directory` (-1: none)."""
    if isinstance(path, int):
        return _of_descriptor(path)
    name = os.fsdecode(path)
    if name.startswith("/proc/self/fd/"):
        return _of_descriptor(int(name.rpartition("/")[2]))
    if name.startswith("/"):
        return name
    return f"{_of_descriptor(directory)}/{name}" if directory >= 0 else os.path.abspath(name)


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
    from sage_wheels.transaction.commit import CommitOptions
    from sage_wheels.transaction.history import HistoryBounds

    if command.do == "main":
        from sage_wheels.cli import main

        sys.argv[:] = ["sage-wheels", *command.items]
        return main
    commit_options = CommitOptions(durable=command.durable, say=said.append, history=HistoryBounds(command.history))
    deed = _DEEDS[command.do]
    return lambda: deed(command, commit_options)


def _install(command: Command, commit_options: CommitOptions) -> Any:
    from sage_wheels.transaction.install import InstallOptions

    options = InstallOptions(compile_bytecode=command.compile, overwrite=command.overwrite, reinstall=command.reinstall)
    return tuple(sage_wheels.install(command.items, command.prefix, options, commit_options))


def _uninstall(command: Command, commit_options: CommitOptions) -> Any:
    return tuple(sage_wheels.uninstall(command.items, command.prefix, commit_options))


def _undo(command: Command, commit_options: CommitOptions) -> Any:
    from sage_wheels.prefix import find_prefix
    from sage_wheels.transaction.undo import UndoOptions, undo

    number = int(command.items[0]) if command.items else None
    wanted = UndoOptions(number, None if command.to < 0 else command.to, command.force)
    return tuple(undo(find_prefix(command.prefix), wanted, commit_options))


def _repair(command: Command, commit_options: CommitOptions) -> tuple[Any, ...]:
    from sage_wheels.prefix import find_prefix
    from sage_wheels.transaction.repair import repair

    def wheels(name: str, version: str, told: object) -> list[str]:
        return [each for each in command.items if os.path.basename(each).startswith(f"{name}-{version}-")]

    return tuple(repair(find_prefix(command.prefix), None, wheels, commit_options, clear=True).faults)


def _forget(command: Command, commit_options: CommitOptions) -> int:
    from sage_wheels.prefix import find_prefix
    from sage_wheels.prefix.tree import Tree
    from sage_wheels.transaction import kept, sweep

    with Tree(command.prefix) as tree:
        count = kept.forget(tree, {int(each) for each in command.items} or None, None)
    sweep.sweep_dead(find_prefix(command.prefix), commit_options.say, commit_options.history)
    return count


def _recover(command: Command, commit_options: CommitOptions) -> Any:
    return sage_wheels.recover(command.prefix, commit_options)


_DEEDS: dict[str, Callable[[Command, CommitOptions], Any]] = {
    "install": _install,
    "uninstall": _uninstall,
    "undo": _undo,
    "repair": _repair,
    "forget": _forget,
    "recover": _recover,
}


if __name__ == "__main__":
    _serve()
