"""Run pip for a prefix: pip decides, downloads and builds without the lock; this process makes the change.

pip runs in the interpreter of the prefix, as with `python -m pip`, but inside `driver`. The two processes exchange
lines of JSON over two pipes. The pip is that of the prefix, or one that is found elsewhere (`candidates`).
"""

from __future__ import annotations

import contextlib
import json
import os
import sys

from sage_wheels import environment, processes, trace
from sage_wheels.errors import FileOperationFailed, InterpreterError, Outdated, PrefixError, SageWheelsError
from sage_wheels.manifests.entries import entries
from sage_wheels.pip.candidates import candidates
from sage_wheels.pip.decision import Coming, Decision, constraints
from sage_wheels.prefix.tree import Tree
from sage_wheels.transaction.recover import recover_first
from sage_wheels.transaction.stage import hold_lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from subprocess import Popen
    from typing import Any

    from sage_wheels.pip.decision import PipOptions
    from sage_wheels.prefix import Prefix

# The oldest Python for which `driver` is written.
_OLDEST = (3, 7)
# How often pip is run, if other processes change the prefix each time, before we give up. pip takes seconds to decide,
# so the lock is not held meanwhile. This is not the retrying of `transaction.commit`, which plans the same wheels again
# when files have changed, in milliseconds: pip decides again only if another choice of wheels might be right.
_TRIES = 20
# Seconds that pip has to end after it was interrupted.
_PATIENCE = 10.0


def run_unchanged(prefix: Prefix, arguments: list[str], **variables: str) -> int:
    """Run pip without replacing its functions, with `variables` added to the environment; returns its exit status.

    Raises `InterpreterError` if the prefix's Python does not run.
    """
    status = _run(prefix, arguments, {"plain": True}, lambda question: {}, variables)
    return status if status >= 0 else 128 - status


def install(prefix: Prefix, arguments: list[str], options: PipOptions) -> int:
    """Run `pip install` with `arguments`, the whole command line of pip; returns its exit status.

    Errors of the transaction are printed by pip. Raises `InterpreterError`, and `PrefixError` if the prefix changes
    whenever pip decides.
    """
    recover_first(prefix, options.commit_options)
    belongs = entries(prefix, options.commit_options.say)
    with constraints(prefix, belongs if options.keep_packages else {}) as file:
        for _ in range(_TRIES):
            conversation = _Conversation(Decision(prefix, options, belongs), file)
            status = conversation.run(arguments)
            if not conversation.again:
                return status
            options.commit_options.say(f"{conversation.again}; pip decides again")
            trace.decided("pip decides again: %s", conversation.again)
    raise PrefixError(
        f"{prefix.root} changes faster than pip can decide what to install",
        "wait until whatever else installs there has finished, and run the command again",
    )


def _run(
    prefix: Prefix,
    arguments: list[str],
    settings: dict[str, Any],
    reply: Callable[[dict[str, Any]], dict[str, Any]],
    variables: Mapping[str, str] | None = None,
) -> int:
    """Run pip, which keeps the terminal; `reply` answers its messages. Returns its exit status, negative for a
    signal."""
    questions, ask = os.pipe()
    answer, answers = os.pipe()
    with open(questions, encoding="utf-8") as listening, open(answers, "w", encoding="utf-8") as speaking:
        try:
            process = _start(prefix, arguments, {**settings, "ask": ask, "answer": answer}, variables or {})
        finally:
            os.close(ask)
            os.close(answer)
        try:
            for line in listening:
                answered = json.dumps(reply(json.loads(line)))
                with contextlib.suppress(BrokenPipeError):
                    print(answered, file=speaking, flush=True)
            return process.wait()
        finally:
            _end(process, speaking.fileno())


def _start(
    prefix: Prefix, arguments: list[str], settings: dict[str, Any], variables: Mapping[str, str]
) -> Popen[bytes]:
    import subprocess

    sys.stdout.flush()
    processes.prepare()
    command = _command(prefix, arguments, settings)
    try:
        return subprocess.Popen(
            command,
            env=environment.for_processes(**variables),
            pass_fds=(settings["ask"], settings["answer"]),
        )
    except OSError as error:
        raise _does_not_run(prefix, error) from error


def _end(process: Popen[bytes], pipe: int) -> None:
    """End `process`: closing `pipe` makes it interrupt pip and clean up. If it does not end in time, it is killed.

    The processes that it has started are stopped meanwhile.
    """
    from subprocess import TimeoutExpired

    if process.poll() is not None:
        return
    stopped = processes.freeze(process.pid)
    nobody = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nobody, pipe, inheritable=False)
    os.close(nobody)
    try:
        with contextlib.suppress(TimeoutExpired):  # the exception that made us end it is being raised
            process.wait(_PATIENCE)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        processes.end(process.pid, stopped)


class _Conversation:
    """One run of pip, and its result."""

    def __init__(self, decision: Decision, constraints: str) -> None:
        self.decision = decision
        self.constraints = constraints
        self.again = ""
        self.error: SageWheelsError | None = None

    def run(self, arguments: list[str]) -> int:
        """Let pip decide, and install the result; returns the exit status."""
        about = {"constraints": _in_hex(self.constraints), "report": bool(self.decision.belongs)}
        with contextlib.ExitStack() as held:
            status = _run(
                self.decision.prefix, arguments, {"plain": False, **about}, lambda question: self._reply(question, held)
            )
        if self.error:
            return self.error.exit_status
        outcome = "the change had been made" if self.decision.is_done else "nothing was changed"
        if status < 0:
            self.decision.options.commit_options.say(f"pip was ended by signal {-status}; {outcome}")
            return 128 - status
        if status and self.decision.is_done:  # its output was closed, for example
            self.decision.options.commit_options.say(f"pip ended with status {status}; {outcome}")
            return 0
        return status

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
            destinations = list(_destinations(options, self.decision.prefix))
            if not question["quiet"]:
                self._elsewhere(options, destinations, held)
            return {
                "replaces": any(
                    _is_where_packages_are(self.decision.prefix, destination) for destination in destinations
                )
            }
        if what == "would":
            self.decision.note_brought([Coming(*each) for each in question["items"]])
        elif what == "install":
            replaced = self.decision.carry_out(
                [
                    {**each, **{name: _from_hex(each[name]) for name in ("path", "library", "headers")}}
                    for each in question["items"]
                ],
                {name: _from_hex(path) for name, path in question["satisfied"].items()},
            )
            return {"replaced": replaced}
        else:
            self._failed(unresolved=question["unresolved"])
        return {}

    def _failed(self, *, unresolved: bool) -> None:
        """Called if pip found no solution, or failed unexpectedly. Raises `Outdated` if another process may be the
        reason."""
        self.decision.check_unchanged()
        if unresolved and self.constraints:
            self.decision.options.commit_options.say(
                "note: what packages have installed stays as it is; --replace-packages lets pip replace it"
            )

    def _elsewhere(self, options: dict[str, str], destinations: list[str], held: contextlib.ExitStack) -> None:
        """Called if pip itself installs (--target and similar options). If that is in the prefix, the lock is held
        until pip ends."""
        prefix, commit_options = self.decision.prefix, self.decision.options.commit_options
        said = f"pip itself does what {' and '.join(options)} ask{'s' * (len(options) == 1)} for"
        if any(_is_inside(prefix, destination) for destination in destinations):
            tree = held.enter_context(Tree(prefix.root))
            held.enter_context(hold_lock(tree, commit_options.timeout, commit_options.say))
            commit_options.say(f"{said}, while {prefix.root} is locked")
        else:
            commit_options.say(f"{said}, and {prefix.root} stays as it is")


def _in_hex(path: str) -> str:
    """The bytes of `path` in hexadecimal, because the Python of the prefix may use another encoding of file names."""
    return os.fsencode(path).hex()


def _from_hex(text: str) -> str:
    return os.fsdecode(bytes.fromhex(text))


def _destinations(options: dict[str, str], prefix: Prefix) -> Iterator[str]:
    """The directories to which pip installs with these options, without the user's site directory."""
    root = options.get("--root", "")
    for given in filter(None, [options.get("--target"), options.get("--prefix") or (root and prefix.root)]):
        full = os.path.abspath(given)
        yield os.path.join(root, full.lstrip("/")) if root else full


def _is_inside(prefix: Prefix, path: str) -> bool:
    return f"{os.path.realpath(path)}/".startswith(f"{os.path.realpath(prefix.root)}/")


def _is_where_packages_are(prefix: Prefix, destination: str) -> bool:
    """Whether `destination` is a directory in which the packages of `prefix` are installed, so that pip replaces
    them."""
    own = {prefix.root, prefix.path(prefix.scheme.purelib), prefix.path(prefix.scheme.platlib)}
    return os.path.realpath(destination) in map(os.path.realpath, own)


def _command(prefix: Prefix, arguments: list[str], settings: dict[str, Any]) -> list[str]:
    loader, origin = __spec__.loader, os.path.join(os.path.dirname(__file__), "driver.py")
    if prefix.version < _OLDEST:
        raise InterpreterError(
            "the Python of {} is {}.{}, and pip is run here from {}.{} on".format(
                prefix.root, *prefix.version, *_OLDEST
            ),
            "name a prefix with a newer Python",
        )
    source: bytes = loader.get_data(origin)  # type: ignore[union-attr]  # works from a directory and from a zip
    about = json.dumps({"pips": [_in_hex(each) for each in candidates(prefix)], **settings})
    return [prefix.python, "-c", source.decode(), about, *arguments]


def _does_not_run(prefix: Prefix, error: OSError) -> InterpreterError:
    return InterpreterError(
        f"the Python {prefix.python} cannot be run ({error.strerror}), and pip needs it",
        "repair that Python, or name another prefix",
    )
