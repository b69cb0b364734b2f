"""Build the items that are no wheels, and install all wheels in one transaction (`sage_wheels.install`, `cli`)."""

from __future__ import annotations

import contextlib

from sage_wheels.building import wheels_of
from sage_wheels.fs import trust
from sage_wheels.transaction.commit import CommitOptions
from sage_wheels.transaction.install import InstallOptions, may_know_wheels, remembering_interpreters, store_for
from sage_wheels.transaction.install import install as install_wheels
from sage_wheels.wheel.image import Request
from sage_wheels.wheel.wheel import Wheel

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sage_wheels.archive.strict_zip import WheelLimits
    from sage_wheels.building import BuildOptions
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.report import Report


def install(
    items: Iterable[str],
    prefix: Prefix,
    options: InstallOptions | None = None,
    commit_options: CommitOptions | None = None,
    *,
    build_options: BuildOptions | None = None,
    limits: WheelLimits | None = None,
    on_progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Install wheels, or what wheels can be made of; see `sage_wheels.install`."""
    options, commit_options = options or InstallOptions(), commit_options or CommitOptions()
    store = store_for(options, commit_options.say)
    known = store if store and may_know_wheels(store, options) else None
    with contextlib.ExitStack() as stack:
        stack.enter_context(trust.masked())
        stack.enter_context(remembering_interpreters(store))
        found = stack.enter_context(wheels_of(items, prefix, build_options))
        requests = [
            Request(
                stack.enter_context(Wheel(each.path, limits, store=known)),
                each.direct_url,
                extras=each.extras,
                origin=each.origin,
                url=each.url,
            )
            for each in found
        ]
        return install_wheels(prefix, requests, options, commit_options, on_progress)
