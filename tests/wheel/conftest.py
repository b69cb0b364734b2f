"""Wheels are written by several processes only if this one has no other threads; see `sage_wheels.wheel.workers`."""

from __future__ import annotations

import threading

import pytest

_LONGEST = 60  # seconds that a thread of an earlier test may still run


@pytest.fixture(autouse=True)
def _no_other_threads() -> None:
    for each in threading.enumerate():
        if each is not threading.current_thread():
            each.join(_LONGEST)
    assert threading.enumerate() == [threading.current_thread()]
