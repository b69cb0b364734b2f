"""Log what the tool decides and does, by `logging`.

`-v` shows decisions (`logging.INFO`), and `-vv` also steps (`logging.DEBUG`). A program that uses this package gets
both from the logger "sage_wheels". This module does not import `logging`, to save time: if nothing else has imported
it, nobody can have asked for a log, and none is made.
"""

from __future__ import annotations

import contextlib
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

LOGGER = "sage_wheels"
_DECISION, _STEP = 20, 10  # logging.INFO and logging.DEBUG

_waiting: list[tuple[int, str, tuple[object, ...]]] | None = None


def decided(sentence: str, *values: object) -> None:
    """Log a decision and its reason: `sentence`, with `values` in the places of its `%s`."""
    _tell(_DECISION, sentence, values)


def step(sentence: str, *values: object) -> None:
    """Log a step that begins or has been done; arguments as for `decided`."""
    _tell(_STEP, sentence, values)


@contextlib.contextmanager
def later() -> Iterator[None]:
    """Within this context, collect log records; log them at its end, because slow handlers must not prolong a lock."""
    global _waiting
    _waiting = []
    try:
        yield
    finally:
        kept, _waiting = _waiting, None
        for each in kept:
            _tell(*each)


def _tell(level: int, sentence: str, values: tuple[object, ...]) -> None:
    if _waiting is not None:
        _waiting.append((level, sentence, values))
    elif logging := sys.modules.get("logging"):
        logging.getLogger(LOGGER).log(level, sentence, *values)
