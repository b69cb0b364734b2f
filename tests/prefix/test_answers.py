"""What another Python answers, or why it does not."""

from __future__ import annotations

import sys

import pytest

from sage_wheels.errors import InterpreterError
from sage_wheels.prefix.answers import ISOLATED, answer_of


def test_the_last_line_of_an_error_is_quoted_without_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    """Python 3.13 and later write escape sequences into tracebacks where FORCE_COLOR is set."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    with pytest.raises(InterpreterError) as caught:
        answer_of(sys.executable, *ISOLATED, "-c", "raise ValueError('why')", advice="do this")
    assert str(caught.value) == f"the Python {sys.executable} gives no answer (ValueError: why); do this"
