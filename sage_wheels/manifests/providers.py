"""Modules that know where the packages of one collection of software have their manifests and wheels.

Such a module (a provider) is in another package. It is imported by its name when it is needed, so this module does not
depend on it. Each of `PROVIDERS` has two functions:

    manifests(prefix)      the manifests of packages for that prefix, as `Manifest` objects
    wheelhouses(prefix)    the directories with the wheels of packages for that prefix; `prefix` may be None
"""

from __future__ import annotations

import importlib

from sage_wheels.named import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from sage_wheels.prefix import Prefix

PROVIDERS = ("sage_wheels.sage.manifests",)


class Manifest(NamedTuple):
    """The path of the manifest of a `package`, and the command that builds the package again, "" if it is not known.

    `wheels` is the directory of the wheels in the manifest; "" if it is not known. It is needed if the manifest and
    that directory were moved together: the manifest has the old paths then.
    """

    package: str
    path: str
    rebuild: str = ""
    wheels: str = ""


def manifests(prefix: Prefix) -> Iterator[Manifest]:
    """The manifests of all providers. Raises `FileOperationFailed`."""
    for name in PROVIDERS:
        yield from importlib.import_module(name).manifests(prefix)


def wheelhouses(prefix: Prefix | None = None) -> list[str]:
    """The directories of wheels of all providers; they need not exist."""
    return [each for name in PROVIDERS for each in importlib.import_module(name).wheelhouses(prefix)]
