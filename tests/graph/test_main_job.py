"""The main job: build backends and a stack of Sage's from their sdists alone, on both engines, with the same wheels.

With sdists of an index: what Sage has, and newer ones of what builds that.
"""

from __future__ import annotations

import contextlib
import re
import subprocess
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from graph.conftest import Workshop
from graph.test_engines import Site, needs_dask
from sage_wheels.building import parse_source
from sage_wheels.building.download import fetch
from sage_wheels.requirements.sources import Requirement

pytestmark = [needs_dask, pytest.mark.network, pytest.mark.slow]

# What builds itself, and what builds all others.
BACKENDS = """
flit_core==3.12.0 setuptools==80.9.0 wheel==0.45.1 packaging==25.0 pathspec==0.12.1 pluggy==1.6.0
calver==2025.4.17 trove-classifiers==2025.5.9.12 editables==0.5 hatchling==1.27.0 hatch-vcs==0.5.0
hatch-fancy-pypi-readme==25.1.0 setuptools-scm==8.3.1 tomli==2.0.1 pyproject-metadata==0.9.1 meson==1.8.2
meson-python==0.18.0 pybind11==2.13.6 poetry-core==1.9.1
"""
# Some minutes of a processor for Cython alone.
OTHERS = """
Cython==3.1.2 pkgconfig==1.5.5 cppy==1.3.1 ptyprocess==0.7.0 pexpect==4.9.0 six==1.17.0 idna==3.7 cycler==0.12.1
kiwisolver==1.4.8 typing_extensions==4.12.2 zipp==3.19.0 importlib-metadata==7.0.1 importlib-resources==6.1.1
attrs==23.2.0 appdirs==1.4.4 certifi==2024.2.2 chardet==5.2.0 charset-normalizer==3.3.2 colorama==0.4.6
comm==0.1.4 decorator==5.1.1 distlib==0.3.8 docutils==0.21.2 filelock==3.14.0 execnet==2.1.1 h11==0.14.0
imagesize==1.4.1 iniconfig==2.0.0 jinja2==3.1.4 json5==0.9.14 markupsafe==2.1.5 more-itertools==10.2.0
mpmath==1.3.0 nest-asyncio==1.6.0 networkx==3.5 parso==0.8.4 platformdirs==4.2.2 pure-eval==0.2.2
pycparser==2.22 pygments==2.18.0 pyparsing==3.2.3 pytest==8.3.2 pytz==2024.1 requests==2.32.2 sniffio==1.3.1
sympy==1.13.2 tornado==6.4.1 traitlets==5.14.3 tzdata==2024.1 urllib3==2.1.0 wcwidth==0.2.13
webencodings==0.5.1 gmpy2==2.2.1 lxml==5.2.2 cffi==1.16.0 psutil==5.9.8
"""

# Some minutes more, for numpy. Where there is no BLAS, it builds its own.
NUMPY = "Cython==3.1.2 numpy==2.3.5"


@pytest.fixture
def site(workshop: Workshop) -> Iterator[Site]:
    with contextlib.ExitStack() as stack:
        yield Site(workshop, stack)


@pytest.mark.parametrize(
    "stack", [BACKENDS, f"{BACKENDS} {OTHERS}", f"{BACKENDS} {NUMPY}"], ids=["backends", "everything", "numpy"]
)
def test_the_same_wheels_from_both_engines(site: Site, stack: str) -> None:
    sdists = _sdists(site.root / "sdists", stack.split())
    here = _built(site, site.root / "here", sdists)
    address = site.start_scheduler()
    for number in range(2):
        site.start_worker(address, XDG_CACHE_HOME=str(site.root / f"worker-{number}"))
    site.until_workers(address, 2)
    there = _built(site, site.root / "there", sdists, "--engine", f"dask:{address}")
    assert [each.name for each in here] == [each.name for each in there]
    assert len(here) == len(sdists)
    different = [one.name for one, other in zip(here, there, strict=True) if one.read_bytes() != other.read_bytes()]
    # what is compiled names the build directory in its debugging information, and these are elsewhere
    assert all(re.search(r"-linux_\w+\.whl$", name) for name in different), different
    for one, other in zip(here, there, strict=True):
        assert _comparable(one) == _comparable(other), one.name
    print(f"{len(here)} wheels, {len(different)} of them the same without debugging information: {different}")


def _sdists(directory: Path, requirements: list[str]) -> list[Path]:
    for each in requirements:
        source = parse_source(each)
        assert isinstance(source, Requirement)
        fetch(source, str(directory), from_source=True)
    return sorted(directory.iterdir())


def _built(site: Site, outputs: Path, sdists: list[Path], *options: str) -> list[Path]:
    """The wheels of the sdists, from nothing else, with a cache of its own."""
    command = site.workshop.command("-k", "-j2", "--from-source", *options, *sdists)
    command[command.index("--cache-dir") + 1] = str(outputs / "cache")
    command[command.index("-w") + 1] = str(outputs / "wheels")
    done = subprocess.run(command, capture_output=True, text=True, env=site.environment(), cwd=site.root)
    assert done.returncode == 0, done.stderr[-5000:]
    return sorted((outputs / "wheels").iterdir())


def _comparable(wheel: Path) -> dict[str, bytes]:
    """The files of a wheel, those that were linked without debugging information."""
    with zipfile.ZipFile(wheel) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    linked = {name: content for name, content in members.items() if re.search(r"\.(so|a)$", name)}
    for name, content in linked.items():
        with tempfile.NamedTemporaryFile() as file:
            file.write(content)
            file.flush()
            subprocess.run(["strip", "--strip-debug", "--remove-section=.note.gnu.build-id", file.name], check=True)
            members[name] = Path(file.name).read_bytes()
    if linked:  # RECORD has the hashes of what was stripped
        members = {name: content for name, content in members.items() if not name.endswith(".dist-info/RECORD")}
    return members
