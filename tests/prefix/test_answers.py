"""What another Python answers, or why it does not."""

from __future__ import annotations

import sys
from pathlib import Path

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


def test_an_error_of_any_bytes_is_quoted(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nprintf 'no module \\377\\n' >&2\nexit 1\n")
    python.chmod(0o755)
    with pytest.raises(InterpreterError, match=r"gives no answer \(no module \\xff\); do this"):
        answer_of(str(python), advice="do this")


def test_one_that_hangs_is_ended(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexec sleep 1000\n")
    python.chmod(0o755)
    with pytest.raises(InterpreterError, match=r"gives no answer within 0\.1 seconds; do this"):
        answer_of(str(python), advice="do this", patience=0.1)
