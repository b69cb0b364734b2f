"""A build and its result as data: tasks are sent to an engine, and results returned, as JSON.

A task contains the format version; a worker with another format refuses it.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from sage_wheels.archive.strict_zip import WheelLimits
from sage_wheels.building.options import BuildOptions
from sage_wheels.errors import SageWheelsError
from sage_wheels.prefix import find_prefix
from sage_wheels.requirements import sources
from sage_wheels.requirements.sources import Asked

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from sage_wheels.requirements.sources import Source

FORMAT = 1

_KINDS = {
    kind.__name__: kind
    for kind in (
        *(sources.WheelFile, sources.SdistFile, sources.SourceTree, sources.RemoteFile, sources.Requirement),
        sources.GitRepository,
    )
}
_FOR_PEOPLE = {"on_phase", "on_note", "on_log", "on_requires", "build_all"}


class Task(NamedTuple):
    """The build of one source into `wheel_dir`. `number` is that of its project.

    `pending` are the names of projects of this run that have no wheel yet: if the backend turns out to require one of
    them that is not among the lines `known`, the build is given back with the lines that it needs first. `slots` is how
    many compilers it may run, `lines` how many bytes of its log another machine may send in a second.
    """

    number: int
    name: str
    source: Source
    wheel_dir: str
    options: BuildOptions
    pending: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    slots: int = 1
    lines: int = 0

    def to_json(self) -> str:
        """The task as one line."""
        asked = self.source.asked
        source = {**self.source._asdict(), "kind": type(self.source).__name__, "asked": list(asked)}
        options = {key: value for key, value in self.options._asdict().items() if key not in _FOR_PEOPLE}
        options["prefix"] = self.options.prefix.root if self.options.prefix else None
        options["config_settings"] = dict(self.options.config_settings)
        return json.dumps({**self._asdict(), "format": FORMAT, "source": source, "options": options})

    @classmethod
    def from_json(cls, line: str) -> Task:
        """Read what `to_json` wrote. Raises `ValueError` for another format, `PrefixError` if the prefix is gone."""
        told: dict[str, Any] = json.loads(line)
        if told.pop("format", None) != FORMAT:
            raise ValueError(f"a task of another format than {FORMAT}")
        source = told.pop("source")
        name, specifier, extras, hashes = source.pop("asked")
        kind = _KINDS[source.pop("kind")]
        options = told.pop("options")
        if options["prefix"]:
            options["prefix"] = find_prefix(options["prefix"])
        if options["wheel_limits"]:
            options["wheel_limits"] = WheelLimits(*options["wheel_limits"])
        options["find_links"] = tuple(options["find_links"])
        options["sandbox_read"] = tuple(options["sandbox_read"])
        options["cache_paths"] = tuple(map(tuple, options["cache_paths"]))
        asked = Asked(name, specifier, tuple(extras), tuple(hashes))
        return cls(
            **{
                **told,
                "source": kind(**{**source, "asked": asked}),
                "options": BuildOptions(**options),
                "pending": tuple(told["pending"]),
                "known": tuple(told["known"]),
            }
        )


class Result(NamedTuple):
    """The result of a task.

    status: "built"; "needs", with the `requires` that must be built first; "failed"; "killed", with the number of the
    signal as `what`; "cancelled".
    wheel, version, requires: path, version and Requires-Dist lines of the wheel that was built. `stored` is whether it
    came from the store; `stored_seconds` is how long its build had taken; `sandboxed` is whether that was in a sandbox.
    what, advice, details: describe a failure, as in `SageWheelsError`. `log` is the path of the log if there is one.
    lacks_memory: whether a process was killed by SIGKILL, as by a system that runs out of memory.
    ends_run: whether no other task can be done, either; for example, because Dask's scheduler is lost.
    phases: the seconds of each phase. `direct_url` is for direct_url.json.
    """

    number: int
    status: Literal["built", "needs", "failed", "killed", "cancelled"]
    wheel: str = ""
    version: str = ""
    requires: tuple[str, ...] = ()
    what: str = ""
    advice: str = ""
    details: str = ""
    log: str = ""
    phases: dict[str, float] = {}  # noqa: RUF012 - never changed
    direct_url: dict[str, Any] | None = None
    stored: bool = False
    stored_seconds: float = 0.0
    notes: tuple[str, ...] = ()
    lacks_memory: bool = False
    sandboxed: bool = False
    ends_run: bool = False

    @classmethod
    def of_error(cls, number: int, error: SageWheelsError, log: str = "") -> Result:
        return cls(number, "failed", what=error.what, advice=error.advice, details=error.details, log=log)

    def to_json(self) -> str:
        return json.dumps(self._asdict())

    @classmethod
    def from_json(cls, line: str) -> Result:
        told = json.loads(line)
        return cls(**{**told, "requires": tuple(told["requires"]), "notes": tuple(told["notes"])})
