"""Find out whether the distributions that packages have installed are still the installed ones."""

from __future__ import annotations

import os

from sage_wheels.fs import presence
from sage_wheels.installed.distributions import read_text

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Literal

    from sage_wheels.installed.distributions import Distribution
    from sage_wheels.manifests.entries import ManifestEntry
    from sage_wheels.prefix import Prefix

    State = Literal["same", "replaced", "missing", "no wheel"]


def state(prefix: Prefix, entry: ManifestEntry, distribution: Distribution | None) -> State:
    """Compare `distribution`, which is installed under the name of `entry`, with what the package has installed.

    Only the RECORD is compared with the RECORD of the wheel; `verify` finds edited files. The result "no wheel" means
    that the version is right, but the wheel does not exist any more.
    """
    if distribution is None:
        return "missing"
    if entry.is_editable:
        if not is_from(prefix, distribution, entry.source, editable=True):
            return "replaced"
        return "same" if presence.is_directory(entry.source) else "no wheel"
    from sage_wheels.manifests.comparison import has_files_of

    is_same = has_files_of(prefix, distribution, entry.source)
    if is_same is None:
        return "no wheel" if distribution.version == entry.version else "replaced"
    return "same" if is_same else "replaced"


def is_from(prefix: Prefix, distribution: Distribution, path: str, *, editable: bool = False) -> bool:
    """Whether its direct_url.json says that `distribution` was installed from `path` (PEP 610)."""
    if distribution.kind == ".egg-link":
        return editable and is_linked(prefix, distribution, path)
    from sage_wheels.requirements import direct_url
    from sage_wheels.requirements.references import file_url

    origin = direct_url.parse(read_text(prefix, f"{distribution.path}/{direct_url.FILE}") or "")
    return origin is not None and (origin.url, origin.is_editable) == (file_url(path), editable)


def is_linked(prefix: Prefix, distribution: Distribution, tree: str) -> bool:
    """Whether `distribution` was installed by `setup.py develop` from the source tree at `tree`."""
    if distribution.kind != ".egg-link":
        return False
    return (read_text(prefix, distribution.path) or "").partition("\n")[0] == os.path.realpath(tree)


def remark(entry: ManifestEntry, version: str, found: State) -> str:
    """A remark for people on a distribution of that `version` whose state is `found`; "" if it is in order."""
    if found == "same":
        return ""
    package = f"package {entry.package}"
    head = f"replaced: {package} had installed" if found == "replaced" else f"{package} installed it"
    if entry.is_editable:
        tree = entry.source if entry.source.isprintable() else ascii(entry.source)
        return f"{head} the source tree {tree}" if found == "replaced" else f"{head}, but its source tree is gone"
    gone = "" if presence.is_file(entry.source) else ", but its wheel is gone"
    if found == "no wheel":
        return f"{head}{gone or ', but its wheel is damaged'}"
    return f"{head} {'another build of ' if version == entry.version else ''}{entry.version}{gone}"


def as_json(entry: ManifestEntry, found: State) -> dict[str, str]:
    """The entry for JSON output; for an editable installation, the path is that of the source tree."""
    return {"version": entry.version, "path": entry.source, "state": found}
