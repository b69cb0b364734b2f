"""Clone the repository in a `git+` URL with git, and check out the revision after its @, as pip does."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

from sage_wheels import environment, processes
from sage_wheels.building.git_variables import OF_ONE_REPOSITORY
from sage_wheels.errors import SourceError
from sage_wheels.requirements.direct_url import DirectUrl
from sage_wheels.requirements.sources import GitRepository, SourceTree, without_credentials, written

_LAST_LINES = 20  # of git's output, to show with a failure
_PROJECT_FILES = ("pyproject.toml", "setup.py")


def clone(source: GitRepository, directory: str) -> tuple[SourceTree, DirectUrl]:
    """Clone `source`, with its submodules, to the new `directory`; returns the tree and its direct_url.json (PEP 610).

    Raises `SourceError` with the end of git's output.
    """
    if shutil.which("git") is None:
        raise SourceError(f"{written(source)} needs git, which is not installed", "install it, or name another source")
    _git(source, "clone", "--quiet", "--", source.url, directory)
    if source.revision:
        _git(source, "-C", directory, "checkout", "--quiet", "--detach", _commit_of(source, directory))
    if os.path.exists(os.path.join(directory, ".gitmodules")):
        _git(source, "-C", directory, "submodule", "--quiet", "update", "--init", "--recursive")
    project = os.path.join(directory, source.subdirectory)
    if not f"{os.path.realpath(project)}/".startswith(os.path.join(os.path.realpath(directory), "")):
        raise SourceError(f"the subdirectory of {written(source)} leads out of it", "name a directory below it")
    if not any(os.path.isfile(os.path.join(project, name)) for name in _PROJECT_FILES):
        raise SourceError(
            f"{written(source)} has neither pyproject.toml nor setup.py", "name the directory with #subdirectory="
        )
    return SourceTree(directory, source.asked, source.subdirectory), source.direct_url(_head(source, directory))


def _commit_of(source: GitRepository, directory: str) -> str:
    """The commit of the requested revision: a branch, else a tag, else any other name of a commit."""
    for each in (f"refs/remotes/origin/{source.revision}", f"refs/tags/{source.revision}", source.revision):
        done = _run("-C", directory, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{each}^{{commit}}")
        if done.returncode == 0:
            return done.stdout.strip()
    done = _run(
        "-C", directory, "fetch", "--quiet", "origin", source.revision
    )  # a revision that a clone does not have, such as refs/pull/1/head
    if done.returncode:
        raise SourceError(f"{written(source)} has no revision {source.revision}", "name a branch, a tag or a commit")
    return _git(source, "-C", directory, "rev-parse", "--verify", "FETCH_HEAD^{commit}")


def _head(source: GitRepository, directory: str) -> str:
    return _git(source, "-C", directory, "rev-parse", "--verify", "HEAD^{commit}")


def _git(source: GitRepository, *arguments: str) -> str:
    done = _run(*arguments)
    if done.returncode:
        end = "\n".join(done.stderr.replace(source.url, without_credentials(source.url)).splitlines()[-_LAST_LINES:])
        raise SourceError(f"git could not clone {written(source)}", "read its output, and check the URL", end)
    return done.stdout.strip()


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    processes.prepare()
    environ = {name: value for name, value in environment.for_processes().items() if name not in OF_ONE_REPOSITORY}
    if not sys.stderr.isatty():
        environ["GIT_TERMINAL_PROMPT"] = "0"
    return subprocess.run(
        ["git", *arguments],
        env=environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="locale",
        errors="replace",
        check=False,
    )
