"""The environment variables of git about one repository, which are removed for backends and for git itself."""

from __future__ import annotations

# git sets these for the hooks that it runs. They name the repository of the hook, and a build in a hook may be that of
# another one. See git(1), "The Git Repository".
OF_ONE_REPOSITORY = frozenset(
    f"GIT_{name}"
    for name in ("DIR", "WORK_TREE", "IMPLICIT_WORK_TREE", "INDEX_FILE", "COMMON_DIR", "OBJECT_DIRECTORY", "PREFIX")
)
