"""Real sdists: what comes from the store is, byte for byte, what a build without it makes.

They are the sdists of Sage's packages that the index has and that need no C library but Python's; each with its
backend in the version that the index has today. Exceptions are named in `DIFFERENT`, with the reason.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sage_wheels.building import BuildOptions, build_wheel, parse_source
from sage_wheels.building.download import fetch
from sage_wheels.requirements.sources import Requirement, SdistFile

pytestmark = [pytest.mark.network, pytest.mark.slow]

SDISTS = [
    *("MarkupSafe==2.1.5", "appdirs==1.4.4", "calver==2025.4.17"),
    *("certifi==2024.2.2", "charset-normalizer==3.3.2", "colorama==0.4.6"),
    *("comm==0.1.4", "cppy==1.3.1", "cycler==0.12.1"),
    *("decorator==5.1.1", "editables==0.5", "execnet==2.1.1"),
    *("filelock==3.14.0", "h11==0.14.0", "idna==3.7"),
    *("importlib_metadata==7.0.1", "iniconfig==2.0.0", "jinja2==3.1.4"),
    *("json5==0.9.14", "kiwisolver==1.4.8", "more-itertools==10.2.0"),
    *("nest_asyncio==1.6.0", "packaging==25.0", "parso==0.8.4"),
    *("pathspec==0.12.1", "pexpect==4.9.0", "platformdirs==4.2.2"),
    *("psutil==5.9.8", "ptyprocess==0.7.0", "pure_eval==0.2.2"),
    *("pycparser==2.22", "python-dateutil==2.9.0.post0", "pytz==2024.1"),
    *("six==1.17.0", "sniffio==1.3.1", "tomli==2.0.1"),
    *("tornado==6.4.1", "traitlets==5.14.3", "typing_extensions==4.12.2"),
    *("urllib3==2.1.0", "wcwidth==0.2.13", "zipp==3.19.0"),
]
# Whose builds do not repeat, with or without a store, and why.
DIFFERENT: dict[str, str] = {}


@pytest.mark.parametrize("wanted", SDISTS)
def test_a_wheel_from_the_store_is_the_one_that_is_built(tmp_path: Path, wanted: str) -> None:
    asked = parse_source(wanted)
    assert isinstance(asked, Requirement)
    sdist = fetch(asked, str(tmp_path / "sdist"), from_source=True).source
    assert isinstance(sdist, SdistFile)
    # in one directory: compilers write its path into what they make, and then it is part of the key
    common = BuildOptions(use_index=True, usual_build_dir=str(tmp_path / "builds"))
    store = common._replace(cache_dir=str(tmp_path / "store"))
    without = common._replace(cache_dir=str(tmp_path / "other"), store=False)
    wheels, stored = [], []
    for name, options in (("first", store), ("second", store), ("without", without)):
        built = build_wheel(parse_source(sdist.path), wheel_dir=tmp_path / name, options=options)
        wheels.append(Path(built.path).read_bytes())
        stored.append(built.is_stored)
        assert os.path.basename(built.path) == os.path.basename(next((tmp_path / "first").iterdir()))
    assert stored == [False, True, False]
    assert wheels[0] == wheels[1]
    assert (wheels[1] == wheels[2]) == (wanted not in DIFFERENT)
