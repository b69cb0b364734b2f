from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from sage_wheels.building.environment.images import ImageCache
from sage_wheels.building.environment.interpreter import find_building
from sage_wheels.building.environment.isolated import EnvironmentFiles

MakeWheel = Callable[..., Path]


@pytest.fixture
def cache(tmp_path: Path) -> ImageCache:
    root = str(tmp_path / "cache")
    return ImageCache(root, find_building(None, None, root))


@pytest.fixture
def environment(tmp_path: Path, cache: ImageCache) -> EnvironmentFiles:
    return EnvironmentFiles(str(tmp_path / "env"), cache)


def run(environment: EnvironmentFiles, program: str) -> str:
    command = [environment.python_executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_it_is_a_virtual_environment_with_nothing_in_it(environment: EnvironmentFiles) -> None:
    assert run(environment, "import sys; print(sys.prefix)") == environment.directory
    assert run(environment, "import sys; print(sys.prefix != sys.base_prefix)") == "True"
    assert run(environment, "import importlib.metadata as m; print([d.name for d in m.distributions()])") == "[]"


def test_the_interpreter_itself_agrees_about_the_paths(environment: EnvironmentFiles, make_wheel: MakeWheel) -> None:
    environment.add(str(make_wheel("a", "1.0")))
    scheme = "'venv' if 'venv' in sysconfig.get_scheme_names() else 'posix_prefix'"  # the older one before Python 3.11
    purelib = run(environment, f"import sysconfig; print(sysconfig.get_path('purelib', {scheme}))")
    assert os.path.realpath(run(environment, "import a; print(a.__file__)")) == os.path.realpath(f"{purelib}/a.py")


def test_files_are_shared_with_the_cache(
    environment: EnvironmentFiles, make_wheel: MakeWheel, cache: ImageCache
) -> None:
    wheel = str(make_wheel("a", "1.0"))
    environment.add(wheel)
    member = f"{cache.building.pattern.scheme.purelib}/a.py"
    assert os.path.samefile(f"{environment.directory}/{member}", f"{cache.image(wheel)[0]}/{member}")


def test_byte_code_is_there_and_up_to_date(environment: EnvironmentFiles, make_wheel: MakeWheel) -> None:
    environment.add(str(make_wheel("a", "1.0")))
    traced = subprocess.run(
        [environment.python_executable, "-v", "-c", "import a"], capture_output=True, text=True, check=True
    ).stderr
    assert "# code object from" in traced
    assert "a.cpython" in traced[traced.index("a.py") :]
    assert "# wrote" not in traced


def test_scripts_run_in_this_environment(environment: EnvironmentFiles, make_wheel: MakeWheel) -> None:
    wheel = make_wheel(
        "a",
        "1.0",
        files={"a.py": "import sys\ndef main(): print(sys.prefix)\n"},
        entry_points={"tool": "a:main"},
        data={
            "scripts/old-style": "#!python\nimport sys; print(sys.prefix)\n",
            "scripts/shell": "#!/bin/sh\necho hi\n",
        },
    )
    environment.add(str(wheel))
    for script, says in (("tool", environment.directory), ("old-style", environment.directory), ("shell", "hi")):
        answer = subprocess.run([f"{environment.directory}/bin/{script}"], capture_output=True, text=True, check=True)
        assert answer.stdout.strip() == says


@pytest.mark.parametrize("of_the_image", ["short", "a cache with blanks"])
@pytest.mark.parametrize("directory", ["short", "a place with spaces", "long" * 40])
def test_scripts_run_in_any_place(tmp_path: Path, make_wheel: MakeWheel, of_the_image: str, directory: str) -> None:
    root = str(tmp_path / of_the_image)
    environment = EnvironmentFiles(str(tmp_path / directory / "env"), ImageCache(root, find_building(None, None, root)))
    data = {
        "scripts/documented": "#!python\n'Hi.'\nfrom __future__ import annotations\nprint(__doc__)\n",
        "scripts/encoded": b"#!python\n# coding: latin-1\nprint({'\xe4': 'Hi.'}['\\u00e4'])\n",
    }
    files = {"a.py": "def main():\n    print('Hi.')\n"}
    environment.add(str(make_wheel("a", "1.0", files=files, entry_points={"wrapper": "a:main"}, data=data)))
    for name in ("wrapper", "documented", "encoded"):
        command = [f"{environment.directory}/bin/{name}"]
        assert subprocess.run(command, capture_output=True, text=True, check=True).stdout == "Hi.\n", name


def test_namespace_packages_grow_together(environment: EnvironmentFiles, make_wheel: MakeWheel) -> None:
    for name in "ab":
        environment.add(str(make_wheel(f"ns-{name}", "1.0", files={f"ns/{name}/__init__.py": f"name = {name!r}"})))
    assert run(environment, "import ns.a, ns.b; print(ns.a.name + ns.b.name)") == "ab"


def test_the_first_of_two_owners_keeps_the_file(environment: EnvironmentFiles, make_wheel: MakeWheel) -> None:
    for name in "ab":
        environment.add(str(make_wheel(name, "1.0", files={"shared.py": f"owner = {name!r}"})))
    assert run(environment, "import shared; print(shared.owner)") == "a"


def test_without_hard_links_files_are_copied(
    environment: EnvironmentFiles, make_wheel: MakeWheel, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(18, "Invalid cross-device link")  # EXDEV

    monkeypatch.setattr(os, "link", refuse)
    environment.add(str(make_wheel("a", "1.0")))
    assert run(environment, "import a; print(a.version)") == "1.0"
