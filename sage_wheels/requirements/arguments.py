"""What an argument on the command line means: a wheel, an sdist, a source tree, a URL or a requirement.

The rules are pip's, so that `sage-wheels install X` means the same as `pip install X`:

- The path of a directory has a separator or a leading dot. A bare word is a requirement, even if a directory of that
  name exists.
- An archive, or a directory with such a name, is known by its extension. `NAME @ URL` is a direct reference (PEP 508).
- Extras stand in brackets after a path or a name, and a marker after a semicolon.

There are two differences: the path in a `file:` URL may also be unquoted, because shell scripts write it so; and a URL
whose fragment (after `#`) has an unknown part is refused.

`packaging`, which is slow to import, is used for requirements and markers only.
"""

from __future__ import annotations

import contextlib
import os
import re

from sage_wheels.errors import FileOperationFailed, SourceError
from sage_wheels.fs import presence
from sage_wheels.metadata import PROJECT_FILES, SDIST_EXTENSIONS, canonical_name, is_archive_name, is_sdist_name
from sage_wheels.requirements.references import (
    NAME,
    is_file_url,
    location_of,
    reference_in,
    unquoted,
    with_extras,
)
from sage_wheels.requirements.sources import (
    Asked,
    GitRepository,
    LocalSource,
    RemoteFile,
    Requirement,
    SdistFile,
    Source,
    SourceTree,
    WheelFile,
    check_asked,
    digest_of,
    has_one_of,
    project_of_file,
    written,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

# Patterns are compiled when they are needed: an installation of a wheel named by its path needs none.
_SCHEME = r"[A-Za-z][A-Za-z0-9+.-]*:"
_HASHES = r"((?:\s+--hash[=\s]\w+:[0-9a-fA-F]+)+)$"
_STRONG_HASHES = ("sha256", "sha384", "sha512")  # those that pip accepts in a requirements file
_FRAGMENT_HASHES = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512")
# The protocols by which git may fetch a repository.
_GIT_SCHEMES = ("git+https", "git+http", "git+ssh", "git+git", "git+file")
# Extensions of archives that pip does not accept: such an argument is refused as a file, not as a requirement.
_NO_ARCHIVES_OF_PIPS = (".tar.zst", ".egg", ".7z")


def parse_source(text: str) -> Source:
    """Parse `text` into a source; its marker is ignored (see `applying`).

    Raises `SourceError` if `text` is not a source, or names a file or directory that does not exist, and
    `FileOperationFailed` if it cannot be found out whether it exists.

    >>> parse_source("six[Some_extra] >= 1.16; python_version > '3'")
    Requirement(text='six[Some_extra] >= 1.16', asked=Asked(name='six', \
specifier='>=1.16', extras=('some-extra',), hashes=()))
    >>> parse_source("https://example.org/six-1.0.tar.gz#subdirectory=src").subdirectory
    'src'
    """
    text, hashes = _split_hashes(_split_marker(text)[0])
    if not text:
        raise SourceError("an empty argument is no source", "name a wheel, an sdist, a directory or a requirement")
    with _looking_for(text):
        return _parse(text, hashes)


def applying(
    text: str, markers: Callable[[], Mapping[str, str]], on_note: Callable[[str], object] | None = None
) -> str | None:
    """`text` without its marker (PEP 508); None if the marker is false, and then `on_note` is called with a sentence.

    `markers` returns the environment for markers, and is called only if there is a marker. Raises `SourceError` for a
    marker that is invalid or cannot be evaluated.
    """
    source, marker = _split_marker(text)
    if not marker:
        return source
    from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName

    try:
        holds = Marker(marker).evaluate({**markers(), "extra": ""})
    except (ValueError, UndefinedComparison, UndefinedEnvironmentName) as error:
        raise SourceError(f"the marker of {text!r} cannot be evaluated ({error})", "correct it") from error
    if not holds and on_note:
        on_note(f"{source} is skipped, because {marker} does not hold for the target interpreter")
    return source if holds else None


def selected(
    items: Iterable[str], markers: Callable[[], Mapping[str, str]], on_note: Callable[[str], object] | None = None
) -> list[Source]:
    """The sources that `items` name, without those whose marker is false; see `applying` and `parse_source`.

    A source that is named twice is returned once, with the extras of both, as with pip.
    """
    texts = [applying(item, markers, on_note) for item in items]
    return once(parse_source(text) for text in texts if text is not None)


def once(sources: Iterable[Source]) -> list[Source]:
    """`sources` without those that are named again; see `selected`. Raises `SourceError` if their names differ."""
    found: dict[Source, Source] = {}
    for source in sources:
        is_local = isinstance(source, (WheelFile, SdistFile, SourceTree))
        key = source._replace(asked=Asked()) if is_local else source
        found[key] = source._replace(asked=_both(found[key].asked, source)) if key in found else source
    return list(found.values())


def as_directory(item: str) -> str:
    """`item`, the value of an --editable, where a bare word is the name of a directory, if that exists, as with pip."""
    return f"./{item}" if "/" not in item and os.path.isdir(item.partition("[")[0].partition(";")[0].strip()) else item


def _both(asked: Asked, source: Source) -> Asked:
    """The conditions of both mentions of `source` together. Raises `SourceError` if they have different names."""
    name = source.asked.name or asked.name
    if asked.name and canonical_name(asked.name) != canonical_name(name):
        raise SourceError(f"{written(source)} is asked for as both {asked.name} and {name}", "name one project")
    extras = tuple(sorted({*asked.extras, *source.asked.extras}))
    specifier = ",".join(dict.fromkeys(filter(None, (asked.specifier, source.asked.specifier))))
    return source.asked._replace(name=name, specifier=specifier, extras=extras)


def _split_marker(text: str) -> tuple[str, str]:
    """Split `text` into the source and its marker, which is "" if there is none.

    A path may contain a semicolon; if the path exists, it is not split there. In a URL alone a semicolon begins a
    marker only if a space stands before it or after it; after `NAME @ URL` it needs none, as with pip.

    >>> _split_marker("six; python_version < '3'")
    ('six', 'python_version < "3"')
    """
    text = text.strip()
    if ";" not in text or _is_there(text):
        return text, ""
    from packaging.markers import InvalidMarker, Marker

    source, hashes = _split_hashes(text)
    reference = reference_in(source)
    if source.endswith(";") and not (reference and not reference.name):  # an empty marker is none, as with pip
        return source[:-1].rstrip() + text[len(source) :], ""
    for found in re.finditer(r"\s+;|;\s+" if reference and not reference.name else ";", source):
        before = source[: found.start()].rstrip()
        try:
            marker = Marker(source[found.end() :].strip())
        except (InvalidMarker, RecursionError) as error:
            if _is_there(before):
                reason = str(error).splitlines()[0]
                raise SourceError(f"what follows {before} is no marker ({reason})", "correct it") from error
        else:
            return " ".join([before, *(f"--hash={each.replace('=', ':')}" for each in hashes)]), str(marker)
    return text, ""


def _split_hashes(text: str) -> tuple[str, tuple[str, ...]]:
    """Split `text` into the source and its hashes, which are written as in a requirements file of pip.

    >>> _split_hashes("six==1.0 --hash=sha256:ab")
    ('six==1.0', ('sha256=ab',))
    """
    found = re.search(_HASHES, text) if "--hash" in text else None
    if not found:
        return text, ()
    hashes = re.findall(r"--hash[=\s](\w+):(\w+)", found[1])
    for algorithm, _ in hashes:
        if algorithm not in _STRONG_HASHES:
            raise SourceError(f"{text} has a --hash by {algorithm}", f"give one by {', '.join(_STRONG_HASHES)}")
    return text[: found.start()].rstrip(), tuple(f"{algorithm}={value.lower()}" for algorithm, value in hashes)


def _is_there(text: str) -> bool:
    """Whether `text` as a whole is an existing path, or the file: URL of one. Raises `FileOperationFailed`."""
    reference = reference_in(text)
    with _looking_for(text):
        if reference:
            return is_file_url(reference.url) and presence.leads_somewhere(location_of(reference.url).path)
        paths = [path for path, _ in with_extras(text)]
        return any(_looks_like_path(path) and presence.leads_somewhere(path) for path in paths)


@contextlib.contextmanager
def _looking_for(text: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FileOperationFailed.from_os_error(error, f"looking for {text}") from error


def _parse(text: str, hashes: tuple[str, ...]) -> Source:
    if reference := reference_in(text):
        asked = Asked(reference.name, "", _normalised(reference.extras), hashes)
        if reference.url[:4].lower() == "git+":
            return _repository(text, reference.url, asked)
        return (_local_url if is_file_url(reference.url) else _remote_url)(text, reference.url, asked)
    for path, extras in with_extras(text):
        asked = Asked(extras=_normalised(extras), hashes=hashes)
        if not (_looks_like_path(path) or _is_archive(path)):
            continue
        if presence.is_directory(path):
            return _source_tree(path, asked)
        if presence.is_file(path):
            return _archive(path, asked)
    if _is_reference(text):
        return _requirement(text, hashes)
    if re.match(rf"{_SCHEME}//", text):
        raise SourceError(f"{text} is a URL that cannot be downloaded", "get a copy and name its path")
    if "://" not in text and (_is_archive(text) or _looks_like_path(text)):
        raise SourceError(f"{text} is neither a file nor a directory", "check the path")
    return _requirement(text, hashes)


def _normalised(extras: str) -> tuple[str, ...]:
    return tuple(sorted({canonical_name(each.strip()) for each in extras.split(",") if each.strip()}))


def _looks_like_path(text: str) -> bool:
    return os.sep in text or text.startswith(".")


def _is_archive(text: str) -> bool:
    return is_archive_name(text) or text.lower().endswith(_NO_ARCHIVES_OF_PIPS)


def _is_reference(text: str) -> bool:
    """Whether `text` is `NAME @ URL`; false if the part before the @ is a path."""
    return bool(re.match(rf"{NAME}\s*(\[[^\]]*\])?\s*@", text))


def _source_tree(path: str, asked: Asked, subdirectory: str = "") -> SourceTree:
    tree = SourceTree(os.path.abspath(path), asked, subdirectory)
    if asked.hashes:
        raise SourceError(f"{tree.path} is a directory, which has no hash", "leave the hash out, or name a file")
    if not f"{os.path.realpath(tree.project)}/".startswith(os.path.join(os.path.realpath(tree.path), "")):
        raise SourceError(f"{tree.project} leads out of {tree.path}", "name the directory that it leads to")
    if not presence.is_directory(tree.project):
        raise SourceError(f"there is no directory {subdirectory} in {tree.path}", "check the subdirectory")
    if not any(presence.is_file(os.path.join(tree.project, name)) for name in PROJECT_FILES):
        raise SourceError(f"{tree.project} has neither pyproject.toml nor setup.py", "name the directory of a project")
    return tree


def _archive(path: str, asked: Asked, subdirectory: str = "") -> WheelFile | SdistFile:
    path = os.path.abspath(path)
    if asked.hashes and not has_one_of(path, asked.hashes):
        raise SourceError(f"{path} has none of the hashes that were given for it", "get the file again")
    if path.endswith(".whl"):
        if subdirectory:
            raise SourceError(f"{path} is a wheel, which has no subdirectory", "leave out subdirectory=")
        wheel = WheelFile(path, asked)
        _check_wheel_name(wheel, path)
        return wheel
    if is_sdist_name(path):
        return SdistFile(path, asked, subdirectory)
    raise SourceError(
        f"{path} is no wheel (.whl) and no sdist ({', '.join(SDIST_EXTENSIONS)})", "unpack it and name the directory"
    )


def _check_wheel_name(source: Source, path: str) -> None:
    """See `check_asked`. A file name that no wheel can have is ignored here, and refused when the wheel is opened."""
    if "-" in os.path.basename(path):
        check_asked(source, project_of_file(path))


def _local_url(text: str, url: str, asked: Asked) -> LocalSource:
    path, fragment, extras = location_of(url)
    asked, subdirectory, hashes = _told_by(fragment, text, asked)
    asked = asked._replace(extras=tuple(sorted({*asked.extras, *_normalised(extras)})))
    if presence.is_directory(path):
        if hashes:
            raise SourceError(f"{path} is a directory, which has no hash", "leave the hash out, or name a file")
        return _source_tree(path, asked, subdirectory)
    if not path:
        raise SourceError(f"{text} names no path", "write file:///PATH")
    if not presence.is_file(path):
        raise SourceError(f"{path}, to which {text} leads, is not there", "check the path")
    for algorithm, wanted in hashes:
        if digest_of(path, algorithm) != wanted.lower():
            raise SourceError(f"{path} does not have the {algorithm} that its URL claims", "get the file again")
    return _archive(path, asked, subdirectory)


def _remote_url(text: str, url: str, asked: Asked) -> RemoteFile:
    if re.search(r"\s", url):
        raise SourceError(f"{url!r} is no URL, for it has a space in it", "write %20 for a space")
    from urllib.parse import unquote, urlsplit

    try:
        path, host = unquote(urlsplit(url).path), urlsplit(url).hostname
    except ValueError as error:
        raise SourceError(f"{url!r} is no URL ({error})", "correct it") from error
    if not host:
        raise SourceError(f"{url} names no host", "correct the URL")
    asked, subdirectory, _ = _told_by(url.partition("#")[2], text, asked)  # pip looks at the hashes
    source = RemoteFile(text, url, asked, subdirectory)
    if path.endswith(".whl"):
        _check_wheel_name(source, path)
    return source


def _repository(text: str, url: str, asked: Asked) -> GitRepository:
    """Parse `git+URL@REVISION#FRAGMENT`. Raises `SourceError`."""
    from urllib.parse import unquote, urlsplit, urlunsplit

    if re.search(r"\s", url):
        raise SourceError(f"{url!r} is no URL, for it has a space in it", "write %20 for a space")
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError as error:
        raise SourceError(f"{url!r} is no URL ({error})", "correct it") from error
    if parts.scheme not in _GIT_SCHEMES:
        raise SourceError(f"{text} uses {parts.scheme}, which is not supported", f"use {', '.join(_GIT_SCHEMES)}")
    if parts.scheme != "git+file" and (not host or host.startswith("-")):
        raise SourceError(f"{url} names no host", "correct the URL")
    asked, subdirectory, hashes = _told_by(parts.fragment, text, asked)
    if hashes or asked.hashes:
        raise SourceError(f"{text} is a repository, which has no hash", "leave it out, and name a commit after an @")
    path, at, revision = parts.path.rpartition("@")
    path, revision = (path, unquote(revision)) if at else (parts.path, "")
    if at and (not revision or revision.startswith("-")):
        raise SourceError(f"what follows the @ of {text} is no revision", "name a branch, a tag or a commit")
    repository = urlunsplit((parts.scheme.removeprefix("git+"), parts.netloc, path, parts.query, ""))
    if parts.scheme == "git+file" and not parts.netloc:
        repository = f"file://{path}"
    return GitRepository(text, repository, revision, asked, subdirectory)


def _told_by(fragment: str, text: str, asked: Asked) -> tuple[Asked, str, list[tuple[str, str]]]:
    """Parse the fragment of a URL: `asked` with what it adds, the subdirectory, and pairs of algorithm and hash.

    Raises `SourceError` for unknown parts.
    """
    subdirectory, hashes = "", []
    for part in filter(None, fragment.split("&")):
        key, _, value = part.partition("=")
        if key == "egg":
            name, extras = with_extras(unquoted(value))[0]
            if asked.name and canonical_name(asked.name) != canonical_name(name):
                raise SourceError(f"{text} says both {asked.name} and {name}", "name one project")
            asked = asked._replace(name=asked.name or name, extras=asked.extras or _normalised(extras))
        elif key == "subdirectory":
            subdirectory = _subdirectory(unquoted(value), text)
        elif key in _FRAGMENT_HASHES:
            hashes.append((key, value))
        else:
            known = "subdirectory=, egg=, or a hash such as sha256="
            raise SourceError(f"{part!r} in {text} is not understood", f"after the #, write {known}")
    return asked, subdirectory, hashes


def _subdirectory(value: str, text: str) -> str:
    parts = [part for part in value.split("/") if part not in ("", ".")]
    if value.startswith("/") or ".." in parts:
        raise SourceError(f"the subdirectory of {text} leads out of it", "name a directory below it")
    return "/".join(parts)


def _requirement(text: str, hashes: tuple[str, ...]) -> Requirement:
    from packaging.requirements import InvalidRequirement
    from packaging.requirements import Requirement as Parsed

    try:
        parsed = Parsed(text)
    except (InvalidRequirement, RecursionError) as error:
        reason = str(error).splitlines()[0]
        raise SourceError(
            f"{text!r} is neither a file, nor a directory, nor a requirement ({reason})",
            "write a path with a separator, or a requirement as in PEP 508",
        ) from error
    if parsed.url is not None:
        if of_git := re.fullmatch(r"([\w.-]+@[\w.-]+):(?!//)(\S+)", text):  # as `git clone` takes it
            raise SourceError(f"{text} is no URL", f"write git+ssh://{of_git[1]}/{of_git[2].lstrip('/')}")
        scheme = re.match(_SCHEME, parsed.url)
        if not scheme:
            raise SourceError(f"what follows the @ of {text} is no URL", "write file:///PATH, or the path alone")
        raise SourceError(f"{text} uses {scheme[0]}, which is not supported", "get a copy and name its path")
    return Requirement(text, Asked(parsed.name, str(parsed.specifier), _normalised(",".join(parsed.extras)), hashes))
