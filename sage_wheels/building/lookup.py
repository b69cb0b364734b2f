"""Look for a wheel in the store before a build, and keep the wheel there after it.

Nothing here makes a build fail. If the inputs cannot all be found out, nothing is taken or kept, and the log says why.
"""

from __future__ import annotations

import contextlib
import os

from sage_wheels.building.backend.variable_names import is_keyed
from sage_wheels.building.keyable import NotKeyable
from sage_wheels.building.log import noted
from sage_wheels.building.stored import Round
from sage_wheels.errors import SageWheelsError, printable
from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import TypeVar

    from sage_wheels.building.explaining import Explanation
    from sage_wheels.building.inputs.source import Source
    from sage_wheels.building.options import BuildOptions
    from sage_wheels.building.providing import Provider
    from sage_wheels.building.source.replica import SourceCopy
    from sage_wheels.building.stored import Declared, StoredBuild, Taken
    from sage_wheels.requirements.sources import SdistFile
    from sage_wheels.store.store import Store

    _T = TypeVar("_T")


class Given(NamedTuple):
    """What is built: an `sdist`, which `unpack` unpacks; or the `copy` of the source `tree`, with `project` in it."""

    project: str | None
    copy: SourceCopy | None
    tree: str
    sdist: SdistFile | None
    unpack: Callable[[], str]


class Made(NamedTuple):
    """What was built: the `wheel`; `rounds`, the requirements of each call of the backend with the wheels in its
    environment; `first`, the wheels that were there when the backend was asked for its requirements. `is_intact` is
    whether the build environment was not changed, `log` the text of the log, `seconds` how long the build took, and
    `why_not` the reason if the store cannot keep it."""

    wheel: str
    rounds: list[tuple[Round, list[list[str]]]]
    first: list[list[str]]
    is_intact: bool
    log: str
    seconds: float
    why_not: str = ""


class Lookup:
    """Asks the store for the build of `provider`; `why_not` is the reason if nothing is taken or kept."""

    def __init__(self, provider: Provider) -> None:
        self.provider = provider
        self.name, self.directory = provider.name, provider.directory
        self.options, self.log = provider.options, provider.log
        self.why_not = ""
        self.stored: StoredBuild | None = None

    def begin(self, given: Given, environ: Mapping[str, str]) -> bool:
        """Find out the inputs: the source `given`, and the backend's variables. Returns whether that is possible."""
        from sage_wheels.building import stored

        reason = stored.why_not(self.options)
        try:
            self.stored = None if reason else self._keyed(given, environ)
        except (NotKeyable, OSError, SageWheelsError) as error:
            reason = str(error)
        if reason:
            self._unkeyed(reason)
        return self.stored is not None

    def _unkeyed(self, reason: str) -> None:
        self.log.write(f"--- {self.name} is not kept in the store: {printable(reason)}")
        self.why_not = reason

    def _keyed(self, given: Given, environ: Mapping[str, str]) -> StoredBuild:
        from sage_wheels.building import stored

        opened = self.provider.store
        sandbox = self.provider.sandbox
        is_closed = sandbox is not None and sandbox.is_closed
        images = self.provider.images
        files: dict[str, str] = {}
        if given.sdist:
            digest = images.digest(given.sdist.path)
            source: dict[str, object] = {"sdist": digest, "subdirectory": given.sdist.subdirectory}
            declared = _declared_by(opened, digest, given.sdist.subdirectory, given.unpack)
        else:
            assert given.project
            found = self._source_of_copy(given.project, given.copy, given.tree, self._told(environ))
            where = os.path.relpath(given.project, self.directory)
            source = {"tree": found.digest, "project": where, "repositories": found.repositories}
            files = found.files
            declared = stored.read_declared(given.project)
            declared = declared and declared._replace(absolute=found.absolute)
        if declared is None:
            raise NotKeyable("its pyproject.toml does not say in the standard way how it is built")
        path = self.provider.importable(environ)
        named_paths = {"build": self.provider.seen_at(), **dict(self.options.cache_paths)}
        if self.options.prefix:
            named_paths["prefix"] = self.options.prefix.root
        return stored.StoredBuild(
            opened,
            images,
            self.options,
            name=self.name,
            source=source,
            declared=declared,
            environ=environ,
            named_paths=named_paths,
            files=files,
            tree=os.path.realpath(given.tree) if given.tree else "",
            is_closed=is_closed,
            importable=path,
            called=self.provider.called(),
        )

    def _source_of_copy(self, project: str, copy: SourceCopy | None, tree: str, told: list[str]) -> Source:
        """The fingerprint of the copy of the source tree; `told` are the values of variables and settings."""
        from sage_wheels.building.inputs.repositories import states
        from sage_wheels.building.inputs.source import fingerprint
        from sage_wheels.building.source.git import Git

        if copy is None:
            raise NotKeyable("it was cloned for this build, and its submodules are not examined")
        tree = os.path.realpath(tree)
        if copy.unreadable:
            raise NotKeyable(f"{copy.unreadable[0]} cannot be read")
        if copy.refused:
            raise NotKeyable("git refuses to read a repository that it is part of")
        repositories = states(copy.repositories, Git(), tree, copy.left_out)
        return fingerprint(copy.path, tree, repositories, self.log.path, told=told, project=project)

    def _told(self, environ: Mapping[str, str]) -> list[str]:
        """The values of variables and settings that the wheel may depend on."""
        settings = self.options.config_settings.values()
        texts = [text for each in settings for text in ([each] if isinstance(each, str) else each)]
        return [*texts, *(value for name, value in environ.items() if is_keyed(name))]

    def taken(self, required: Callable[[set[str]], object]) -> Taken | None:
        """The wheel from the store; None if it has to be built.

        `required` is called with the requirements of the build; its errors are raised.
        """
        stored = self.stored
        if stored is None or self.options.rebuild:
            return None
        required(set(stored.declared.requires))
        rounds = self._asked(lambda: stored.requires(self._wheels_for(Round(stored.declared.requires, []))))
        if rounds is None:
            return None
        required({line for each in rounds for line in (*each.declared, *each.more)})
        inputs = self._asked(lambda: stored.inputs(list(map(self._wheels_for, rounds))))
        found = stored.find(inputs) if inputs else None
        if found is None:
            return None
        if lack := stored.lack(found):
            self._tell(f"the wheel of {self.name} in the store is not taken: {lack}")
            return None
        return stored.take(found, f"{self.directory}/out")

    def _tell(self, sentence: str) -> None:
        """Print a sentence, and write it to the log."""
        sentence = printable(sentence)
        if self.options.on_note:
            self.options.on_note(sentence)
        self.log.write(noted(sentence))

    def _asked(self, ask: Callable[[], _T]) -> _T | None:
        """What `ask` returns; None if it raises an error, which the build will report."""
        try:
            return ask()
        except (NotKeyable, SageWheelsError, OSError) as error:
            self.log.write(f"--- the store was not asked: {printable(str(error))}")
            return None

    def _wheels_for(self, needed: Round) -> list[list[str]]:
        return self.provider.wheels_for(*needed)

    def keep(self, made: Made) -> None:
        """Keep what was built, under the wheels that were used; they may differ from those that were looked up."""
        stored = self.stored
        if stored is None:
            return
        if not made.is_intact:
            self._unkeyed("its backend has changed files of its build environment, which others build with, too")
            return
        if made.why_not:
            self._unkeyed(made.why_not)
            return
        log = f"{self.directory}/stored.log"
        try:
            first = made.first if self.options.isolation else self._wheels_for(Round(stored.declared.requires, []))
            inputs = stored.inputs([wheels for _, wheels in made.rounds])
            with open(log, "w", encoding="utf-8") as f:
                f.write(stored.without_values(made.log))
            stored.keep(inputs, made.wheel, log, made.seconds)
            stored.keep_requires(first, [needed for needed, _ in made.rounds])
            stored.store.tidy()
        except (NotKeyable, SageWheelsError, OSError) as error:
            self._unkeyed(str(error))

    def explained(self) -> Explanation:
        """Whether the build would be taken from the store, and what differs from the last one."""
        from sage_wheels.building import explaining

        stored = self.stored
        if stored is None:
            return explaining.Explanation(self.name, self.why_not)
        try:
            first = self._wheels_for(Round(stored.declared.requires, []))
            rounds = stored.requires(first) or stored.requires(first, is_any=True)
            wheels = list(map(self._wheels_for, rounds)) if rounds else [first]
            inputs = stored.inputs(wheels)
        except (NotKeyable, OSError) as error:
            return explaining.Explanation(self.name, str(error))
        found = stored.find(inputs) if rounds else None
        explained = explaining.compared(stored, inputs, found, is_whole=rounds is not None)
        if self.options.rebuild and explained.is_stored:
            return explained._replace(is_stored=False, differences=["--rebuild builds what is in the store, too"])
        return explained


def look_ahead(options: BuildOptions, environ: Mapping[str, str]) -> None:
    """Find out what all builds with these options look for: the interpreter, the tools of `environ`, /usr/local.

    The processes that are then forked from this one know it. What cannot be found out, each build will report.
    """
    from sage_wheels.building import stored
    from sage_wheels.building.backend.variables import for_build
    from sage_wheels.building.environment.interpreter import find_building
    from sage_wheels.building.inputs import interpreter, machine, tools
    from sage_wheels.building.options import store_of

    with contextlib.suppress(NotKeyable, SageWheelsError, OSError):
        store = store_of(options)
        building = find_building(options.python, options.prefix, store.root)
        if not stored.why_not(options):
            compilers = interpreter.facts(building, store)["compilers"]
            tools.Tools(for_build(environ).environ, compilers).versions(store)
            machine.look_ahead()


def look_again(options: BuildOptions) -> None:
    """Look again at what may have changed since `look_ahead`, if that was more than a moment ago."""
    from sage_wheels.building import stored
    from sage_wheels.building.inputs import machine

    if not stored.why_not(options):
        machine.look_ahead()


def _declared_by(store: Store, digest: str, subdirectory: str, unpack: Callable[[], str]) -> Declared | None:
    """What the sdist with this digest declares; it is unpacked only if the store does not know it."""
    from sage_wheels.building import stored

    declared = stored.declared_of(store, digest, subdirectory)
    if declared is None:
        project = unpack()
        declared = stored.read_declared(project)
        if declared:
            from sage_wheels.building.inputs.absolute import named_by

            declared = declared._replace(absolute=named_by(project))
            stored.keep_declared(store, digest, subdirectory, declared)
    return declared
