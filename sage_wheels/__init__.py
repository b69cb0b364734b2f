"""Build every Python package into a wheel, and install it into a prefix, all or nothing.

>>> import sage_wheels
>>> sage_wheels.install(["six-1.16.0-py2.py3-none-any.whl"], "/opt/prefix").changes  # doctest: +SKIP
[Change(name='six', old_version='', new_version='1.16.0')]

Every function raises `sage_wheels.errors.SageWheelsError`, and leaves the prefix as it was if it does. This page is the
whole public API; it imports nothing heavy, because a package script starts the tool once for each package.
"""

from __future__ import annotations

__version__ = "0.1.0"
__all__ = ["build", "distributions", "install", "recover", "uninstall", "verify"]

TYPE_CHECKING = False
if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterable

    from sage_wheels.building import BuildOptions
    from sage_wheels.installed import Distribution
    from sage_wheels.installed.verify import Problem
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.commit import Settings
    from sage_wheels.transaction.install import Options
    from sage_wheels.transaction.report import Report
    from sage_wheels.wheel.archive import Limits

    PrefixLike = Prefix | str | os.PathLike[str] | None


def build(
    sources: Iterable[str], wheel_dir: str | os.PathLike[str] = ".", options: BuildOptions | None = None
) -> list[str]:
    """Turn source trees, sdists and requirements into wheels in `wheel_dir`; the paths of the wheels."""
    import os

    from sage_wheels.building import build_wheel, parse_source
    from sage_wheels.prefix import trust

    goal = os.fspath(wheel_dir)
    with trust.masked():
        return [build_wheel(parse_source(each), wheel_dir=goal, options=options).path for each in sources]


def install(
    items: Iterable[str],
    prefix: PrefixLike = None,
    options: Options | None = None,
    settings: Settings | None = None,
    *,
    build_options: BuildOptions | None = None,
    limits: Limits | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Install wheels, or what wheels can be made of, into `prefix` in one transaction.

    `prefix` is a path, or None for $SAGE_VENV or $VIRTUAL_ENV. `limits` bound what each wheel may unpack to.
    `on_progress` hears how much of how much is staged.
    """
    import contextlib

    from sage_wheels.building import wheels_of
    from sage_wheels.prefix import trust
    from sage_wheels.transaction.commit import Settings
    from sage_wheels.transaction.install import Options, install
    from sage_wheels.wheel import Request, Wheel

    where = _prefix(prefix)
    with contextlib.ExitStack() as stack:
        stack.enter_context(trust.masked())
        found = stack.enter_context(wheels_of(items, where, build_options))
        requests = [Request(stack.enter_context(Wheel(path, limits)), direct_url) for path, direct_url in found]
        return install(where, requests, options or Options(), settings or Settings(), on_progress)


def uninstall(names: Iterable[str], prefix: PrefixLike = None, settings: Settings | None = None) -> Report:
    """Remove distributions, exactly; names that are not installed are in the report's `unchanged`."""
    from sage_wheels.prefix import trust
    from sage_wheels.transaction.commit import Settings
    from sage_wheels.transaction.uninstall import uninstall

    with trust.masked():
        return uninstall(_prefix(prefix), list(names), settings or Settings())


def distributions(prefix: PrefixLike = None) -> list[Distribution]:
    """The distributions in `prefix`, by name."""
    from sage_wheels.installed import find_all

    return find_all(_prefix(prefix))


def verify(name: str, prefix: PrefixLike = None) -> list[Problem]:
    """What differs from the RECORD of each distribution called `name`; nothing if all is as installed."""
    from sage_wheels.installed import find_all, verify
    from sage_wheels.installed.metadata import canonical_name
    from sage_wheels.installed.owners import Owners

    where = _prefix(prefix)
    everything = find_all(where)
    chosen = [each for each in everything if each.canonical_name == canonical_name(name)]
    owners = Owners(where, everything)
    return [problem for each in chosen for problem in verify.verify(where, each, owners)]


def recover(prefix: PrefixLike = None, settings: Settings | None = None) -> list[str]:
    """Undo what a killed process left half-done; a sentence for each thing found."""
    from sage_wheels.prefix import trust
    from sage_wheels.transaction.commit import Settings
    from sage_wheels.transaction.recover import recover

    with trust.masked():
        return recover(_prefix(prefix), settings or Settings())


def _prefix(prefix: PrefixLike) -> Prefix:
    from sage_wheels.prefix import Prefix, find_prefix

    return prefix if isinstance(prefix, Prefix) else find_prefix(prefix)
