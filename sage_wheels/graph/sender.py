"""The side that asks for builds: pack tasks into parcels for other machines, and read results from their answers.

The source, the wheels that the build may use, the built wheel and the log are sent through the store.
"""

from __future__ import annotations

import contextlib
import json
import os
import tarfile
import tempfile

from sage_wheels import environment
from sage_wheels.building.backend.variables import counting
from sage_wheels.building.delivery import deliver
from sage_wheels.errors import SageWheelsError, SourceError, UsageError
from sage_wheels.graph.parcel import ANSWER, LOG, MOST, content_of, identity, key_of_answer
from sage_wheels.graph.tasks import Result, Task
from sage_wheels.requirements.sources import SdistFile, SourceTree
from sage_wheels.store.results import Content

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

    from sage_wheels.building.options import BuildOptions
    from sage_wheels.store.exchange import Exchange


class Sender:
    """Packs tasks into parcels, and reads results from answers."""

    def __init__(self, exchange: Exchange, options: BuildOptions) -> None:
        """Raises `UsageError` for options that other machines cannot build with."""
        for name in ("in_place", "editable"):
            if getattr(options, name):
                raise UsageError(f"no other machine can build {name.replace('_', ' ')}", "build it without --engine")
        if not options.isolation:
            raise UsageError("what is installed here is not on other machines", "leave --no-isolation or --engine out")
        self.identity = identity(options)
        self._exchange = exchange
        self._logs = f"{options.cache_root()}/logs"
        self._known: dict[tuple[str, int, int, int], Content] = {}
        self._variables = counting(environment.for_processes())

    def pack(self, task: Task, *, anew: bool = False) -> str:
        """The parcel to send. Its files are put into the store; with `anew`, even if they seem to be there.

        Raises `OSError`, `SourceError`, `FileOperationFailed`.
        """
        options = task.options
        source = self._give_source(task, anew)
        wheels = {
            "preferred": self._give_wheels([options.preferred] if options.preferred else [], anew),
            "find_links": self._give_wheels(options.find_links, anew),
        }
        # paths of this machine are not sent, nor the address and the keys of the store
        plain = options._replace(preferred=None, find_links=(), cache_dir=None, usual_build_dir=None, log=None)
        plain = plain._replace(store_url=None, store_mode=None, store_sign=None, store_trust=None, cache_size=None)
        told = {
            "wanted": self.identity._asdict(),
            "trusted": self._exchange.trusted(),
            "anew": anew,
            "parcel": os.urandom(16).hex(),  # no two are the same
            "variables": self._variables,
            "task": task._replace(options=plain, wheel_dir="").to_json(),
            "source": source,
            "wheels": self._give_json(wheels, anew),
        }
        line = json.dumps(told)
        if len(line) > MOST:
            raise SourceError(f"the task of {task.name} has {len(line)} bytes", "build fewer sources in one call")
        return line

    def unpack(self, task: Task, line: str, answer: str) -> Result | None:
        """The result in the `answer` to the parcel `line`, with its files fetched; None if they cannot be fetched.

        Raises `signing.Untrusted` for an answer that is not accepted.
        """
        found = self._exchange.unsealed(answer, ANSWER, key_of_answer(line))
        result = Result.from_json(found.values["result"])._replace(number=task.number)
        contents = {content.name: content for content in found.contents}
        log = task.options.log or f"{self._logs}/{task.options.build_name or task.name}.log"
        has_log = LOG in contents and self._fetch(contents[LOG], log)
        result = result._replace(log=log if has_log else "")
        if isinstance(task.source, (SdistFile, SourceTree)):
            result = result._replace(direct_url=task.source.direct_url())
        if result.status != "built":
            return result
        name = os.path.basename(result.wheel)
        with tempfile.TemporaryDirectory(prefix="sage-wheels-") as own:
            if name not in contents or not name.endswith(".whl") or not self._fetch(contents[name], f"{own}/{name}"):
                return None
            try:
                return result._replace(wheel=deliver(f"{own}/{name}", task.wheel_dir))
            except SageWheelsError as error:
                return Result.of_error(task.number, error)

    def _fetch(self, content: Content, path: str) -> bool:
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return self._exchange.take(content, path)
        except (OSError, SageWheelsError):
            return False

    def _give_source(self, task: Task, anew: bool) -> Content | None:
        source = task.source
        if isinstance(source, SdistFile):
            return self._give(source.path, anew)
        if not isinstance(source, SourceTree):
            return None  # the other machine downloads it
        with tempfile.NamedTemporaryFile(prefix="sage-wheels-", suffix=".tar") as packed:
            with tarfile.open(packed.name, "w") as archive:
                archive.add(source.path, ".", filter=_plain)
            content = content_of(packed.name, "tree.tar")
            self._exchange.give(content, packed.name, anew=anew)
            return content

    def _give_wheels(self, directories: Iterable[str], anew: bool) -> list[Content]:
        found: dict[str, Content] = {}
        for directory in directories:
            for name in os.listdir(directory):
                if name.endswith(".whl") and not name.startswith(".") and name not in found:
                    with contextlib.suppress(FileNotFoundError):
                        found[name] = self._give(f"{directory}/{name}", anew)
        return sorted(found.values())

    def _give(self, path: str, anew: bool) -> Content:
        status = os.stat(path)
        key = (os.path.realpath(path), status.st_ino, status.st_size, status.st_mtime_ns)
        if key not in self._known:
            self._known[key] = content_of(path, os.path.basename(path))
        self._exchange.give(self._known[key], path, anew=anew)
        return self._known[key]

    def _give_json(self, told: object, anew: bool) -> Content:
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", prefix="sage-wheels-") as f:
            json.dump(told, f)
            f.flush()
            content = content_of(f.name, "wheels.json")
            self._exchange.give(content, f.name, anew=anew)
            return content


def _plain(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    """Leave out everything but files, directories and links, and remove the owners."""
    if not (member.isreg() or member.isdir() or member.issym() or member.islnk()):
        return None
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    return member
