"""Run a program in another Python, and parse the JSON value that it prints."""

from __future__ import annotations

from sage_wheels import environment
from sage_wheels.errors import InterpreterError, reason_of

TYPE_CHECKING = False
if TYPE_CHECKING:
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
    import json
    import subprocess

    # Where FORCE_COLOR is set, Python 3.13 and later would colour the error that is quoted below.
    environ = {**(environment.for_processes() if environ is None else environ), environment.NO_COLOR: "1"}
    command = [python, *arguments]
    try:
        result = subprocess.run(
            command,
            env=environ,
            capture_output=True,
            encoding="locale",
            errors="backslashreplace",  # what is quoted below may be anything
            timeout=patience,
            stdin=subprocess.DEVNULL,
        )
    except OSError as error:
        raise InterpreterError(f"the Python {python} cannot be run ({reason_of(error)})", advice) from error
    except subprocess.TimeoutExpired as error:  # its own text has the whole program
        raise InterpreterError(f"the Python {python} gives no answer within {patience:g} seconds", advice) from error
    try:
        if result.returncode == 0:
            return json.loads(result.stdout)
        why = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
    except ValueError as error:
        why = str(error)
    raise InterpreterError(f"the Python {python} gives no answer ({why})", advice)
