"""Build requirements with a URL: the one wheel that each URL leads to, which then is the only one of its project.

A local wheel is used as it is. With an index allowed, pip downloads any other, and builds it if it is a source.
"""

from __future__ import annotations

import hashlib
import os

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sage_wheels import redaction
from sage_wheels.errors import BuildFailed, FileOperationFailed, SourceError, WheelsMissing
from sage_wheels.requirements import references
from sage_wheels.requirements.arguments import parse_source
from sage_wheels.requirements.markers import applies
from sage_wheels.requirements.sources import WheelFile, project_of_file

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Fetch = Callable[[str, str], None]  # puts a wheel for a requirement into a directory, which is made if needed


class Located:
    """The wheels that the URLs of requirements lead to; each is looked for once.

    `markers` are those of the building interpreter. What is downloaded by `fetch` is kept in `directory`; without
    `fetch`, nothing is.
    """

    def __init__(self, markers: Mapping[str, str], directory: str, fetch: Fetch | None) -> None:
        self._markers = markers
        self._directory = directory
        self._fetch = fetch
        self._paths: dict[str, str] = {}

    def split(self, asked: Iterable[tuple[str, str]]) -> tuple[list[tuple[str, str]], dict[str, str], list[str]]:
        """`asked` without URLs, the path of the wheel for each project that had one, and `asked` for pip.

        `asked` has requirements, and who has each of them, for messages. Raises `BuildFailed`.
        """
        names: list[tuple[str, str]] = []
        wheels: dict[str, str] = {}
        for_pip: list[str] = []
        for line, asker in asked:
            requirement = self._with_url(line)
            if requirement is None:
                names.append((line, asker))
                for_pip.append(line)
                continue
            path = self._wheel(requirement, line, asker)
            project = canonicalize_name(requirement.name)
            if wheels.setdefault(project, path) != path:
                raise WheelsMissing(
                    f"{asker} asks for {requirement.name} at two URLs", "leave one of them out", [project]
                )
            extras = f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
            name = f"{requirement.name}{extras}"
            names.append((name, asker))
            for_pip.append(references.requirement(name, references.file_url(path)))
        return names, wheels, for_pip

    def _with_url(self, line: str) -> Requirement | None:
        """The requirement in `line`, if it has a URL and its marker is true. The resolver refuses what is invalid."""
        if "@" not in line:
            return None
        try:
            requirement = Requirement(line)
            return requirement if requirement.url and applies(requirement, self._markers) else None
        except (InvalidRequirement, RecursionError):
            return None

    def _wheel(self, requirement: Requirement, line: str, asker: str) -> str:
        if line not in self._paths:
            self._paths[line] = self._look(requirement, asker)
        return self._paths[line]

    def _look(self, requirement: Requirement, asker: str) -> str:
        told = references.requirement(requirement.name, requirement.url or "")
        plain = redaction.url(told)
        try:
            source = parse_source(told)
        except (SourceError, FileOperationFailed) as error:
            raise BuildFailed(f"{error.what} (asked for by {asker})", error.advice) from error
        if isinstance(source, WheelFile):
            return source.path
        if self._fetch is None:
            raise WheelsMissing(
                f"{asker} asks for {plain}, which is no wheel on this machine",
                "allow pip to get it with --index, or ask for it by name and put its wheel into the wheelhouse",
            )
        directory = os.path.join(self._directory, hashlib.sha256(told.encode()).hexdigest()[:16])
        self._fetch(told, directory)
        project = canonicalize_name(requirement.name)
        for name in sorted(os.listdir(directory)):
            if canonicalize_name(project_of_file(name)) == project:
                return os.path.join(directory, name)
        raise BuildFailed(f"{asker} asks for {plain}, which is another project", "correct its name or its URL")
