"""-v, -vv and SAGE_WHEELS_LOG: who listens to what the tool decides and does (`sage_wheels.trace`)."""

from __future__ import annotations

from sage_wheels import environment, trace
from sage_wheels.errors import FileOperationFailed
from sage_wheels.fs import trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse

VARIABLE = environment.SAGE_WHEELS_LOG


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-v", "--verbose", action="count", default=0, help="say why each thing is decided; -vv: each step with its time"
    )


def listen(verbosity: int) -> None:
    """Show decisions on standard error from 1 on, steps from 2 on; and both in the file that the variable names.

    Raises `UnsafePath` and `FileOperationFailed` for that file.
    """
    file = environment.get(VARIABLE)
    if not verbosity and not file:
        return
    import logging

    logging.raiseExceptions = False  # a full disk, or a closed pipe, is no reason to stop, nor for a traceback
    logger = logging.getLogger(trace.LOGGER)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    for handler in list(logger.handlers):  # of an earlier command of this process
        logger.removeHandler(handler)
        handler.close()
    if verbosity:
        shown = logging.StreamHandler()
        shown.setLevel(logging.INFO if verbosity == 1 else logging.DEBUG)
        when = "" if verbosity == 1 else "[%(relativeCreated)5d ms] "
        shown.setFormatter(logging.Formatter(f"sage-wheels: {when}%(message)s"))
        logger.addHandler(shown)
    if file:
        trust.check(file, f"name another file in {VARIABLE}")
        try:
            kept = logging.FileHandler(file, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise FileOperationFailed.from_os_error(error, f"opening the log that {VARIABLE} names") from error
        kept.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(process)d %(message)s", "%Y-%m-%d %H:%M:%S"))
        logger.addHandler(kept)
