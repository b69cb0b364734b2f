"""Find the wheel of a distribution that was installed: by the manifest of its package, where it was installed from, in
wheelhouses, and in the store."""

from __future__ import annotations

import contextlib
import os
import tempfile

from sage_wheels.building.options import BuildOptions
from sage_wheels.errors import SageWheelsError, SourceError, UsageError
from sage_wheels.manifests.entries import entries
from sage_wheels.metadata import canonical_name
from sage_wheels.requirements import direct_url, references
from sage_wheels.requirements.wheelhouses import is_of, wheels_in
from sage_wheels.store.store import Store

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sage_wheels.manifests.entries import ManifestEntry
    from sage_wheels.prefix import Prefix
    from sage_wheels.transaction.history import FindWheels, HistoryChange

_LONGEST = 1 << 20  # bytes of a WHEEL file that are read


@contextlib.contextmanager
def wheel_finder(
    prefix: Prefix,
    on_note: Callable[[str], object],
    wheelhouses: Sequence[str] = (),
    cache_dir: str | None = None,
    say: Callable[[str], None] | None = None,
) -> Iterator[FindWheels]:
    """Within this context, a function that yields paths of wheels of a distribution, of which the caller takes one.

    The caller checks whether it is the right one. `on_note` is as for `manifests.entries.entries`. With `say`, the
    source that direct_url.json (PEP 610) names is tried last: pip downloads it, and it is built if it is not a wheel.
    If that fails, `say` is called with a sentence. Raises `UsageError` if a wheelhouse cannot be read.
    """
    building = BuildOptions(find_links=tuple(wheelhouses), use_index=say is not None, cache_dir=cache_dir)
    with tempfile.TemporaryDirectory(prefix="sage-wheels-") as directory, contextlib.ExitStack() as stack:
        brought = entries(prefix, on_note)
        find = _finder(brought, wheelhouses, Store(building.cache_root()), directory)

        def wheels(name: str, version: str, told: Sequence[HistoryChange]) -> Iterator[str]:
            yield from find(name, version, told)
            if say:
                yield from _named(prefix, name, building, stack, say)

        yield wheels


def _finder(
    brought: Mapping[str, ManifestEntry], wheelhouses: Sequence[str], store: Store, directory: str
) -> FindWheels:
    """As `wheel_finder`, but without direct_url.json. Wheels from the store are copied into `directory`."""
    listed = [(each, name) for each in wheelhouses for name in wheels_in(each)]
    fetched = f"{store.root}/wheels"  # what pip has fetched for builds
    with contextlib.suppress(UsageError):
        listed += [(fetched, name) for name in wheels_in(fetched)]

    def wheels(name: str, version: str, told: Sequence[HistoryChange]) -> Iterator[str]:
        entry = brought.get(canonical_name(name))
        if entry and entry.is_restorable:
            yield entry.source
        for each in told:
            yield from _origin(each)
        for wheelhouse, file_name in listed:
            if is_of(file_name, name, version):
                yield os.path.abspath(f"{wheelhouse}/{file_name}")
        for digest in dict.fromkeys(each.digest.partition("=")[2] for each in told):
            yield from _stored(store, digest, directory)

    return wheels


def _origin(change: HistoryChange) -> Iterator[str]:
    """The wheel from which the distribution was installed, if it is still there."""
    path = change.origin
    if references.is_file_url(path):
        with contextlib.suppress(SourceError, OSError):
            path = references.location_of(path).path
    if path.startswith("/") and path.endswith(".whl") and os.path.isfile(path):
        yield path


def _named(
    prefix: Prefix, name: str, building: BuildOptions, stack: contextlib.ExitStack, say: Callable[[str], None]
) -> Iterator[str]:
    """The wheel of the source that direct_url.json of the distribution names, downloaded, and built if necessary."""
    from sage_wheels.building import wheels_of
    from sage_wheels.installed import find
    from sage_wheels.installed.distributions import read_text

    for each in find(prefix, name):
        text = read_text(prefix, f"{each.path}/{direct_url.FILE}")
        origin = direct_url.parse(text) if text else None
        if text and origin is None:
            say(f"direct_url.json of {each} is damaged, so nothing was fetched from there")
        if origin and not origin.is_editable:
            try:
                found = stack.enter_context(wheels_of([_item(name, origin)], prefix, building))
            except SageWheelsError as error:
                say(f"what direct_url.json of {each} names cannot be obtained: {error}")
            else:
                yield from (wheel.path for wheel in found)


def _item(name: str, origin: direct_url.Origin) -> str:
    """The requirement that a direct_url.json stands for.

    >>> _item("six", direct_url.Origin("https://example.org/six.zip", "archive", "d", hashes={"sha256": "0a"}))
    'six @ https://example.org/six.zip#subdirectory=d&sha256=0a'
    """
    sha256 = origin.hashes.get("sha256", "")
    return references.requirement(name, origin.pip_url, subdirectory=origin.subdirectory, sha256=sha256)


def _stored(store: Store, digest: str, directory: str) -> Iterator[str]:
    """Copy the wheel with this SHA-256 from the store into `directory`, under the file name that its metadata give."""
    own = f"{directory}/{digest}"
    with contextlib.suppress(OSError):
        os.mkdir(own)
        if store.local.get_content(digest, f"{own}/content") and (name := _name_of(f"{own}/content")):
            os.rename(f"{own}/content", f"{own}/{name}")
            yield f"{own}/{name}"


def _name_of(path: str) -> str:
    """The file name of the wheel at `path`, from its WHEEL file and its `.dist-info`; "" if it is not a wheel."""
    import email
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive:
            (member,) = [
                each for each in archive.namelist() if each.endswith(".dist-info/WHEEL") and each.count("/") == 1
            ]
            with archive.open(member) as f:
                metadata = email.message_from_bytes(f.read(_LONGEST))
    except (zipfile.BadZipFile, ValueError, OSError):
        return ""
    tags = [str(each).strip().split("-") for each in metadata.get_all("Tag", [])]
    if not tags or any(len(each) != 3 for each in tags):
        return ""
    build = str(metadata.get("Build") or "").strip()
    fields = (".".join(dict.fromkeys(column)) for column in zip(*tags, strict=True))
    return "-".join([member.partition(".dist-info/")[0], *([build] if build else []), *fields]) + ".whl"
