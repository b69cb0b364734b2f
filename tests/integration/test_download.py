"""No pip of six years runs what is fetched with it."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.building import parse_source
from sage_wheels.building.download import fetch
from sage_wheels.requirements.sources import Requirement
from support.projects import make_sdist, make_tree
from support.wheels import make_wheel

pytestmark = [pytest.mark.network, pytest.mark.slow]

PIPS = ("20.3.4", "21.3.1", "22.2.2", "23.0.1", "24.3.1", "25.3", "26.*")


@pytest.mark.parametrize("version", PIPS)
def test_nothing_is_run(
    tmp_path: Path, download: Callable[..., dict[str, Path]], monkeypatch: pytest.MonkeyPatch, version: str
) -> None:
    ran, house = tmp_path / "ran", tmp_path / "house"
    house.mkdir()
    tree = make_tree(tmp_path / "one", "one", "1.0")
    backend = tree / "backend" / "tiny.py"
    backend.write_text(f"open({str(ran)!r}, 'w').close()\n{backend.read_text()}")
    make_sdist(house, tree, "one", "1.0")
    make_wheel(house, "one", "0.9", {"one.py": ""})
    with zipfile.ZipFile(download(f"pip=={version}")[f"pip=={version}"]) as pip:
        pip.extractall(tmp_path / "pip")
    for name in [each for each in os.environ if each.startswith("PIP_")]:
        monkeypatch.delenv(name)
    for name, value in (("CONFIG_FILE", os.devnull), ("NO_INDEX", "1"), ("FIND_LINKS", str(house))):
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "pip"))
    for text, file in (("one", "one-1.0.tar.gz"), ("one<1", "one-0.9-py3-none-any.whl")):
        source = parse_source(text)
        assert isinstance(source, Requirement)
        assert os.path.basename(fetch(source, str(tmp_path / text)).source.path) == file
    assert not ran.exists()
