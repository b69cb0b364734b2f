"""Run a program in another Python, and parse the JSON value that it prints."""

from __future__ import annotations

from sage_wheels import environment
from sage_wheels.errors import InterpreterError, reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Mapping
    from typing import Any

ISOLATED = ("-I", "-S", "-B")  # ignore variables and the user's site directory; no `site`; write no byte-code


def answer_of(
    python: str, *arguments: str, advice: str, environ: Mapping[str, str] | None = None, patience: float = 60.0
) -> Any:
    """The parsed JSON that `python` prints when it is run with `arguments`.

    `environ` are its environment variables; None stands for those of this process. After `patience` seconds it is ended
    (Python starts in 10 ms, so one that takes a minute hangs). Raises `InterpreterError`, with `advice`, if it cannot
    be run, hangs, or does not print JSON.
    """
    return answer_from(begun(python, *arguments, advice=advice, environ=environ), advice=advice, patience=patience)


def begun(python: str, *arguments: str, advice: str, environ: Mapping[str, str] | None = None) -> subprocess.Popen[str]:
    """A process that runs `python`, for `answer_from`. Raises `InterpreterError`."""
    import subprocess

    # Where FORCE_COLOR is set, Python 3.13 and later would colour the error that is quoted below.
    environ = {**(environment.for_processes() if environ is None else environ), environment.NO_COLOR: "1"}
    try:
        return subprocess.Popen(
            [python, *arguments],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="backslashreplace",  # what is quoted below may be anything
        )
    except OSError as error:
        raise InterpreterError(f"the Python {python} cannot be run ({reason_of(error)})", advice) from error


def answer_from(process: subprocess.Popen[str], *, advice: str, patience: float = 60.0) -> Any:
    """The parsed JSON that `process` prints, as for `answer_of`."""
    import json
    import subprocess

    python = str(process.args[0])  # type: ignore[index]
    try:
        output, errors = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired as error:  # its own text has the whole program
        raise InterpreterError(f"the Python {python} gives no answer within {patience:g} seconds", advice) from error
    finally:
        end(process)
    try:
        if process.returncode == 0:
            return json.loads(output)
        why = (errors.strip().splitlines() or [f"exit status {process.returncode}"])[-1]
    except ValueError as error:
        why = str(error)
    raise InterpreterError(f"the Python {python} gives no answer ({why})", advice)


def end(process: subprocess.Popen[str]) -> None:
    """End `process`, if it still runs."""
    process.kill()
    with process:
        pass
