"""`sage-wheels pip` with real packages from the real index, and with pips of six years."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytest.register_assert_rewrite("support.twins")

from support.projects import make_sdist, make_tree  # noqa: E402
from support.run import names  # noqa: E402
from support.trees import leftovers, make_prefix, site_packages, snapshot  # noqa: E402
from support.twins import Twins, end, make_prefix_with_pip, our_command, start  # noqa: E402
from support.wheels import make_wheel  # noqa: E402

pytestmark = pytest.mark.network

# What each set is here for. Versions are fixed, so that the sets stay what they are.
SETS = {
    "pure, with dependencies": "requests==2.32.3 certifi==2024.8.30 urllib3==2.2.3",
    "entry points, templates": "flask==3.0.3",
    "compiled, large": "numpy==1.26.4",
    "compiled, with libraries beside it": "pillow==10.4.0",
    "compiled, data files": "lxml==5.3.0",
    "compiled, depends on pure": "cffi==1.17.1 pyyaml==6.0.2",
    "compiled in Rust": "cryptography==43.0.1",
    "headers": "greenlet==3.1.1",
    "namespace packages with .pth files": "zope.interface==7.0.3 zope.event==5.0",
    "namespace packages": "google-api-core==2.19.2 googleapis-common-protos==1.65.0",
    "many entry points": "docutils==0.21.2 Sphinx==7.4.7",
    "an sdist only": "docopt==0.6.2 future==1.0.0",
    "an sdist with a backend": "--no-binary pyparsing pyparsing==3.1.4",
    "data files in share and etc": "jupyter-core==5.7.2 notebook-shim==0.2.3 jupyterlab-widgets==3.0.13",
    "extras": "coverage[toml]==7.6.1 uvicorn[standard]==0.30.6",
    "scripts that are no entry points": "meson==1.5.1 pybind11==2.13.6",
    "a .pth that runs": "setuptools==74.1.2 setuptools_scm==8.1.0",
    "compiled with mypyc": "black==24.8.0",
    "types and many small files": "tzdata==2024.1 pytz==2024.1 types-PyYAML==6.0.12.20240808",
    "modules without a package": "six==1.16.0 typing_extensions==4.12.2 decorator==5.1.1",
    "a constraint on what is needed": "pandas==2.2.2 numpy==1.26.4",
}
PIPS = ("20.3.4", "21.3.1", "22.2.2", "23.0.1", "24.3.1", "25.3", "26.*")
PROGRAM = "import importlib.metadata as m; print(*sorted(each.metadata['Name'] for each in m.distributions()))"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_prefix_with_pip(tmp_path_factory.mktemp("template"))


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What pip keeps of what it downloads and builds, for all."""
    return tmp_path_factory.mktemp("cache")


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_the_prefix_is_what_plain_pip_makes_of_it(
    tmp_path: Path, template: Path, cache: Path, index_environment: dict[str, str], name: str
) -> None:
    twins = Twins(tmp_path, template)
    variables = {key: value for key, value in index_environment.items() if key.startswith(("PIP_", "SSL_"))}
    variables["PIP_CACHE_DIR"] = str(cache)
    theirs, own = twins.run("install", "-q", *SETS[name].split(), variables=variables, in_turn=True)
    assert theirs.returncode == 0, theirs.stderr
    assert own.returncode == 0, own.stderr
    assert len(names(twins.ours)) > 1
    assert names(twins.ours) == names(twins.pips)
    twins.assert_alike()
    checked = [
        each.stdout.replace(str(prefix), "") for each, prefix in zip(twins.run("check"), twins.both, strict=True)
    ]
    assert checked[0] == checked[1]


@pytest.mark.slow
@pytest.mark.parametrize("version", PIPS)
def test_pips_of_many_years(tmp_path: Path, download: Callable[..., dict[str, Path]], version: str) -> None:
    """A wheel with what it needs, an sdist, and an editable tree; then an upgrade, and all goes."""
    prefix = make_prefix(tmp_path)
    before = snapshot(prefix)
    unpack_pip(prefix, *download(f"pip=={version}").values())
    if subprocess.run([prefix / "bin/python", "-m", "pip", "--version"], capture_output=True).returncode:
        pytest.skip(f"pip {version} does not run in this Python")
    house = tmp_path / "house"
    for number in ("1.0", "2.0"):
        points = {"app": "app:main"}
        make_wheel(house, "app", number, {"app.py": ""}, requires=[f"lib>={number}"], entry_points=points)
        make_wheel(house, "lib", number, {"lib/__init__.py": ""})
    make_sdist(house, make_tree(tmp_path / "source", "source", "1.0"), "source", "1.0")
    tree = make_tree(tmp_path / "tree", "tree", "1.0")
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home"), "PIP_CONFIG_FILE": "/dev/null"}
    (tmp_path / "home").mkdir()
    line = ["install", "--no-index", "-f", str(house)]
    for arguments, there in (
        (["app==1.0", "lib==1.0", "source"], ["app 1.0", "lib 1.0", "source 1.0"]),
        (["-U", "app"], ["app 2.0", "lib 2.0", "source 1.0"]),
        (["-e", str(tree)], ["app 2.0", "lib 2.0", "source 1.0", "tree 1.0"]),
    ):
        done = end(start(our_command(prefix, *line, *arguments), env))
        if arguments[0] == "-e" and done.returncode and version in ("20.3.4",):
            assert "setup.py" in done.stdout + done.stderr  # PEP 660 came later
            continue
        assert done.returncode == 0, (version, done.stdout, done.stderr)
        assert [each for each in names(prefix) if not each.startswith("pip ")] == there
        if arguments[0] == "-U":  # what was replaced is said in the words of that pip
            assert "    Found existing installation: app 1.0\n" in done.stdout
            assert "      Successfully uninstalled app-1.0\n" in done.stdout
    assert leftovers(prefix) == []
    named = here(tmp_path)
    done = end(start(our_command(prefix, "list", "--format=freeze"), {**env, "PYTHONPATH": str(named)}, cwd=named))
    assert "named-here==1" in done.stdout.replace("_", "-"), done.stderr
    hook = "import os, signal, time\nos.kill(int(os.environ['TOOL']), signal.SIGTERM)\ntime.sleep(1000)\n"
    interrupted = make_tree(tmp_path / "interrupted", "interrupted", "1.0", hook=hook)
    command = our_command(prefix, *line, interrupted)
    command[3] = f"import os\nos.environ['TOOL'] = str(os.getpid())\n{command[3]}"
    done = end(start(command, env))
    assert done.returncode == 128 + signal.SIGTERM, done.stderr
    assert "Traceback" not in done.stderr
    done = end(start(our_command(prefix, "uninstall", "-y", "app", "lib", "source", "tree", "pip"), env))
    assert done.returncode == 0, done.stderr
    assert names(prefix) == []
    kept = {path: what for path, what in snapshot(prefix).items() if "site-packages/pip" not in path}
    assert kept == before


def here(directory: Path) -> Path:
    """A directory in which something is installed."""
    info = directory / "here/named_here-1.dist-info"
    info.mkdir(parents=True, exist_ok=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: named-here\nVersion: 1\n")
    return info.parent


@pytest.mark.slow
@pytest.mark.parametrize("version", ["26.0", "26.*"])
def test_build_dependencies_in_the_same_process(
    tmp_path: Path, download: Callable[..., dict[str, Path]], version: str
) -> None:
    """They go where pip builds, and are no part of the transaction; the backend may be one of them, or need them."""
    prefix = make_prefix(tmp_path)
    unpack_pip(prefix, *download(f"pip=={version}").values())
    there = names(prefix)
    house = tmp_path / "house"
    make_wheel(house, "idle", "1.0", {"idle.py": ""}, requires=["below"])
    make_wheel(house, "below", "1.0", {"below.py": ""})
    env = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "PIP_CONFIG_FILE": "/dev/null"}
    for name in ("one", "other"):
        tree = make_tree(tmp_path / name, name, "1.0", hook="import idle, below")
        if name == "other":  # the backend itself is one
            make_wheel(house, "tiny", "1.0", {"tiny.py": (tree / "backend/tiny.py").read_text()})
        project = (tree / "pyproject.toml").read_text().replace("requires = []", 'requires = ["idle", "tiny"]')
        if name == "one":
            project = project.replace(', "tiny"', "")
        else:
            project = project.replace('backend-path = ["backend"]\n', "")
        (tree / "pyproject.toml").write_text(project)
        line = ["install", "--no-index", "-f", str(house), "--use-feature=inprocess-build-deps", str(tree)]
        done = end(start(our_command(prefix, *line), env))
        assert done.returncode == 0, done.stdout + done.stderr
    assert names(prefix) == sorted([*there, "one 1.0", "other 1.0"])
    assert leftovers(prefix) == []


def unpack_pip(prefix: Path, wheel: Path) -> None:
    """Install a pip by itself."""
    command = [str(prefix / "bin/python"), f"{wheel}/pip", "install", "-q", "--no-index", "--no-deps", str(wheel)]
    env = {"PATH": "/usr/bin:/bin", "PIP_CONFIG_FILE": "/dev/null", "HOME": str(prefix.parent)}
    done = subprocess.run(command, capture_output=True, text=True, env=env)
    if done.returncode:
        pytest.skip(f"{wheel.name} does not run in this Python: {done.stderr[-200:]}")
    assert (site_packages(prefix) / "pip").is_dir()
