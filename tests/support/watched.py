"""The command line in a process that watches itself: what it does while it has the prefix lock, and what after that.

Run as a script: `watched.py REPORT STOP ARGUMENT...` runs `sage-wheels ARGUMENT...`. At the end the audit events since
the lock was obtained stand in the file REPORT ("" for none), one to a line: "held" or "after", the event, and its
first argument. At the first event while the lock is held that has STOP ("" for none) in its name or first argument, the
process prints "stopped" on standard output, and goes on when it gets a line.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

from support.puppet import child_environment, flags_of, is_announced, paths_of

# Events of operations that may name a file by a descriptor.
_AT = {"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "os.chmod", "os.listdir", "os.scandir"}
_AT |= {"sage_wheels.exchange"}
LOCK = "/var/lib/sage-wheels/lock"


class Event(NamedTuple):
    """An audit event, while the lock was `held` or after it was let go; `mode` and `flags` are those of `open`."""

    held: bool
    name: str
    what: str
    mode: str = ""
    flags: int = 0


def start(*arguments: str | Path, report: str | Path = "", stop: str = "") -> subprocess.Popen[str]:
    """Start the command line, watched."""
    command = [sys.executable, "-B", __file__, str(report), stop, *map(str, arguments)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=child_environment(), cwd="/")


def stopped(*arguments: str | Path, at: str) -> subprocess.Popen[str]:
    """The command line, stopped at the first event that has `at` in it while it has the lock."""
    process = start(*arguments, stop=at)
    assert process.stdout
    assert process.stdout.readline() == "stopped\n"
    return process


def events(report: Path) -> list[Event]:
    """What stands in a report."""
    found = []
    for line in report.read_text(errors="surrogateescape").splitlines():
        held, name, what, mode, flags = line.split("\t")
        found.append(Event(held == "held", name, what, mode, int(flags)))
    return found


# --- in the watched process ---


class _Watch:
    def __init__(self, stop: str) -> None:
        self.stop = stop
        self.fd = -1
        self.lock = ""
        self.obtained = False
        self.lines: list[str] = []
        self.closed = False

    def __call__(self, event: str, args: tuple[Any, ...]) -> None:
        if event == "fcntl.flock":
            path = _path_of(args[0])
            if path.endswith(LOCK):
                self.fd, self.lock, self.obtained = args[0], path, True
        if not self.obtained or self.closed:
            return
        held = self._held()
        if is_announced(event, args):
            return
        what = str(args[0]) if args else ""
        if event == "sage_wheels.open" or (event in _AT and not what.startswith("/")):
            what = paths_of(event, args)[-1 if event == "os.link" else 0]
        if held and self.stop and self.stop in f"{event} {what}":
            self.stop = ""
            os.write(1, b"stopped\n")
            os.read(0, 1)
        mode = args[1] or "" if event == "open" else ""
        name = "open" if event == "sage_wheels.open" else event
        fields = ("held" if held else "after", name, what, mode, str(flags_of(event, args)))
        self.lines.append("\t".join(each.replace("\t", " ").replace("\n", " ") for each in fields))

    def _held(self) -> bool:
        """Whether the descriptor that was locked is still open: closing it raises no event."""
        try:
            return os.path.samestat(os.fstat(self.fd), os.stat(self.lock))
        except OSError:
            return False


def _path_of(file: Any) -> str:
    """The path of the lock file if `file` is a descriptor of it; found by comparing, for not every system has /proc."""
    try:
        status = os.fstat(file)
        path = _prefix() + LOCK
        return path if os.path.samestat(status, os.stat(path)) else ""
    except OSError:
        return ""


def _prefix() -> str:
    return sys.argv[sys.argv.index("--prefix") + 1]


def _main() -> int:
    report, stop = sys.argv[1:3]
    sys.argv[:] = ["sage-wheels", *sys.argv[3:]]
    watch = _Watch(stop)

    def write() -> None:
        watch.closed = True
        with open(report, "w", errors="surrogateescape") as f:
            f.writelines(f"{line}\n" for line in watch.lines)

    if report:
        import atexit

        atexit.register(write)  # runs last of all that is registered
    from sage_wheels.cli import main

    sys.addaudithook(watch)
    return main()


if __name__ == "__main__":
    sys.exit(_main())
