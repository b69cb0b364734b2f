"""pip for a prefix: pip decides, downloads and builds, without the lock; what changes is one transaction of ours.

pip runs in the prefix's own interpreter, as `python -m pip` does, with `pip_driver` around it; the two processes talk
JSON, a line each, over two pipes. It is the prefix's own pip, or one that is found elsewhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys

from sage_wheels.errors import FileOperationFailed, InterpreterError, Outdated, PrefixError, SageWheelsError
from sage_wheels.prefix import lock
from sage_wheels.sage.distribution import parts
from sage_wheels.sage.pip_decision import Decision, constraints
from sage_wheels.transaction.recover import recover_first
from sage_wheels.transaction.stage import LOCK

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from subprocess import Popen
    from typing import Any, NoReturn

    from sage_wheels.prefix import Prefix
    from sage_wheels.sage.pip_decision import How

# How often others may change what pip's decision rests on before we give up.
_TRIES = 20
# Seconds for pip to end by itself when it has been interrupted.
_PATIENCE = 10.0


def run_unchanged(prefix: Prefix, arguments: list[str]) -> NoReturn:
    """Become pip. Raises `InterpreterError` if the prefix's Python does not run."""
    sys.stdout.flush()
    command = _command(prefix, arguments, plain=True)
    try:
        os.execv(command[0], command)
    except OSError as error:
        raise _does_not_run(prefix, error) from error


def install(prefix: Prefix, arguments: list[str], how: How) -> int:
    """Run `pip install`, `arguments` being all of pip's; its exit status.

    What goes wrong with the transaction, pip says. Raises `InterpreterError`, and `PrefixError` if the prefix never
    stays as it is for as long as pip takes to decide.
    """
    recover_first(prefix, how.settings)
    belongs = parts(prefix)
    with constraints(prefix, belongs if how.keep_distribution else {}) as file:
        for _ in range(_TRIES):
            run = _Run(Decision(prefix, how, belongs), file)
            status = run.go(arguments)
            if not run.again:
                return status
            how.settings.say(f"{run.again}; pip decides again")
    raise PrefixError(
        f"{prefix.root} changes faster than pip can decide what to install",
        "wait until whatever else installs there has finished, and run the command again",
    )


class _Run:
    """One run of pip, and what came of it."""

    def __init__(self, decision: Decision, constraints: str) -> None:
        self.decision = decision
        self.constraints = constraints
        self.again = ""
        self.error: SageWheelsError | None = None

    def go(self, arguments: list[str]) -> int:
        questions, ask = os.pipe()
        answer, answers = os.pipe()
        with contextlib.ExitStack() as held, open(questions) as listening, open(answers, "w") as speaking:
            process = self._start(arguments, ask, answer)
            try:
                for line in listening:
                    reply = json.dumps(self._reply(json.loads(line), held))
                    with contextlib.suppress(BrokenPipeError):
                        print(reply, file=speaking, flush=True)
                status = process.wait()
            finally:
                _end(process, speaking.fileno())
        if self.error:
            return self.error.exit_status
        if status < 0:
            outcome = "the change had been made" if self.decision.is_done else "nothing was changed"
            self.decision.how.settings.say(f"pip was ended by signal {-status}; {outcome}")
            return 128 - status
        return status

    def _start(self, arguments: list[str], ask: int, answer: int) -> Popen[bytes]:
        import subprocess

        prefix, report = self.decision.prefix, bool(self.decision.belongs)
        settings = {"ask": ask, "answer": answer, "constraints": _in_hex(self.constraints), "report": report}
        try:
            return subprocess.Popen(_command(prefix, arguments, plain=False, **settings), pass_fds=(ask, answer))
        except OSError as error:
            raise _does_not_run(prefix, error) from error
        finally:
            os.close(ask)
            os.close(answer)

    def _reply(self, question: dict[str, Any], held: contextlib.ExitStack) -> dict[str, Any]:
        try:
            return {"ok": True, **self._answer(question, held)}
        except Outdated as error:
            self.again = error.what
            return {"again": True}
        except SageWheelsError as error:
            self.error = error
        except OSError as error:
            self.error = FileOperationFailed.from_os_error(error, f"changing {self.decision.prefix.root}")
        return {"error": "\n".join(filter(None, [str(self.error), self.error.details]))}

    def _answer(self, question: dict[str, Any], held: contextlib.ExitStack) -> dict[str, Any]:
        what = question["do"]
        if what == "elsewhere":
            options = {name: _from_hex(value) for name, value in question["options"].items()}
            goals = list(_goals(options, self.decision.prefix))
            if not question["dry"]:
                self._elsewhere(options, goals, held)
            return {"replaces": any(_is_where_packages_are(self.decision.prefix, goal) for goal in goals)}
        if what == "would":
            self.decision.note_distribution(dict(question["items"]))
        elif what == "install":
            self.decision.carry_out(
                [
                    {**each, "path": _from_hex(each["path"]), "library": _from_hex(each["library"])}
                    for each in question["items"]
                ]
            )
        else:
            self._failed(unresolved=question["unresolved"])
        return {}

    def _failed(self, *, unresolved: bool) -> None:
        """pip found no solution, or met with something unexpected. Raises `Outdated` if others may be the reason."""
        self.decision.check_unchanged()
        if unresolved and self.constraints:
            self.decision.how.settings.say(
                "note: the packages of the distribution are kept as they are; "
                "--replace-distribution lets pip replace them"
            )

    def _elsewhere(self, options: dict[str, str], goals: list[str], held: contextlib.ExitStack) -> None:
        """pip itself installs somewhere else; the lock is held until it ends if that is in the prefix after all."""
        prefix, settings = self.decision.prefix, self.decision.how.settings
        said = f"pip itself does what {' and '.join(options)} ask{'s' * (len(options) == 1)} for"
        if any(_is_inside(prefix, goal) for goal in goals):
            held.enter_context(lock.hold(prefix.path(LOCK), timeout=settings.timeout, on_wait=settings.say))
            settings.say(f"{said}, while {prefix.root} is locked")
        else:
            settings.say(f"{said}, and {prefix.root} stays as it is")


def _in_hex(path: str) -> str:
    """The bytes of `path`, for the prefix's Python may decode and encode the names of files otherwise."""
    return os.fsencode(path).hex()


def _from_hex(text: str) -> str:
    return os.fsdecode(bytes.fromhex(text))


def _end(process: Popen[bytes], pipe: int) -> None:
    """See to it that `process` has ended: it ends when nobody is at the other end of `pipe`."""
    import subprocess

    if process.poll() is not None:
        return
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(1)  # of Ctrl-C it has heard, too
    os.dup2(os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC), pipe)
    try:
        process.wait(_PATIENCE)
    except BaseException:
        process.kill()
        process.wait()
        raise


def _goals(options: dict[str, str], prefix: Prefix) -> Iterator[str]:
    """Where pip installs to, as far as its options say so; the user's directory is in no prefix."""
    root = options.get("--root", "")
    for place in filter(None, [options.get("--target"), options.get("--prefix") or (root and prefix.root)]):
        full = os.path.abspath(place)
        yield os.path.join(root, full.lstrip("/")) if root else full


def _is_inside(prefix: Prefix, path: str) -> bool:
    return f"{os.path.realpath(path)}/".startswith(f"{os.path.realpath(prefix.root)}/")


def _is_where_packages_are(prefix: Prefix, goal: str) -> bool:
    """Whether what pip installs to `goal` takes the place of what is installed in `prefix`."""
    places = {prefix.root, prefix.path(prefix.scheme.purelib), prefix.path(prefix.scheme.platlib)}
    return os.path.realpath(goal) in map(os.path.realpath, places)


def _command(prefix: Prefix, arguments: list[str], **settings: Any) -> list[str]:
    loader, origin = __spec__.loader, os.path.join(os.path.dirname(__file__), "pip_driver.py")
    source: bytes = loader.get_data(origin)  # type: ignore[union-attr]  # works from a directory and from a zip
    about = json.dumps({"pips": [_in_hex(each) for each in _other_pips(prefix)], **settings})
    return [prefix.python, "-c", source.decode(), about, *arguments]


def _other_pips(prefix: Prefix) -> Iterator[str]:
    """Directories and wheels that have a pip: the tool's Python, the wheelhouses of the prefix, ensurepip."""
    import glob
    import site
    import sysconfig

    yield from (each for each in [*sys.path, *site.getsitepackages()] if os.path.isfile(f"{each}/pip/__init__.py"))
    houses = [
        os.environ.get("SAGE_SPKG_WHEELS", ""),
        prefix.path("var/lib/sage/wheels"),
        prefix.path("var/lib/sage-wheels/wheels"),
        sysconfig.get_config_var("WHEEL_PKG_DIR") or "",  # where Debian and Fedora keep ensurepip's
        os.path.join(sysconfig.get_path("stdlib"), "ensurepip", "_bundled"),
    ]
    for house in filter(None, houses):
        yield from sorted(glob.glob(f"{glob.escape(house)}/pip-*.whl"), reverse=True)


def _does_not_run(prefix: Prefix, error: OSError) -> InterpreterError:
    return InterpreterError(
        f"the Python {prefix.python} cannot be run ({error.strerror}), and pip needs it",
        "repair that Python, or name another prefix",
    )
