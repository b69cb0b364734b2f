"""A terminal with a shell that does nothing but job control, and a command in its foreground."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping
from types import TracebackType

# Starts a command in a process group of its own, in the foreground, and tells a pipe each time when it stops or ends;
# each byte that it is sent lets the command go on. It leads a session whose terminal is its standard input.
SHELL = """
import fcntl, json, os, signal, sys, termios
told, go, *command = json.loads(sys.argv[1])
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGTTOU, signal.SIG_IGN)
child = os.fork()
if child == 0:
    os.setpgid(0, 0)
    os.tcsetpgrp(0, os.getpid())
    for number in (signal.SIGTTOU, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    os.execv(command[0], command)
signal.signal(signal.SIGHUP, lambda number, _: os.killpg(child, number))
while True:
    _, status = os.waitpid(child, os.WUNTRACED)
    try:
        os.tcsetpgrp(0, os.getpgrp())
    except OSError:
        pass  # the terminal has hung up
    stopped = os.WIFSTOPPED(status)
    os.write(told, b"stopped\\n" if stopped else b"%d\\n" % os.waitstatus_to_exitcode(status))
    if not stopped:
        break
    os.read(go, 1)
    os.tcsetpgrp(0, child)
    os.killpg(child, signal.SIGCONT)
"""


class Terminal:
    """Runs `command` on a terminal; a context manager, whose end is also that of the command."""

    def __init__(self, command: list[str], env: Mapping[str, str]) -> None:
        self._fd, other = os.openpty()
        told, tell = os.pipe()
        go, self._go = os.pipe()
        self.shown = ""
        self._told = os.fdopen(told)
        program = [sys.executable, "-I", "-c", SHELL, json.dumps([tell, go, *command])]
        self._shell = subprocess.Popen(
            program, stdin=other, stdout=other, stderr=other, env=env, cwd="/", pass_fds=(tell, go),
            start_new_session=True,
        )  # fmt: skip
        for fd in (other, tell, go):
            os.close(fd)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        self.hang_up()
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._shell.pid, signal.SIGKILL)
        self._shell.wait()
        self._told.close()
        os.close(self._go)

    def read_until(self, text: str) -> None:
        """Wait until `text` is shown."""
        while text not in self.shown:
            ready, _, _ = select.select([self._fd], [], [], 60)
            assert ready, f"{text!r} is not shown, but {self.shown!r}"
            self.shown += os.read(self._fd, 10_000).decode(errors="replace")

    def type(self, text: str) -> None:
        os.write(self._fd, text.encode())

    def state(self) -> str:
        """Wait until the command stops or ends: "stopped", or its exit status."""
        ready, _, _ = select.select([self._told], [], [], 60)
        assert ready, f"it goes on: {self.shown!r}"
        return self._told.readline().strip()

    def go_on(self) -> None:
        """Let the command go on in the foreground, as `fg` does."""
        os.write(self._go, b".")

    def hang_up(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
