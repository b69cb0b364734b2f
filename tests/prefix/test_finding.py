"""`sage_wheels.prefix.finding` against environments that real tools make, and installations made by hand."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

from sage_wheels.errors import PrefixError, UsageError
from sage_wheels.prefix import Prefix, Scheme, find_prefix
from support.pythons import Python, make_installation, other_pythons

MAJOR, MINOR = sys.version_info[:2]
LIB = f"lib/python{MAJOR}.{MINOR}"


def make_venv(root: Path) -> str:
    venv.create(root, symlinks=True, with_pip=False)
    return str(root)


def fake_venv(root: Path, cfg: str, *libraries: str) -> str:
    root.mkdir()
    (root / "pyvenv.cfg").write_text(cfg)
    for each in libraries:
        (root / each).mkdir(parents=True)
    return str(root)


def test_the_option_comes_first_then_sage_venv_then_virtual_env(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, two, three = (make_venv(tmp_path / name) for name in ("one", "two", "three"))
    assert find_prefix(Path(one)).root == one
    monkeypatch.setenv("SAGE_VENV", two)
    monkeypatch.setenv("VIRTUAL_ENV", three)
    assert find_prefix(one).root == one
    assert find_prefix(None).root == two
    monkeypatch.setenv("SAGE_VENV", "")
    assert find_prefix(None).root == three


def test_no_prefix_is_wrong_usage() -> None:
    with pytest.raises(UsageError, match=r"no prefix is named; give --prefix, or set SAGE_VENV or VIRTUAL_ENV"):
        find_prefix(None)


def test_a_file_is_no_prefix(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PrefixError, match=rf"the prefix {tmp_path}/file is a file; name the directory"):
        find_prefix(tmp_path / "file")


def test_a_relative_prefix_is_made_absolute_but_links_stay_as_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_venv(tmp_path / "real")
    (tmp_path / "link").symlink_to("real")
    monkeypatch.chdir(tmp_path)
    assert find_prefix("link").root == f"{tmp_path}/link"


def sysconfig_paths(python: str) -> dict[str, str]:
    program = "import json, sysconfig; print(json.dumps(sysconfig.get_paths()))"
    answer = subprocess.run([python, "-I", "-c", program], capture_output=True, text=True, check=True).stdout
    paths: dict[str, str] = json.loads(answer)
    return paths


def assert_scheme_is_that_of_its_python(prefix: Prefix) -> None:
    paths = sysconfig_paths(prefix.python)
    real = os.path.realpath
    for name in ("purelib", "platlib", "scripts", "data"):
        assert real(prefix.path(getattr(prefix.scheme, name))) == real(paths[name]), name


def test_venv(tmp_path: Path) -> None:
    prefix = find_prefix(make_venv(tmp_path / "p"))
    assert prefix.is_venv
    assert prefix.version == (MAJOR, MINOR)
    assert prefix.full_version.startswith(f"{MAJOR}.{MINOR}.")
    assert prefix.python == f"{tmp_path}/p/bin/python"
    assert prefix.scheme.headers == f"include/site/python{MAJOR}.{MINOR}"
    assert_scheme_is_that_of_its_python(prefix)


@pytest.mark.skipif(not other_pythons(), reason="no Python of another version here")
@pytest.mark.parametrize("python", other_pythons(), ids=lambda each: "{}.{}".format(*each.version))
def test_venv_of_another_python(tmp_path: Path, python: Python) -> None:
    subprocess.run([python.executable, "-I", "-m", "venv", "--without-pip", str(tmp_path / "p")], check=True)
    prefix = find_prefix(tmp_path / "p")
    assert prefix.version == python.version
    assert_scheme_is_that_of_its_python(prefix)


@pytest.mark.skipif(not importlib.util.find_spec("virtualenv"), reason="virtualenv is not installed")
def test_virtualenv(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "virtualenv", "--no-seed", "--no-periodic-update", "-q", str(tmp_path / "p")]
    subprocess.run(command, check=True)
    prefix = find_prefix(tmp_path / "p")
    assert prefix.version == (MAJOR, MINOR)
    assert_scheme_is_that_of_its_python(prefix)


@pytest.mark.skipif(not shutil.which("uv", path=os.path.dirname(sys.executable)), reason="uv is not installed")
def test_uv_venv(tmp_path: Path) -> None:
    uv = f"{os.path.dirname(sys.executable)}/uv"
    subprocess.run([uv, "venv", "-q", "--offline", "--python", sys.executable, str(tmp_path / "p")], check=True)
    prefix = find_prefix(tmp_path / "p")
    assert prefix.version == (MAJOR, MINOR)
    assert prefix.full_version.startswith(f"{MAJOR}.{MINOR}.")
    assert_scheme_is_that_of_its_python(prefix)


@pytest.mark.parametrize(
    ("cfg", "version", "full", "home"),
    [
        ("home = /usr/bin\nversion = 3.12.1\n", (3, 12), "3.12.1", "/usr/bin"),
        ("home = /a/bin\nversion_info = 3.12.1.final.0\nversion = 20\n", (3, 12), "3.12.1", "/a/bin"),
        ("home = /a/bin\nversion_info = 3.12.0.candidate.2\n", (3, 12), "3.12.0rc2", "/a/bin"),
        ("HOME=/a/bin\nVersion_Info=3.12\n", (3, 12), "3.12", "/a/bin"),
        ("home = /a/bin\r\nversion = 3.12.1\r\n\r\ngarbage\r\n", (3, 12), "3.12.1", "/a/bin"),
        ("home = /a/bin\n", (3, 12), "3.12", "/a/bin"),
        ("", (3, 12), "3.12", "/usr/bin"),
    ],
    ids=["venv", "virtualenv", "candidate", "upper-case", "crlf", "no-version", "empty"],
)
def test_pyvenv_cfg_spellings(tmp_path: Path, cfg: str, version: tuple[int, int], full: str, home: str) -> None:
    prefix = find_prefix(fake_venv(tmp_path / "p", cfg, "lib/python3.12/site-packages"))
    assert (prefix.version, prefix.full_version, prefix.home) == (version, full, home)
    assert prefix.scheme.purelib == "lib/python3.12/site-packages"
    assert prefix.is_venv


def test_venv_of_unknown_version_with_two_libraries_is_refused(tmp_path: Path) -> None:
    root = fake_venv(tmp_path / "p", "home = /usr/bin\n", "lib/python3.11", "lib/python3.12")
    with pytest.raises(PrefixError, match=r"pyvenv\.cfg names no version and .* has 2 directories.*; make the"):
        find_prefix(root)


def test_version_of_pyvenv_cfg_decides_between_two_libraries(tmp_path: Path) -> None:
    root = fake_venv(tmp_path / "p", "home = /usr/bin\nversion = 3.12.0\n", "lib/python3.11", "lib/python3.12")
    assert find_prefix(root).scheme.purelib == "lib/python3.12/site-packages"


def test_venv_whose_library_is_gone_still_has_its_paths(tmp_path: Path) -> None:
    root = fake_venv(tmp_path / "p", "home = /usr/bin\nversion = 3.12.0\n")
    assert find_prefix(root).scheme.purelib == "lib/python3.12/site-packages"


def test_free_threaded_venv(tmp_path: Path) -> None:
    root = fake_venv(tmp_path / "p", "home = /usr/bin\nversion = 3.13.0\n", "lib/python3.13t/site-packages")
    prefix = find_prefix(root)
    assert prefix.version == (3, 13)
    assert prefix.scheme.purelib == "lib/python3.13t/site-packages"


def test_lib64_that_is_a_link_is_the_same_library(tmp_path: Path) -> None:
    root = fake_venv(tmp_path / "p", "version = 3.12.0\n", "lib/python3.12/site-packages")
    (tmp_path / "p" / "lib64").symlink_to("lib")
    assert find_prefix(root).scheme.platlib == "lib/python3.12/site-packages"


def test_lib64_that_is_a_directory_is_the_platlib(tmp_path: Path) -> None:
    root = fake_venv(
        tmp_path / "p", "version = 3.12.0\n", "lib/python3.12/site-packages", "lib64/python3.12/site-packages"
    )
    scheme = find_prefix(root).scheme
    assert (scheme.purelib, scheme.platlib) == ("lib/python3.12/site-packages", "lib64/python3.12/site-packages")


@pytest.mark.parametrize("kind", ["missing", "file", "empty", "other-tree"])
def test_what_is_no_prefix_is_refused_in_one_sentence(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "p"
    if kind == "file":
        path.write_text("")
    elif kind != "missing":
        path.mkdir()
    if kind == "other-tree":
        (path / "lib").mkdir()
        (path / "lib" / "python3.12").write_text("a file")
    with pytest.raises(PrefixError) as caught:
        find_prefix(path)
    assert str(path) in str(caught.value)
    assert caught.value.advice
    assert "\n" not in str(caught.value)


def test_whole_installation_has_the_scheme_of_its_python(tmp_path: Path) -> None:
    make_installation(tmp_path / "p")
    prefix = find_prefix(tmp_path / "p")
    assert not prefix.is_venv
    assert prefix.full_version == sys.version.split()[0]
    assert prefix.python == f"{tmp_path}/p/bin/python{MAJOR}.{MINOR}"
    assert_scheme_is_that_of_its_python(prefix)
    assert os.path.relpath(sysconfig_paths(prefix.python)["include"], prefix.root) == prefix.scheme.headers


def test_the_base_interpreter_of_these_tests_read_only() -> None:
    if not os.access(sys.base_prefix, os.R_OK):
        pytest.skip("the base installation cannot be read")
    default = os.path.basename(os.path.realpath(f"{sys.base_prefix}/bin/python3"))
    if default not in (f"python{MAJOR}.{MINOR}", f"python{MAJOR}.{MINOR}t"):
        pytest.skip("another version is the default one there")
    prefix = find_prefix(sys.base_prefix)
    assert prefix.version == (MAJOR, MINOR)
    assert_scheme_is_that_of_its_python(prefix)


def test_whole_installation_whose_python_cannot_run_has_the_plain_layout(tmp_path: Path) -> None:
    (tmp_path / "p" / LIB).mkdir(parents=True)
    prefix = find_prefix(tmp_path / "p")
    site_packages = f"{LIB}/site-packages"
    assert prefix.scheme == Scheme(site_packages, site_packages, f"include/python{MAJOR}.{MINOR}", "bin", "")
    assert prefix.full_version == f"{MAJOR}.{MINOR}"


def test_several_pythons_in_one_installation_bin_python3_decides(tmp_path: Path) -> None:
    root = tmp_path / "p"
    for version in ("3.11", "3.12"):
        (root / "lib" / f"python{version}").mkdir(parents=True)
    (root / "bin").mkdir()
    (root / "bin" / "python3.12").write_text("#!/bin/false\n")
    assert find_prefix(root).version == (3, 12)
    (root / "bin" / "python3.11").write_text("#!/bin/false\n")
    with pytest.raises(PrefixError, match="several"):
        find_prefix(root)
    (root / "bin" / "python3").symlink_to("python3.11")
    assert find_prefix(root).version == (3, 11)


@pytest.mark.parametrize("library", ["python3.12", "python3.13t"])
def test_externally_managed_installation_is_refused_unless_told_otherwise(tmp_path: Path, library: str) -> None:
    root = tmp_path / "p"
    (root / "lib" / library).mkdir(parents=True)
    (root / "lib" / library / "EXTERNALLY-MANAGED").write_text("[externally-managed]\n")
    with pytest.raises(PrefixError, match=r"managed by the operating system.*--break-system-packages"):
        find_prefix(root, break_system_packages=False)
    assert find_prefix(root, break_system_packages=True).root == str(root)


def test_externally_managed_says_nothing_about_a_virtual_environment(tmp_path: Path) -> None:
    root = fake_venv(tmp_path / "p", "home = /usr/bin\nversion = 3.12.0\n", "lib/python3.12/site-packages")
    (tmp_path / "p" / "lib" / "python3.12" / "EXTERNALLY-MANAGED").write_text("")
    assert find_prefix(root, break_system_packages=False).is_venv


def test_the_name_in_shebangs_is_one_that_is_there(tmp_path: Path) -> None:
    root = tmp_path / "p"
    prefix = find_prefix(fake_venv(root, "version = 3.12.0\n", "lib/python3.12/site-packages", "bin"))
    assert prefix.python == f"{root}/bin/python"  # none is there yet: what a venv will have
    (root / "bin" / "python3.12").symlink_to("/nowhere")
    assert prefix.python == f"{root}/bin/python3.12"
    (root / "bin" / "python").symlink_to("python3.12")
    assert prefix.python == f"{root}/bin/python"


def test_an_environment_of_one_python_made_over_that_of_another_is_refused(tmp_path: Path) -> None:
    """`python3.13 -m venv` over an environment of 3.12 writes pyvenv.cfg anew, and leaves bin/python3 as it is."""
    venv = tmp_path / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "pyvenv.cfg").write_text("home = /usr/bin\nversion = 3.13.0\n")
    (tmp_path / "python3.12").touch()
    (venv / "bin/python3").symlink_to(tmp_path / "python3.12")
    with pytest.raises(PrefixError, match=r"says Python 3.13, but .*/bin/python3 leads to .*/python3.12"):
        find_prefix(venv)
    (tmp_path / "python3.12").rename(tmp_path / "python3.13")
    (venv / "bin/python3").unlink()
    (venv / "bin/python3").symlink_to(tmp_path / "python3.13")
    assert find_prefix(venv).version == (3, 13)
