"""The side that builds: do the task in a parcel on this machine, which has its own cache, PATH, HOME and key.

`sender` is the side that sends parcels.
"""

from __future__ import annotations

import json
import os
import tarfile
import tempfile
import time

from sage_wheels import environment
from sage_wheels.building.backend.variables import counting
from sage_wheels.building.options import BuildOptions, finish_uploads, store_of
from sage_wheels.errors import FileOperationFailed, SageWheelsError
from sage_wheels.graph import worker
from sage_wheels.graph.parcel import ANSWER, LOG, content_of, exchange_of, identity, key_of_answer
from sage_wheels.graph.slots import Private
from sage_wheels.graph.tasks import Result, Task
from sage_wheels.requirements.sources import SdistFile, SourceTree
from sage_wheels.store import results
from sage_wheels.store.results import Content
from sage_wheels.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from sage_wheels.store.exchange import Exchange

_MOST_OF_DETAILS = 16 << 10


class _Lacks(Exception):
    """Raised if the store does not have a content of the parcel."""


def perform(line: str, on_event: Callable[[str, str], None]) -> tuple[str, str]:
    """Do the task in the parcel `line` on this machine, and return the answer.

    It is ("result", text for `Sender.unpack`), ("lacks", "") if files of the parcel have to be sent again, or
    ("differs", the reason why this machine must not do the task).
    """
    told = json.loads(line)
    if told["wanted"].get("tool") != __version__:  # then the rest may have another format
        return "differs", f"sage-wheels {__version__}"
    try:
        exchange = exchange_of(BuildOptions())
        task = Task.from_json(told["task"])
        ours = identity(task.options)
    except SageWheelsError as error:  # no store, no such interpreter, no such prefix
        return "differs", f"{error.what} ({error.advice})" if error.advice else error.what
    if told["wanted"] != ours._asdict():
        return "differs", str(ours)
    if not exchange.is_among(told["trusted"]):
        return "differs", "it signs with no key that is trusted here"
    key = key_of_answer(line)
    with tempfile.TemporaryDirectory(prefix="sage-wheels-") as own:
        try:
            local = _unpacked(task, told, exchange, own)
        except _Lacks:
            return "lacks", ""
        except (OSError, tarfile.TarError, SageWheelsError) as error:
            return "result", _sealed(_failed(task, error, "preparing the build"), key, (), exchange)
        _take_over(told["variables"])
        tools = BuildOptions().tools_directory()
        with Private(task.slots, environment.for_processes(), tools, told=task.slots) as pool:
            environment.add(pool.variables)
            result = worker.perform(local, on_event)
            finish_uploads()
        try:
            contents = _given(result, local, exchange, anew=told["anew"])
        except (OSError, SageWheelsError) as error:
            return "result", _sealed(_failed(task, error, "giving back what was built"), key, (), exchange)
        return "result", _sealed(result, key, contents, exchange)


def _failed(task: Task, error: Exception, doing: str) -> Result:
    if isinstance(error, SageWheelsError):
        return Result.of_error(task.number, error)
    failed = error if isinstance(error, OSError) else OSError(str(error))
    return Result.of_error(task.number, FileOperationFailed.from_os_error(failed, f"{doing} of {task.name}"))


def _take_over(variables: dict[str, str]) -> None:
    """Give the variables that a wheel may depend on the values that they have on the machine that sent the task."""
    environment.remove(counting(environment.for_processes()).keys() - variables.keys())
    environment.add(variables)


def _given(result: Result, task: Task, exchange: Exchange, *, anew: bool) -> tuple[Content, ...]:
    """Put the wheel and the log of the task into the store for the other machine. Raises what `Exchange.give` does."""
    contents = []
    for name, path in ((os.path.basename(result.wheel), result.wheel), (LOG, task.options.log)):
        if path and os.path.exists(path):
            contents.append(content_of(path, name))
            exchange.give(contents[-1], path, anew=anew)
    return tuple(sorted(contents))


def _sealed(result: Result, key: str, contents: tuple[Content, ...], exchange: Exchange) -> str:
    short = result._replace(details=result.details[-_MOST_OF_DETAILS:], log="")
    return exchange.sealed(results.Result(ANSWER, key, contents, {"result": short.to_json()}, int(time.time())))


def _unpacked(task: Task, told: dict[str, Any], exchange: Exchange, own: str) -> Task:
    """`task` with paths of this machine, below `own`. Raises `_Lacks`, `OSError`, `FileOperationFailed`."""
    local = store_of(BuildOptions()).local

    def fetch(told: list[Any], path: str) -> None:
        content = Content(*told)
        if not results.is_digest(content.digest):
            raise _Lacks
        if local.use_content(content.digest, content.size):
            os.symlink(local.content_path(content.digest), path)
        elif exchange.take(content, path):
            local.put_content(content.digest, path)
        else:
            raise _Lacks

    fetch(told["wheels"], f"{own}/wheels.json")
    with open(f"{own}/wheels.json", encoding="utf-8") as f:
        wheels = json.load(f)
    for kind, files in wheels.items():
        os.mkdir(f"{own}/{kind}")
        for each in files:
            fetch(each, f"{own}/{kind}/{os.path.basename(each[0])}")
    os.mkdir(f"{own}/source")
    source = task.source
    if isinstance(source, SdistFile):
        path = f"{own}/source/{os.path.basename(source.path)}"
        fetch(told["source"], path)
        source = source._replace(path=path)
    elif isinstance(source, SourceTree):
        path = f"{own}/source/{os.path.basename(source.path)}"
        os.mkdir(path)
        fetch(told["source"], f"{own}/tree.tar")
        with tarfile.open(f"{own}/tree.tar") as archive:
            archive.extraction_filter = getattr(tarfile, "tar_filter", None)  # Python 3.10 and 3.11 may have none
            archive.extractall(path)
        source = source._replace(path=path)
    options = task.options._replace(preferred=f"{own}/preferred", find_links=(f"{own}/find_links",), log=f"{own}/log")
    return task._replace(source=source, options=options, wheel_dir=f"{own}/dist")
