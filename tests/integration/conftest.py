"""Real wheels from the index, once a session, and a pip to compare with."""

from __future__ import annotations

import fnmatch
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

# name==version, and what the wheel is here for
WHEELS = (
    "six==1.17.0",  # one module
    "sympy==1.13.2",  # 1,555 files, data files (man page), an entry point
    "mpmath==1.3.0",
    "jupyterlab_widgets==3.0.9",  # data files only
    "greenlet==3.1.1",  # headers, for one platform
    "setuptools==73.0.1",  # a .pth that runs, and its own copies of other packages
    "zope.interface==7.0.3",  # these two share the namespace package zope, with a .pth each (nspkg)
    "zope.event==5.0",
    "jaraco.text==4.0.0",  # these three share a namespace package without __init__.py
    "jaraco.context==6.0.1",
    "jaraco.functools==4.1.0",
    "backports.tarfile==1.2.0",  # brings backports/__init__.py
    "alabaster==0.7.16",
    "babel==2.14.0",
    "calver==2022.6.26",
    "docutils==0.21.2",  # scripts of its own beside entry points
    "jupyter-client==8.3.1",
    "jupyterlab-pygments==0.2.2",
    "meson==1.7.0",  # a script, a man page, a file that is no Python here
    "notebook-shim==0.2.3",  # etc/jupyter
    "pybind11==2.13.6",  # 100 headers as package data
    "py==1.11.0",
    "wheel==0.44.0",
    "tzdata==2023.3",  # 600 small files
)


@pytest.fixture(scope="session")
def download(
    tmp_path_factory: pytest.TempPathFactory, index_environment: dict[str, str]
) -> Callable[..., dict[str, Path]]:
    """Get wheels from the index: their paths by the requirement that named them."""
    directory = tmp_path_factory.mktemp("wheels")

    def get(*requirements: str) -> dict[str, Path]:
        command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--only-binary", ":all:"]
        command += ["--disable-pip-version-check", "-d", str(directory), *requirements]
        subprocess.run(command, check=True, env=index_environment, cwd="/", capture_output=True)
        return {each: find(*each.replace("-", "_").split("==")) for each in requirements}

    def find(name: str, version: str) -> Path:
        pattern = re.compile(re.sub(r"[-_.]", "[-_.]", name) + f"-{fnmatch.translate(version)[:-2]}-.*", re.IGNORECASE)
        found = [each for each in directory.iterdir() if pattern.fullmatch(each.name)]
        assert len(found) == 1, (name, version, found)
        return found[0]

    return get


@pytest.fixture(scope="session")
def wheels(download: Callable[..., dict[str, Path]]) -> dict[str, Path]:
    return download(*WHEELS)


@pytest.fixture(scope="session")
def pip_wheel(download: Callable[..., dict[str, Path]]) -> Path:
    """The wheel of a pip of this year: `python WHEEL/pip` runs it in whatever environment `python` is of."""
    return download("pip==26.*")["pip==26.*"]
