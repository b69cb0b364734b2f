"""Call the hooks of a build backend, each in its own process. The building interpreter runs this file.

PEP 517 requires a new process for each hook, "so that backends are free to change process global state". Here that is a
fork of this process after it has imported the backend, which saves the start of Python and the import for each hook. A
backend in the source tree is imported by each hook itself, because `pyproject_hooks` finds it in a way of its own. If a
fork is not safe (not on Linux, a backend that starts threads or cannot be imported), each hook is run by a new
interpreter.

The arguments are: the descriptor for requests; the descriptor for answers; the name of the variable in which
`pyproject_hooks` passes the name of the backend; and the beginning of the name of the variable for its path. A request
is one line of JSON, [script, hook, control directory], where `script` is that of `pyproject_hooks`. The answer is one
line with the exit status. When the parent closes the pipe, everything that was started here is killed; otherwise an
orphan could write to the build directory during the next build.

The tool never imports this file; it uses only the standard library of Python 3.8.
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

# What the script of `pyproject_hooks` imports before anything else. It is imported once here, and not in each hook.
_OF_SCRIPT = ("glob", "re", "shutil", "traceback", "warnings")


def main() -> None:
    requests, answers = int(sys.argv[1]), int(sys.argv[2])
    for descriptor in (requests, answers):
        os.set_inheritable(descriptor, False)
    if "linecache" in sys.modules:  # since Python 3.13, with this text as that of "<string>", for tracebacks
        linecache = sys.modules["linecache"]
        linecache.cache.pop("<string>", None)  # which is what code of a backend is called, too
        getattr(linecache, "_interactive_cache", {}).clear()  # where it is since Python 3.14
    wakeup = _wake_up_on_child()
    may_fork = _preload(*sys.argv[3:5])
    programs: dict[str, types.CodeType] = {}
    with open(requests, "rb", buffering=0, closefd=False) as lines:
        for line in lines:
            arguments = json.loads(line)
            script = arguments[0]
            if not may_fork:
                child = os.posix_spawn(sys.executable, [sys.executable, *arguments], os.environ)
            else:
                if script not in programs:
                    programs[script] = _compile(script)
                child = os.fork()
                if child == 0:
                    _become_hook(arguments, programs[script], (requests, answers, *wakeup))
                    return
            status = _wait(child, requests, wakeup[0])
            os.write(answers, b"%d\n" % status)
    os._exit(0)  # without clean-up, because nothing here needs any


def _preload(build_backend: str, backend_path: str) -> bool:
    """Import the backend; returns whether a fork of this process may call it. The arguments are names of variables."""
    if sys.platform != "linux":
        return False
    for module in _OF_SCRIPT:
        importlib.import_module(module)
    if not any(name.startswith(backend_path) for name in os.environ):
        module = os.environ[build_backend].partition(":")[0]
        try:
            importlib.import_module(module)
        except BaseException:  # the process of the hook fails in the same way, and reports it
            return False
    gc.freeze()  # else the garbage collection of each child would copy memory that it shares with this process
    try:
        return len(os.listdir("/proc/self/task")) == 1  # threads that are none of Python's (of numpy, say) count, too
    except OSError:  # no /proc
        return False


def _compile(script: str) -> types.CodeType:
    with open(script, "rb") as f:
        return compile(f.read(), script, "exec")


def _become_hook(arguments: "list[str]", program: types.CodeType, descriptors: "tuple[int, ...]") -> None:
    signal.set_wakeup_fd(-1)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for descriptor in descriptors:
        os.close(descriptor)
    sys.argv = arguments
    module = sys.modules["__main__"] = types.ModuleType("__main__")
    module.__file__ = arguments[0]
    sys.excepthook = _say_without_our_frames
    try:
        exec(program, module.__dict__)
    finally:
        if sys.stdout and not sys.stdout.closed:
            sys.stdout.flush()  # `python SCRIPT` does so before it says why it ends, `python -c` does not


def _say_without_our_frames(
    kind: "type[BaseException]", error: BaseException, traceback: "types.TracebackType | None"
) -> None:
    """What Python says of an error that ends it, from the frame of the script on, as `python SCRIPT` does."""
    while traceback and traceback.tb_frame.f_globals is globals():
        traceback = traceback.tb_next
    sys.__excepthook__(kind, error.with_traceback(traceback), traceback)


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
        if requests in ready:  # there are no requests while a hook runs, so this is the end of file
            os.killpg(0, signal.SIGKILL)
        os.read(wakeup, 1024)


if __name__ == "__main__":
    main()
