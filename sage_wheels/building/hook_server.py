"""Run by the building interpreter: call hooks of one build backend, each in a process of its own.

PEP 517 wants a fresh process for each hook, "so that backends are free to change process global state". A fork after
the import of the backend is such a process, and spares the start of Python and the import for every hook but the
first. Where that is not safe (no Linux, an in-tree backend, a backend that starts threads or fails to import), each
hook gets a new interpreter.

Arguments: the descriptor of requests, and that of answers. A request is one line of JSON, [script, hook, control
directory], where the script is that of `pyproject_hooks`; the answer is one line with the exit status. When the other
end is gone, everything that was started here is killed: an orphan would write into the build directory of the next
builder.

This file is never imported by the tool; it needs the standard library of Python 3.8.
"""

import sys

if sys.path and sys.path[0] == "":
    del sys.path[0]  # `python -c` puts it there; `python SCRIPT`, which this stands for, would not

import gc
import importlib
import json
import os
import select
import signal
import types


def main() -> None:
    requests, answers = int(sys.argv[1]), int(sys.argv[2])
    for descriptor in (requests, answers):
        os.set_inheritable(descriptor, False)
    wakeup = _wake_up_on_child()
    may_fork = _preload()
    programs: dict[str, types.CodeType] = {}
    with open(requests, "rb", buffering=0, closefd=False) as lines:
        for line in lines:
            arguments = json.loads(line)
            script = arguments[0]
            if may_fork and script not in programs:
                programs[script] = _compile(script)
            child = os.fork()
            if child == 0:
                _become_hook(arguments, programs.get(script), (requests, answers, *wakeup))
                return
            status = _wait(child, requests, wakeup[0])
            os.write(answers, b"%d\n" % status)
    os._exit(0)  # nothing was done here that wants to be undone


def _preload() -> bool:
    """Import the backend; whether a fork of this process may call it."""
    if sys.platform != "linux" or os.environ.get("_PYPROJECT_HOOKS_BACKEND_PATH_JSON"):
        return False
    module = os.environ["_PYPROJECT_HOOKS_BUILD_BACKEND"].partition(":")[0]
    try:
        importlib.import_module(module)
    except BaseException:  # the hook process meets the same one and reports it
        return False
    gc.freeze()  # or the collections of each child would copy what it shares with this process
    threading = sys.modules.get("threading")
    return threading is None or threading.active_count() == 1


def _compile(script: str) -> types.CodeType:
    with open(script, "rb") as f:
        return compile(f.read(), script, "exec")


def _become_hook(arguments: "list[str]", program: "types.CodeType | None", descriptors: "tuple[int, ...]") -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    if program is None:
        os.execv(sys.executable, [sys.executable, *arguments])
    for descriptor in descriptors:
        os.close(descriptor)
    sys.argv = arguments
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    module.__file__ = arguments[0]
    exec(program, module.__dict__)


def _wake_up_on_child() -> "tuple[int, int]":
    """The two ends of a pipe that can be read as soon as a child has ended."""
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    os.set_blocking(writer, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writer)
    return reader, writer


def _wait(child: int, requests: int, wakeup: int) -> int:
    """The exit status of `child`, as `subprocess` gives it; never returns if the other end goes away before."""
    while True:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
        ready, _, _ = select.select([requests, wakeup], [], [])
        if requests in ready:  # nobody asks while we work, so this is the end of file
            os.killpg(0, signal.SIGKILL)
        os.read(wakeup, 1024)


if __name__ == "__main__":
    main()
