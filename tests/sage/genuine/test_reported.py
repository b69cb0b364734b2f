"""Reports of Sage's own people, tried in the genuine trees; `tests/sage/test_reported.py` lists them all."""

from __future__ import annotations

import pytest

from .conftest import GENUINE_TODAY, Sage
from .test_sagelib import Library, library
from .test_undo import each_tree

__all__ = ("each_tree", "library")  # fixtures


def test_uninstalling(each_tree: Sage) -> None:
    """sagemath/sage#36737: the list of what to uninstall went before it was read."""
    sage = each_tree
    sage.overlay()
    sage.make("pip", "six")
    assert "six" in sage.run(sage.venv / "bin/python3", "-m", "pip", "list").stdout.split()
    said = sage.make("six-uninstall")
    assert "Could not open requirements file" not in said
    assert "six" not in sage.run(sage.venv / "bin/python3", "-m", "pip", "list").stdout.split()
    assert not list(sage.library.glob("six*"))
    sage.overlay("--undo")


@pytest.mark.slow
@GENUINE_TODAY[0]
def test_sagelib_that_is_not_editable(library: Library) -> None:
    """sagemath/sage#38304, #38293, #38253: `configure --disable-editable` built it, and did not install it."""
    said = library.make(editable=False)
    assert "doesnotexist" not in said
    assert library.place().is_relative_to(library.sage.library)
    assert " package sagelib\n" in library.sage.run("sage-wheels", "list").stdout
    library.sage.make("sagelib-clean")
    assert not list(library.sage.library.glob("*sage*"))
