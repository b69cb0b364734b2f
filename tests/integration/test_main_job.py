"""The main job on real input: sources and wheels from the index, installed in parallel into one prefix, and used."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import sage_wheels
from support.run import python, tool, tool_environment
from support.trees import leftovers, make_prefix, snapshot

pytestmark = [pytest.mark.network, pytest.mark.once]

SDISTS = ("ptyprocess==0.7.0", "pexpect==4.9.0")
USED = (  # wheels by requirement, as in conftest
    *("six==1.17.0", "sympy==1.13.2", "mpmath==1.3.0", "jupyterlab_widgets==3.0.9"),
    *("jaraco.context==6.0.1", "jaraco.functools==4.1.0", "backports.tarfile==1.2.0"),
)
PROGRAM = """
import six, sympy, pexpect, ptyprocess, jupyterlab_widgets, jaraco.context, backports.tarfile
assert sympy.integrate("cos(x)") == sympy.sin("x")
assert pexpect.run("echo spawned").strip() == b"spawned"
import importlib.metadata, importlib.util
assert importlib.util.find_spec("jaraco.functools")
print(*sorted(each.metadata["Name"].lower() for each in importlib.metadata.distributions()))
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, index_environment: dict[str, str]) -> list[Path]:
    """The wheels of `SDISTS`, built by us from what the index has."""
    directory = tmp_path_factory.mktemp("built")
    result = tool(
        *("build", "--index", "--cache-dir", directory / "cache", "--wheel-dir", directory / "wheels", *SDISTS),
        env={**index_environment, "PYTHONPATH": tool_environment()["PYTHONPATH"]},
    )
    assert result.returncode == 0, result.stderr
    paths = [Path(line) for line in result.stdout.splitlines()]
    assert [path.name.partition("-")[0] for path in paths] == ["ptyprocess", "pexpect"]
    return paths


def test_installed_in_parallel_into_one_prefix_and_used(
    tmp_path: Path, built: list[Path], wheels: dict[str, Path]
) -> None:
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    items = [*built, *(wheels[each] for each in USED)]
    commands = [[sys.executable, "-m", "sage_wheels", "install", "--prefix", str(prefix), str(each)] for each in items]
    running = [
        subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=tool_environment(), cwd="/")
        for command in commands
    ]
    said = [process.communicate()[1] for process in running]
    assert [process.returncode for process in running] == [0] * len(items), said
    names = "backports.tarfile jaraco.context jaraco.functools jupyterlab-widgets mpmath pexpect ptyprocess six sympy"
    assert python(prefix, PROGRAM).replace("_", "-") == names
    assert [sage_wheels.verify(each.name, prefix) for each in sage_wheels.distributions(prefix)] == [[]] * len(items)
    assert (prefix / "share" / "jupyter" / "labextensions").is_dir()
    assert leftovers(prefix) == []
    report = sage_wheels.uninstall([each.name for each in sage_wheels.distributions(prefix)], prefix)
    assert len(report.changes) == len(items)
    assert snapshot(prefix) == before
