"""The result of a build in the store: its inputs, finding it, and keeping it.

There are two look-ups, so that a hit need not start the backend. The requirements that the backend returns are a result
of their own; its key contains the wheels that pyproject.toml declares. The key of the built wheel contains all wheels
that were then chosen. A wheel that contains the path of the build directory or of the prefix is under a further key
with that path; the result under the first key then has no wheel, but says which paths the further key contains.

If the inputs cannot all be found out, nothing is kept (`NotKeyable`).
"""

from __future__ import annotations

import os

from sage_wheels import environment
from sage_wheels.building.backend.variables import keyed, with_names
from sage_wheels.building.in_place import named_build_directory
from sage_wheels.building.inputs import backends
from sage_wheels.building.keyable import NotKeyable
from sage_wheels.named import NamedTuple
from sage_wheels.store.results import key_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from typing import Any

    from sage_wheels.building.environment.images import ImageCache
    from sage_wheels.building.inputs.libraries import Here
    from sage_wheels.building.options import BuildOptions
    from sage_wheels.building.source.pyproject import Early
    from sage_wheels.store.results import Result
    from sage_wheels.store.store import Store

_FORMAT = 6  # of the inputs of a build; raise it when this program builds differently
LOG = "build.log"
# Variables whose values are in a result, because they explain it and are not secret.
_TOLD = ("CC", "CXX", "FC", "CFLAGS", "CXXFLAGS", "CPPFLAGS", "FFLAGS", "LDFLAGS", "ARCHFLAGS", "SOURCE_DATE_EPOCH")
_BUILD_DIRECTORY = "SKBUILD_BUILD_DIR"  # of scikit-build-core
_SHORTEST = 8  # characters of a value that may be a secret
_ROUND = ([str], [str])
_SANDBOXED = "sandboxed"  # the value of a result that says how it was made


class Declared(NamedTuple):
    """The build system that a source declares. `plain` is from `backends.plain_reason`: "" if the backend may run code
    of the project. `absolute` are the absolute paths that an sdist names; for a tree, the fingerprint has them."""

    requires: list[str]
    backend: str
    backend_path: list[str]
    plain: str
    absolute: list[str]


class Taken(NamedTuple):
    """The path of a wheel that came from the store, the seconds that its build had taken, and whether that was in a
    sandbox."""

    wheel: str
    seconds: float
    is_sandboxed: bool


class Round(NamedTuple):
    """The requirements of one call of a backend: those that are declared, and those that it asked for in addition."""

    declared: list[str]
    more: list[str]


_DECLARED = {"requires": [str], "backend": str, "backend_path": [str], "plain": str, "absolute": [str]}


def declared_of(store: Store, sdist: str, subdirectory: str) -> Declared | None:
    """What the sdist with this digest declares, if it was unpacked before."""
    from sage_wheels.fs.caches import has_shape

    found = store.result("declared", key_of("declared", [_FORMAT, sdist, subdirectory]))
    return Declared(**found.values) if found and has_shape(found.values, _DECLARED) else None


def keep_declared(store: Store, sdist: str, subdirectory: str, declared: Declared) -> None:
    store.keep("declared", key_of("declared", [_FORMAT, sdist, subdirectory]), declared._asdict())


def read_declared(project: str) -> Declared | None:
    """What the source tree `project` declares; None if its pyproject.toml is invalid."""
    from sage_wheels.building.source import pyproject

    document = pyproject.load(project)
    found: Early | None = pyproject.build_system(document) if document is not None else None
    if document is None or found is None:
        return None
    plain = backends.plain_reason(project, document, found.backend, found.backend_path)
    return Declared(sorted(found.requires), found.backend, list(found.backend_path), plain, [])


class StoredBuild:
    """The inputs of one build, and its results in the store.

    `source` are the inputs from the source, `environ` the variables of the backend. `named_paths` are paths that the
    key contains by their names. `is_closed` is whether it is built in a sandbox. `importable` is the search path of a
    build that may import everything there, `called` the name of the Python of a build without isolation. `tree`
    is that of the source; "" for an sdist. Raises `NotKeyable`.
    """

    def __init__(
        self,
        store: Store,
        images: ImageCache,
        options: BuildOptions,
        *,
        name: str,
        source: Mapping[str, Any],
        declared: Declared,
        environ: Mapping[str, str],
        named_paths: Mapping[str, str],
        files: Mapping[str, str],
        tree: str = "",
        is_closed: bool = False,
        importable: list[str] | None = None,
        called: str = "",
    ) -> None:
        self.store = store
        self.name = name
        self.declared = declared
        self.named_paths = dict(named_paths)
        self.files = dict(files)
        self._images = images
        self._options = options
        self._tree = tree
        self._is_closed = is_closed
        self._environ = environ
        self._machine: dict[str, Any] | None = None
        self._libraries: Here | None = None
        self.common: dict[str, Any] = {
            "format": _FORMAT,
            "source": dict(source),
            "backend": [declared.backend, declared.backend_path],
            "sdist first": options.sdist_then_wheel,
            "isolation": options.isolation,
            "settings": [[key, self._with_names(value)] for key, value in options.config_settings.items()],
            "interpreter": self._interpreter(),
            "variables": keyed(environ, self.named_paths),
        }
        if called:
            self.common["called"] = called
        if importable is not None:
            from sage_wheels.building.inputs.installed import everything

            self.common["installed"] = everything(importable)

    def _with_names(self, value: str | list[str]) -> str | list[str]:
        one = [with_names(each, self.named_paths) for each in ([value] if isinstance(value, str) else value)]
        return one[0] if isinstance(value, str) else one

    def _interpreter(self) -> dict[str, str]:
        from sage_wheels.building.inputs import interpreter

        return interpreter.facts(self._images.building, self.store)

    def machine(self) -> dict[str, Any]:
        """The inputs of a compilation from this machine. Raises `NotKeyable`."""
        if self._machine is None:
            from sage_wheels.building.inputs import absolute, directories, machine, tools

            options = self._options
            vouched_for = self.named_paths.values() if options.cache_system else ()
            found = tools.Tools(self._environ, self.common["interpreter"]["compilers"], vouched_for)
            texts = [
                f"-D{key.removeprefix('cmake.define.')}={each}" if key.startswith("cmake.define.") else f"{key}={each}"
                for key, value in options.config_settings.items()
                for each in ([value] if isinstance(value, str) else value)
            ]
            texts.append(directories.without_managed(self.common["interpreter"]["options"]))
            home = self._environ.get("HOME") or os.path.expanduser("~")
            around = [*self.named_paths.values(), self.store.root]
            files, named = absolute.there(self.declared.absolute, self._tree, home, around)
            self._machine = {
                "tools": found.versions(self.store),
                "home": machine.home(self._environ),
                "files": machine.named_files(self._environ, texts, files, self.named_paths),
                "processor": options.cache_cpu or machine.processor(),
                "system": options.cache_system
                or {
                    **machine.system(
                        self._environ, texts, [*options.sandbox_read, *named], self.named_paths, self.store
                    ),
                    **found.elsewhere(self.store),
                },
            }
        return self._machine

    def inputs(self, rounds: list[list[list[str]]]) -> dict[str, Any]:
        """All inputs, with these wheels (name, version, digest) in each round's environment. Raises `NotKeyable`."""
        names = [each[0] for wheels in rounds for each in wheels]
        plain = self._options.isolation and backends.is_plain(self.declared.plain, names)
        machine = {} if plain else self.machine()
        if plain and self.declared.plain.startswith("setuptools"):
            from sage_wheels.building.inputs.machine import home

            machine = {"home": home(self._environ)}  # setuptools always reads its own file there
        return {**self.common, **machine, "wheels": rounds}

    def requires(self, wheels: list[list[str]], *, is_any: bool = False) -> list[Round] | None:
        """The requirements of each call of the backend, if they are known for these inputs; `is_any` as for `find`."""
        from sage_wheels.fs.caches import has_shape

        found = self._result("requires", self._requires_key(wheels), is_any=is_any)
        if not found or not has_shape(found.values.get("rounds"), [_ROUND]):
            return None
        return [Round(*each) for each in found.values["rounds"]]

    def keep_requires(self, wheels: list[list[str]], rounds: list[Round]) -> None:
        values = {"rounds": rounds, _SANDBOXED: self._is_closed}
        self.store.keep("requires", self._requires_key(wheels), values, shared=True)

    def _requires_key(self, wheels: list[list[str]]) -> str:
        return key_of("requires", self.inputs([wheels]))

    def find(self, inputs: Mapping[str, Any], *, is_any: bool = False) -> Result | None:
        """The result of a build with these inputs and, if the wheel contains paths, with the same paths.

        With `is_any`, also a result that is not used because it was not built in a sandbox.
        """
        found = self._result("wheel", key_of("wheel", inputs), is_any=is_any)
        if found and not found.contents:
            names = self._paths_of(found)
            found = self._result("wheel", self._key_with(inputs, names), is_any=is_any) if names else None
        return found if found and found.contents else None

    def paths_in(self, inputs: Mapping[str, Any]) -> list[str]:
        """The names of the paths that the wheel with these inputs contains; [] if it has none, or none is known."""
        found = self._result("wheel", key_of("wheel", inputs), is_any=True)
        return self._paths_of(found) if found and not found.contents else []

    def _paths_of(self, result: Result) -> list[str]:
        names = result.values.get("paths", [])
        return names if isinstance(names, list) and all(each in self.named_paths for each in names) else []

    def _result(self, kind: str, key: str, *, is_any: bool = False) -> Result | None:
        """A result of this or another machine; only one that was built in a sandbox, if the options ask for that."""
        is_wanted = _is_sandboxed if (self._is_closed or self._options.store_sandboxed) and not is_any else None
        return self.store.result(kind, key, shared=True, is_wanted=is_wanted)

    def _key_with(self, inputs: Mapping[str, Any], names: list[str]) -> str:
        from sage_wheels.building.inputs.paths import spellings

        return key_of("wheel", {**inputs, "paths": {name: spellings(self.named_paths[name]) for name in names}})

    def lack(self, result: Result) -> str:
        """A clause that says which shared library of the wheel is missing on this machine; "" if none is."""
        told = result.values.get("libraries")
        if told == []:
            return ""  # without the import
        from sage_wheels.building.inputs import libraries

        needed = libraries.from_values(told)
        if needed is None:
            return "the list of libraries that it needs is invalid"
        return next(filter(None, map(self._here().lack, needed)), "")

    def _here(self) -> Here:
        if self._libraries is None:
            from sage_wheels.building.inputs import libraries

            paths = [path for name, path in self.named_paths.items() if name != "build"]
            own = libraries.libraries_of(self._images.building.executable, paths)
            self._libraries = libraries.Here(self._environ, own)
        return self._libraries

    def take(self, result: Result, directory: str) -> Taken | None:
        """Write the wheel of a result of `find` into `directory`; None if the store does not have it any more."""
        file = next((each.name for each in result.contents if each.name.endswith(".whl")), None)
        if file is None:
            return None
        try:
            os.makedirs(directory, exist_ok=True)
        except OSError:
            return None
        path = f"{directory}/{file}"
        seconds = result.values.get("seconds")
        if not self.store.fetch(result, file, path, shared=True):
            return None
        return Taken(path, seconds if isinstance(seconds, float) else 0.0, _is_sandboxed(result))

    def without_values(self, log: str) -> str:
        """The log with values of variables replaced by the names, except for those in `_TOLD`.

        A log is sent to other machines, and backends print variables. Short values stay: they are words, not secrets.
        """
        everything = {**environment.for_processes(), **self._environ}  # our own lines may have other variables
        values = {form: name for name, value in everything.items() if name not in _TOLD for form in _written(value)}
        for value in sorted(values, key=len, reverse=True):
            if len(value) >= _SHORTEST:
                log = log.replace(value, f"${values[value]}")
        return log

    def keep(self, inputs: Mapping[str, Any], wheel: str, log: str, seconds: float) -> None:
        """Keep the wheel that was built from these inputs. Raises `NotKeyable` if it depends on anything else."""
        import zipfile
        import zlib

        from sage_wheels.building.inputs.libraries import Collector
        from sage_wheels.building.inputs.paths import named_in

        libraries = Collector()
        try:
            names = named_in(wheel, self.named_paths, libraries.look)
        except (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
            raise NotKeyable(f"its wheel cannot be searched ({error})") from error
        system = inputs.get("system")
        is_unknown = isinstance(system, dict) and "packages" not in system
        if is_unknown and not os.path.basename(wheel).endswith("-none-any.whl"):
            raise NotKeyable("it has compiled files, and this system does not say which packages are installed")
        variables = inputs["variables"]
        values = {
            "project": self.name,
            "seconds": round(seconds, 3),
            "wheels": inputs["wheels"],
            "variables": {name: variables[name] if name in _TOLD else None for name in variables},
            "libraries": [each for each in libraries.needed() if self._here().find(each)],
            _SANDBOXED: self._is_closed,
        }
        key = key_of("wheel", inputs)
        files = {os.path.basename(wheel): wheel, LOG: log}
        if names:
            self.store.keep("wheel", self._key_with(inputs, names), values, files, shared=True)
            there = {"project": self.name, "paths": names, _SANDBOXED: self._is_closed}
            self.store.keep("wheel", key, there, shared=True)
        else:
            self.store.keep("wheel", key, values, files, shared=True)
        self.store.keep("last", last_key(self.name), {"inputs": dict(inputs), "files": self.files, "key": key})
        keep_seconds(self.store, self.name, round(seconds, 3))


def _written(value: str) -> Iterator[str]:
    """How programs write the value of a variable: whole or line by line; as it is, or as strings of Python, JSON and
    shells, or in a URL."""
    import json
    import shlex
    from urllib.parse import quote, quote_plus

    for each in {value, *value.splitlines()}:
        yield each
        yield from (repr(each)[1:-1], ascii(each)[1:-1], repr(os.fsencode(each))[2:-1])
        yield from (json.dumps(each)[1:-1], json.dumps(each, ensure_ascii=False)[1:-1], shlex.quote(each))
        raw = os.fsencode(each)
        yield from (quote(raw), quote(raw, safe=""), quote_plus(raw))


def _is_sandboxed(result: Result) -> bool:
    return result.values.get(_SANDBOXED) is True


def seconds_of(store: Store, name: str) -> float | None:
    """How long the last build of the project took, if that is known."""
    found = store.result("seconds", key_of("seconds", [name]))
    seconds = found.values.get("seconds") if found else None
    return seconds if isinstance(seconds, float) else None


def keep_seconds(store: Store, name: str, seconds: float) -> None:
    store.keep("seconds", key_of("seconds", [name]), {"seconds": seconds})


def last_key(name: str) -> str:
    """The key of the inputs of a project's last build."""
    return key_of("last", [name])


def why_not(options: BuildOptions) -> str | None:
    """Why a build with these options is neither kept nor taken, whatever is built; None if it may be."""
    if not options.store:
        return "the store is not to be used"
    if options.editable:
        return "an editable wheel is good for its source tree only"
    if options.in_place:
        return "it is built in place, in a directory with what earlier builds left"
    told = (environment.for_processes().get(_BUILD_DIRECTORY, ""), named_build_directory(options.config_settings))
    kept = next(filter(os.path.isabs, told), None)
    return f"it is built in {kept}, with what earlier builds left there" if kept else None
