"""One index with everything in it, prefixes with a pip, and pairs of them."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

pytest.register_assert_rewrite("support.twins")

from support.index import Index  # noqa: E402
from support.projects import Gate, make_sdist, make_tree  # noqa: E402
from support.run import install  # noqa: E402
from support.twins import Twins, copy_prefix, environment, make_prefix_with_pip  # noqa: E402
from support.wheels import Content, make_wheel  # noqa: E402


def make_wheels(directory: Path) -> None:
    """The projects of the index, which pip has to choose from."""
    for version in ("1.0", "2.0"):
        files: dict[str, Content] = {
            "app/__init__.py": "",
            "app/main.py": "def main():\n    pass\n",
            f"app_{version[0]}.py": "",
        }
        data = {"scripts/app-script": "#!python\n", f"data/share/app/{version}.txt": version, "headers/app.h": ""}
        requires = [f"lib>={version}", 'extra-lib; extra == "more"']
        points = {"app": "app.main:main", f"app{version[0]}": "app.main:main"}
        make_wheel(
            directory,
            "app",
            version,
            files,
            data=data,
            requires=requires,
            entry_points=points,
            headers="Provides-Extra: more\n",
            executable=[f"app-{version}.data/scripts/app-script"],
        )
    for version in ("1.0", "2.0", "2.1", "3.0rc1"):
        make_wheel(directory, "lib", version, {"lib/__init__.py": f"version = {version!r}\n"})
    make_wheel(directory, "extra-lib", "1.0", {"extra_lib.py": "", "extra_lib.pth": "# extra\n"})
    make_wheel(directory, "plain", "1.0", {"plain.py": ""})
    make_wheel(directory, "old-lib", "1.0", {"old_lib.py": ""}, requires=["lib<2"])
    make_wheel(directory, "both", "1.0", {"both.py": ""})
    for name, version, hook in (
        ("both", "1.0", ""),
        ("both", "2.0", ""),
        ("broken", "1.0", "raise SystemExit('the compiler is on strike')"),
    ):
        tree = make_tree(directory.parent / f"{name}-{version}", name, version, hook=hook)
        make_sdist(directory, tree, name, version)


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of what the index has."""
    directory = tmp_path_factory.mktemp("index") / "files"
    make_wheels(directory)
    return directory


@pytest.fixture
def index(files: Path) -> Iterator[Index]:
    with Index(files) as it:
        yield it


@pytest.fixture(scope="session")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A git repository of the project `hello`: 1.0 has the tag v1, 2.0 is what is checked out."""
    top = tmp_path_factory.mktemp("git")
    tree = make_tree(top / "repository", "hello", "1.0")
    env = environment(top / "home")
    text = (tree / "pyproject.toml").read_text()
    for command in (["init", "-q"], ["add", "."], ["commit", "-q", "-m", "one"], ["tag", "v1"]):
        subprocess.run(["git", *command], cwd=tree, env=env, check=True)
    (tree / "pyproject.toml").write_text(text.replace("1.0", "2.0"))
    subprocess.run(["git", "commit", "-q", "-a", "-m", "two"], cwd=tree, env=env, check=True)
    return tree


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prefix with pip in it, to be copied."""
    return make_prefix_with_pip(tmp_path_factory.mktemp("template"))


@pytest.fixture
def prefix(tmp_path: Path, template: Path) -> Path:
    return copy_prefix(template, tmp_path / "env")


@pytest.fixture
def gate() -> Iterator[Gate]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.settimeout(60)
        yield Gate(listening)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def twins(tmp_path: Path, template: Path) -> Twins:
    return Twins(tmp_path, template)


@pytest.fixture
def wheel_of(files: Path) -> Callable[[str], Path]:
    """The wheel of "NAME VERSION"."""

    def find(what: str) -> Path:
        name, version = what.split()
        return files / f"{name.replace('-', '_')}-{version}-py3-none-any.whl"

    return find


@pytest.fixture
def put(wheel_of: Callable[[str], Path]) -> Callable[..., None]:
    """Install "NAME VERSION"... into a prefix, as somebody did before the test began."""

    def install_all(prefix: Path, *what: str) -> None:
        if what:
            install(prefix, *map(wheel_of, what))

    return install_all
