"""The environment variables of git about one repository, which are removed for backends and for git itself."""

from __future__ import annotations

# What git sets for the hooks that it runs: they speak of the repository of the hook, which need not be the one of what
# is built. git(1), "The Git Repository".
OF_ONE_REPOSITORY = frozenset(
    f"GIT_{name}"
    for name in ("DIR", "WORK_TREE", "IMPLICIT_WORK_TREE", "INDEX_FILE", "COMMON_DIR", "OBJECT_DIRECTORY", "PREFIX")
)
