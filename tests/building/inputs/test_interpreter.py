"""What the interpreter that builds says of itself, or why it does not."""

from __future__ import annotations

import sysconfig
from pathlib import Path

import pytest

from sage_wheels.building.environment.interpreter import find_building
from sage_wheels.building.inputs.interpreter import facts
from sage_wheels.building.keyable import NotKeyable
from sage_wheels.store.store import Store


def test_one_that_fails_is_not_keyable_and_says_why(tmp_path: Path) -> None:
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\necho 'no module named sysconfig' >&2\nexit 1\n")
    python.chmod(0o755)
    store = str(tmp_path / "store")
    building = find_building(None, None, store)._replace(executable=str(python))
    with pytest.raises(NotKeyable, match=r"how it is configured \(.* gives no answer \(no module named sysconfig\)\)"):
        facts(building, Store(store))


def test_the_directories_in_which_extension_modules_are_compiled(tmp_path: Path) -> None:
    store = str(tmp_path / "store")
    options = facts(find_building(None, None, store), Store(store))["options"].split()
    assert f"-I{sysconfig.get_config_var('INCLUDEPY')}" in options
    assert set(str(sysconfig.get_config_var("CFLAGS")).split()) <= set(options)
