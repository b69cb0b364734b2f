"""Perform one task: build a source, and return the result.

Each task runs in its own process. So it can be ended with all processes that it has started; and if it is killed, by a
signal or for lack of memory, the others continue.
"""

from __future__ import annotations

from packaging.requirements import InvalidRequirement, Requirement
from packaging.utils import canonicalize_name

from sage_wheels.building import project
from sage_wheels.building.directory import ON_ANOTHER_DISK
from sage_wheels.errors import BuildFailed, FileOperationFailed, SageWheelsError
from sage_wheels.graph.tasks import Result, Task
from sage_wheels.wheel.wheel import Wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable


class _NeedsFirst(SageWheelsError):
    """Raised if the backend requires sources of this run that are not built yet."""

    def __init__(self, lines: Iterable[str]) -> None:
        super().__init__("what it requires is not built yet")
        self.lines = sorted(lines)


def preload() -> None:
    """Import the modules that every build needs, so that processes forked afterwards have them already."""
    import contextlib
    import gc
    import importlib.resources

    importlib.resources.files("build")  # imports what `pyproject_hooks` needs to find its script
    with contextlib.suppress(ImportError):  # a Python without libffi
        importlib.import_module("ctypes")  # for `processes`
    for name in (
        *("build", "pyproject_hooks", "sage_wheels.building.environment.resolve", "sage_wheels.building.nameless"),
        *("sage_wheels.building.inputs.machine", "sage_wheels.building.inputs.paths", "sage_wheels.wheel.tags"),
        *("sage_wheels.building.inputs.repositories", "sage_wheels.building.inputs.source"),
        *("sage_wheels.building.inputs.interpreter", "sage_wheels.building.inputs.tools"),
        *("sage_wheels.building.inputs.libraries", "sage_wheels.building.inputs.elf", "mmap"),
        *("sage_wheels.building.environment.wheelhouse", "sage_wheels.archive.unpack", "gzip", "configparser"),
        *("encodings.ascii", "encodings.cp437", "encodings.unicode_escape"),
        *("encodings.utf_16_le", "encodings.utf_16_be", "encodings.utf_32_le"),
    ):
        importlib.import_module(name)
    gc.freeze()  # else the garbage collection of each process would copy memory that all of them share


def perform(task: Task, on_event: Callable[[str, str], None]) -> Result:
    """Build the source of `task`.

    `on_event` is called with ("phase", NAME), ("note", SENTENCE) and ("log", PATH) meanwhile.
    When it returns, uploads to a store of several machines may not be finished (`building.options.finish_uploads`).
    """
    options = task.options._replace(
        on_phase=lambda name: on_event("phase", name),
        on_note=lambda sentence: on_event("note", sentence),
        on_log=lambda path: on_event("log", path),
        on_requires=lambda lines: _look_for_pending(task, lines),
    )
    try:
        built = project.build_wheel(task.source, wheel_dir=task.wheel_dir, options=options)
        with Wheel(built.path, task.options.wheel_limits) as wheel:
            version, requires = wheel.version, tuple(wheel.metadata.get("requires-dist", ()))
    except _NeedsFirst as needs:
        return Result(task.number, "needs", requires=tuple(needs.lines))
    except BuildFailed as failure:
        return Result.of_error(task.number, failure, failure.log)._replace(lacks_memory=failure.was_killed)
    except SageWheelsError as error:
        return Result.of_error(task.number, error)
    except OSError as error:
        failed = FileOperationFailed.from_os_error(error, f"building {task.name}", full=ON_ANOTHER_DISK)
        return Result.of_error(task.number, failed)
    return Result(
        task.number,
        "built",
        wheel=built.path,
        version=version,
        requires=requires,
        phases=built.phases,
        log=built.log or "",
        direct_url=built.direct_url,
        stored=built.is_stored,
        stored_seconds=built.stored_seconds,
        sandboxed=built.is_sandboxed,
        notes=built.notes,
    )


def _look_for_pending(task: Task, lines: Iterable[str]) -> None:
    new = set(lines) - set(task.known)
    if any(_name(line) in task.pending for line in new):
        raise _NeedsFirst(new)


def _name(line: str) -> str:
    try:
        return canonicalize_name(Requirement(line).name)
    except (InvalidRequirement, RecursionError):
        return ""  # the resolver will report it
