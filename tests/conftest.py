"""The surroundings of every test: none of the caller's settings, and the index only where that is meant.

Tests marked `network` get back the PIP_* variables that pytest was started with (`build/check` leaves only
those that say where packages come from); no other test sees any.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
from pathlib import Path
from types import ModuleType

import pytest

import sage_wheels

_CHECKOUT = Path(__file__).resolve().parent.parent
_FOREIGN = (
    "PYTHON",
    "PIP_",
    "VIRTUAL_ENV",
    "SAGE_",
    "XDG_CACHE_HOME",
    "XDG_CONFIG_HOME",
    "DESTDIR",
    "MAKEFLAGS",
    "FORCE_COLOR",
)

_pip_settings = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
for _name in [name for name in os.environ if name.startswith(_FOREIGN)]:
    del os.environ[_name]
for _signal in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGTSTP):
    if signal.getsignal(_signal) is signal.SIG_IGN:  # by nohup, or by a shell that started this with `&`
        signal.signal(_signal, signal.default_int_handler if _signal == signal.SIGINT else signal.SIG_DFL)
os.environ.setdefault("HYPOTHESIS_STORAGE_DIRECTORY", str(_CHECKOUT / ".cache" / "hypothesis"))


def _is_installed(module: str) -> bool:
    try:
        importlib.import_module(module)
    except ImportError:
        return False
    return True


def pytest_configure() -> None:
    """Let no clock decide about a property, and print how to repeat what fails."""
    import hypothesis  # after its variable is set

    hypothesis.settings.register_profile(
        "here", deadline=None, print_blob=True, suppress_health_check=[hypothesis.HealthCheck.too_slow]
    )
    hypothesis.settings.load_profile("here")


@pytest.fixture(autouse=True)
def _index_for_network_tests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("network"):
        for name, value in _pip_settings.items():
            monkeypatch.setenv(name, value)


@pytest.fixture(scope="session")
def index_environment() -> dict[str, str]:
    """The environment of a network test, for fixtures of a wider scope than one test."""
    return {**os.environ, **_pip_settings}


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The source tree that these tests belong to; what is tested is the installed package."""
    return _CHECKOUT


_INFLATERS = {name: sys.modules[name] for name in ("zlib", "zlib_ng.zlib_ng") if _is_installed(name)}


@pytest.fixture(params=_INFLATERS)
def inflater(request: pytest.FixtureRequest) -> ModuleType:
    """Each module that inflates archives, if it is installed."""
    return _INFLATERS[request.param]


def pytest_report_header() -> str:
    """Say which package is tested."""
    return f"sage_wheels: {Path(sage_wheels.__file__).parent}"
