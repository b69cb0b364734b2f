"""A parcel: a task as it is sent to another machine. Here is what both sides must agree on, and the limits.

A parcel is JSON of a few KiB, which an engine transports. Files are not in it: they are sent through the store, under
their digests.
"""

from __future__ import annotations

from sage_wheels.building.environment.interpreter import find_building
from sage_wheels.building.options import BuildOptions, remote_of
from sage_wheels.errors import UsageError
from sage_wheels.named import NamedTuple
from sage_wheels.store.results import Content, key_of
from sage_wheels.store.store import digest_of
from sage_wheels.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.store.exchange import Exchange

MOST = 64 << 10  # bytes of a task, and of its result
ANSWER = "task"  # the kind of the signed result with which the other machine answers a parcel
LOG = "log"  # the name of the log in that result, which also has the wheel


class Identity(NamedTuple):
    """What has to be the same on both machines, so that a wheel that is built there is as if it were built here."""

    tool: str
    interpreter: str
    platform: str

    def __str__(self) -> str:
        return ", ".join(self)


def identity(options: BuildOptions) -> Identity:
    """The identity of this machine for builds with `options`. Raises `InterpreterError`."""
    facts = find_building(options.python, options.prefix, BuildOptions().cache_root()).facts
    kind = facts.markers.get("platform_python_implementation", "")
    return Identity(__version__, f"{kind} {facts.markers.get('python_full_version', '')}", facts.tags[0])


def exchange_of(options: BuildOptions) -> Exchange:
    """The store through which builds with `options` on several machines send their files.

    Raises `UsageError` if there is none, or if it is not both read and written, and what `remote_of` raises.
    """
    tier = remote_of(options._replace(store=True))  # --no-store only means results of builds
    if tier is None:
        raise UsageError(
            "builds on several machines need a store that all of them see",
            "give --store URL --store-mode both, and workers $SAGE_WHEELS_STORE",
        )
    return tier.exchange()


def content_of(path: str, name: str) -> Content:
    """The file at `path` as a content called `name`. Raises `OSError`."""
    return Content(name, *digest_of(path))


def key_of_answer(line: str) -> str:
    """The key of the answer to the parcel `line`, so that the answer to another parcel is not accepted."""
    return key_of(ANSWER, line)
