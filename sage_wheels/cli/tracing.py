"""-v, -vv and SAGE_WHEELS_LOG: the handlers for the log of decisions and steps (`sage_wheels.trace`)."""

from __future__ import annotations

from sage_wheels import environment, trace
from sage_wheels.errors import FileOperationFailed
from sage_wheels.fs import trust

TYPE_CHECKING = False
if TYPE_CHECKING:
    import argparse
    import logging

VARIABLE = environment.SAGE_WHEELS_LOG

_handlers: list[logging.Handler] = []  # of the last command in this process


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

    What an earlier command in this process has asked for ends. Raises `UnsafePath` and `FileOperationFailed` for that
    file.
    """
    file = environment.get(VARIABLE)
    is_on = bool(verbosity or file)
    if not is_on and not _handlers:
        return
    import logging

    logger = logging.getLogger(trace.LOGGER)
    while _handlers:
        handler = _handlers.pop()
        logger.removeHandler(handler)
        handler.close()
    logger.setLevel(logging.DEBUG if is_on else logging.NOTSET)
    logger.propagate = not is_on
    logging.raiseExceptions = not is_on  # no traceback for a full disk, or a closed pipe
    if verbosity:
        shown = logging.StreamHandler()
        shown.setLevel(logging.INFO if verbosity == 1 else logging.DEBUG)
        when = "" if verbosity == 1 else "[%(relativeCreated)5d ms] "
        shown.setFormatter(logging.Formatter(f"sage-wheels: {when}%(message)s"))
        _handlers.append(shown)
    if file:
        trust.check(file, f"name another file in {VARIABLE}")
        try:
            kept = logging.FileHandler(file, encoding="utf-8", errors="backslashreplace")
        except OSError as error:
            raise FileOperationFailed.from_os_error(error, f"opening the log that {VARIABLE} names") from error
        kept.setFormatter(logging.Formatter("%(asctime)s.%(msecs)03d %(process)d %(message)s", "%Y-%m-%d %H:%M:%S"))
        _handlers.append(kept)
    for handler in _handlers:
        logger.addHandler(handler)
