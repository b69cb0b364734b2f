"""-v, -vv and SAGE_WHEELS_LOG: the handlers for the log of decisions and steps (`sage_wheels.trace`)."""

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
        "-v",
        "--verbose",
        action="count",
        default=0,
        help="print each decision with its reason; -vv: also each step with its time",
    )


def listen(verbosity: int) -> None:
    """Log decisions to standard error if `verbosity` is 1, and steps if it is more; both to the file $SAGE_WHEELS_LOG.

    Raises `UnsafePath` and `FileOperationFailed` for that file.
    """
    file = environment.get(VARIABLE)
    if not verbosity and not file:
        return
    import logging

    logging.raiseExceptions = False  # no traceback for a full disk, or a closed pipe
    logger = logging.getLogger(trace.LOGGER)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    for handler in list(logger.handlers):  # left by an earlier command in this process
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
