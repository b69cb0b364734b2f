"""`git+` URLs as ITEMs: a real git, and pip beside it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from sage_wheels.building import GitRepository, parse_source
from support.projects import WRITING
from support.run import names, tool, tool_environment
from support.trees import make_prefix, site_packages

pytestmark = [
    pytest.mark.skipif(not any(map(os.path.exists, ("/usr/bin/git", "/usr/local/bin/git"))), reason="no git"),
    pytest.mark.once,
]
IDENTITY = {f"GIT_{who}_{what}": "a@b" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
PYPROJECT = """\
[project]
name = "hello"
version = "{version}"
[build-system]
requires = []
build-backend = "tiny"
backend-path = ["."]
"""


def git(directory: Path, *arguments: str) -> str:
    env = {**os.environ, **IDENTITY, "GIT_CONFIG_GLOBAL": os.devnull}
    done = subprocess.run(["git", *arguments], cwd=directory, env=env, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit(repository: Path, version: str, below: str = "") -> str:
    directory = repository / below
    directory.mkdir(exist_ok=True)
    (directory / "tiny.py").write_text(WRITING)
    (directory / "pyproject.toml").write_text(PYPROJECT.format(version=version))
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", version)
    return git(repository, "rev-parse", "HEAD")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """Version 1 has the tag v1, 2 is in a subdirectory and is the end of `main`, 3 is on a branch and a hidden ref."""
    made = tmp_path / "repository"
    made.mkdir()
    git(made, "init", "-q", "-b", "main")
    commit(made, "1.0")
    git(made, "tag", "v1")
    commit(made, "2.0", "below")
    git(made, "checkout", "-q", "-b", "next/one")
    commit(made, "3.0")
    git(made, "update-ref", "refs/pull/7/head", "HEAD")
    git(made, "checkout", "-q", "main")
    return made


@pytest.mark.parametrize(
    ("revision", "fragment", "version"),
    [
        ("", "", "1.0"),
        ("@v1", "#egg=hello", "1.0"),
        ("@main", "#subdirectory=below", "2.0"),
        ("@next/one", "", "3.0"),
        ("@refs/pull/7/head", "", "3.0"),
        ("@COMMIT", "#egg=hello&subdirectory=below", "2.0"),
    ],
)
def test_it_is_installed_as_pip_installs_it(
    repository: Path, tmp_path: Path, revision: str, fragment: str, version: str
) -> None:
    revision = revision.replace("COMMIT", git(repository, "rev-parse", "main"))
    url = f"git+{repository.as_uri()}{revision}{fragment}"
    told = []
    for each in ("pip", "ours"):
        prefix = make_prefix(tmp_path, each)
        if each == "pip":
            command = [
                sys.executable,
                "-m",
                "pip",
                "--python",
                str(prefix / "bin/python"),
                "install",
                "--no-index",
                url,
            ]
            subprocess.run(command, check=True, capture_output=True, env={**os.environ, "PIP_CONFIG_FILE": os.devnull})
        else:
            done = tool("install", "--prefix", prefix, "--cache-dir", tmp_path / "cache", url)
            assert done.returncode == 0, done.stderr
        assert names(prefix) == [f"hello {version}"]
        told.append(json.loads((site_packages(prefix) / f"hello-{version}.dist-info/direct_url.json").read_text()))
    assert told[0] == told[1]
    assert told[1]["vcs_info"]["vcs"] == "git"


def test_a_wheel_is_built(repository: Path, tmp_path: Path) -> None:
    url = f"hello @ git+{repository.as_uri()}@v1"
    done = tool("build", "--json", "--cache-dir", tmp_path / "cache", "-w", tmp_path, url)
    assert done.returncode == 0, done.stderr
    (built,) = json.loads(done.stdout)
    assert built["path"] == f"{tmp_path}/hello-1.0-py3-none-any.whl"
    assert built["direct_url"]["vcs_info"]["requested_revision"] == "v1"
    assert git(repository, "status", "--porcelain") == ""


def test_submodules_are_there(repository: Path, tmp_path: Path) -> None:
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", repository.as_uri(), "inner")
    git(outer, "commit", "-qm", "one")
    env = tool_environment(GIT_CONFIG_COUNT="1", GIT_CONFIG_KEY_0="protocol.file.allow", GIT_CONFIG_VALUE_0="always")
    url = f"git+{outer.as_uri()}#subdirectory=inner"
    done = tool("build", "--cache-dir", tmp_path / "cache", "-w", tmp_path, url, env=env)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "hello-1.0-py3-none-any.whl").exists()


def test_what_is_wrong_is_said(repository: Path, tmp_path: Path) -> None:
    (repository / "link").symlink_to("/")
    git(repository, "add", "-A")
    git(repository, "commit", "-qm", "link")
    for end, said in (
        ("@nothing", "has no revision nothing; name a branch, a tag or a commit"),
        ("#subdirectory=nowhere", "has neither pyproject.toml nor setup.py; name the directory with #subdirectory="),
        ("#subdirectory=link/tmp", "leads out of it"),
        ("#egg=other", "was asked for as other, but the project there is hello"),
    ):
        done = tool("build", "--cache-dir", tmp_path / "cache", "-w", tmp_path, f"git+{repository.as_uri()}{end}")
        assert done.returncode == 1, end
        assert said in done.stderr, done.stderr
    nowhere = tool("build", "--cache-dir", tmp_path / "cache", "-w", tmp_path, f"git+file://{tmp_path}/nowhere")
    assert nowhere.returncode == 1
    assert f"git could not clone git+file://{tmp_path}/nowhere" in nowhere.stderr
    assert list(tmp_path.glob("*.whl")) == []


def test_no_password_is_said() -> None:
    source = parse_source("x @ git+https://me:secret@example.org/x.git@v1")
    assert isinstance(source, GitRepository)
    assert source.url == "https://me:secret@example.org/x.git"
    assert source.direct_url("ab") == {
        "url": "https://example.org/x.git",
        "vcs_info": {"vcs": "git", "commit_id": "ab", "requested_revision": "v1"},
    }
    ssh = parse_source("git+ssh://git@example.org/x.git")
    assert isinstance(ssh, GitRepository)
    assert (ssh.url, ssh.revision, ssh.name) == ("ssh://git@example.org/x.git", "", "x")
