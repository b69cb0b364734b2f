"""Provide one build with what it needs: store, interpreter, build environment, sandbox."""

from __future__ import annotations

import functools
import os
import shutil
import sys

from sage_wheels import environment
from sage_wheels.building.backend.variables import for_build
from sage_wheels.building.environment.images import ImageCache
from sage_wheels.building.environment.interpreter import find_building
from sage_wheels.building.environment.provision import Chooser, InstalledEnvironment, Isolated
from sage_wheels.building.log import Log
from sage_wheels.building.options import BuildOptions, store_of
from sage_wheels.building.source import pyproject

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from sage_wheels.building.backend.sandbox import Sandbox
    from sage_wheels.building.environment.interpreter import BuildInterpreter
    from sage_wheels.building.environment.provision import BuildEnvironment
    from sage_wheels.store.store import Store


class Provider:
    """Provides what the build of the project `name` in the build directory `directory` needs.

    The store and the interpreter are looked up once.
    """

    def __init__(self, name: str, directory: str, options: BuildOptions, log: Log) -> None:
        self.name = name
        self.directory = directory
        self.options = options
        self.log = log

    @functools.cached_property
    def store(self) -> Store:
        return store_of(self.options)

    @functools.cached_property
    def interpreter(self) -> BuildInterpreter:
        return find_building(self.options.python, self.options.prefix, self.store.root)

    @functools.cached_property
    def images(self) -> ImageCache:
        return ImageCache(
            *(self.store.root, self.interpreter),
            wheel_limits=self.options.wheel_limits,
            store=self.store,
            spare=f"{self.directory}/images",
        )

    def environment(self, environ: Mapping[str, str]) -> BuildEnvironment:
        if self.options.isolation:
            return Isolated(f"{self.directory}/env", self.chooser(), self.log, f"{self.seen_at()}/env")
        return self._installed_environment(environ)

    def _installed_environment(self, environ: Mapping[str, str]) -> InstalledEnvironment:
        options = self.options
        return InstalledEnvironment(
            self._installed(),
            None if options.python else options.prefix,
            find_building(self._installed(), None, self.store.root).facts.markers,
            environ,
            check=not options.skip_dependency_check,
        )

    def importable(self, environ: Mapping[str, str]) -> list[str] | None:
        """The search path of a build without isolation; None if it depends only on what is declared."""
        if self.options.isolation or self.options.cache_declared:
            return None
        return self._installed_environment(environ).importable()

    def _installed(self) -> str:
        """The Python of a build without isolation. Backends may write its path into the wheel.

        It has the name that a caller of `python3 -m build` would use, if that is the Python of the prefix, or that of
        pip in the prefix.
        """
        options = self.options
        if options.python or not options.prefix:
            return options.python or sys.executable
        called = shutil.which("python3", path=environment.get(environment.PATH) or os.defpath)
        if called and os.path.dirname(called) == os.path.dirname(options.prefix.python):
            return called
        return options.prefix.python_of_pip

    def called(self) -> str:
        """The name of the Python of a build without isolation; "" with isolation."""
        return "" if self.options.isolation else os.path.basename(self._installed())

    @functools.cached_property
    def sandbox(self) -> Sandbox | None:
        """The sandbox for the backend; None for a build without sandbox. Raises `UsageError`, `OSError`."""
        options = self.options
        if not options.sandbox:
            return None
        from sage_wheels.building.backend import sandbox

        pythons = [self.interpreter.executable, *([] if options.isolation else [self._installed()])]
        paths = [*options.sandbox_read, *([options.prefix.root] if options.prefix else [])]
        if os.path.isdir(tools := options.tools_directory()):
            paths.append(tools)
        return sandbox.sandbox(self.directory, pythons, paths, environment.for_processes())

    def seen_at(self) -> str:
        """The path of the build directory as the backend sees it."""
        if not self.options.sandbox:
            return self.directory
        from sage_wheels.building.backend.sandbox import BUILD

        return BUILD

    def chooser(self) -> Chooser:
        options = self.options
        return Chooser(
            *(self.images, options.find_links, self.log),
            index=options.use_index,
            preferred=options.preferred,
            downloads=f"{self.directory}/urls",
        )

    def wheels_for(self, declared: list[str], more: list[str]) -> list[list[str]]:
        """Name, version and digest of each distribution in the environment of a hook with these requirements."""
        if not self.options.isolation:
            there = self.environment(for_build(environment.for_processes(), above=self.directory).environ)
            there.provide([*declared, *more], "the store")
            return there.wheels()
        chooser = self.chooser()
        chooser.ask(declared, pyproject.asker(self.name, declared))
        if more:
            chooser.ask(more, f"get_requires_for_build of {self.name}")
        digest = chooser.cache.digest
        return sorted([pick.name, pick.version, digest(pick.path)] for pick in chooser.choose())
