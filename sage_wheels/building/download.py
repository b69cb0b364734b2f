"""Download by pip: the file of a requirement or URL, and build requirements that no wheelhouse has.

pip is that of the interpreter that runs this tool, with the user's configuration of pip: indexes, credentials, proxies
and certificates. If that one is too old to run on the interpreter of the build, it is the pip that came with that one.
Sources are only downloaded; `pip_download` prevents pip from running code of them. Settings for pip are passed as
options, because environment variables would also be seen by the programs that pip starts.
"""

from __future__ import annotations

import contextlib
import os
import re
import sys

from sage_wheels import processes, redaction
from sage_wheels.errors import BuildFailed, SourceError
from sage_wheels.fs import caches, trust
from sage_wheels.metadata import canonical_name
from sage_wheels.named import NamedTuple
from sage_wheels.prefix import interpreter
from sage_wheels.requirements.direct_url import DirectUrl
from sage_wheels.requirements.references import requirement
from sage_wheels.requirements.sources import (
    Asked,
    RemoteFile,
    Requirement,
    SdistFile,
    WheelFile,
    archive_direct_url,
    check_asked,
    has_one_of,
    project_of_file,
    sdist_stem,
    version_of_wheel,
    without_credentials,
    written,
)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sage_wheels.prefix.interpreter import Facts

_LAST_LINES = 20  # of pip's output, to show with a failure
# Said by a pip that is too old for the Python that runs it. What backends say is indented.
_CRASHED = re.compile(r"^Traceback \(most recent call last\)", re.MULTILINE)
_ALWAYS = ("--disable-pip-version-check", "--progress-bar", "off")


class Fetched(NamedTuple):
    """A file that pip has downloaded, and its direct_url.json (None for a file from an index)."""

    source: WheelFile | SdistFile
    direct_url: DirectUrl | None


def fetch(
    source: Requirement | RemoteFile,
    directory: str,
    *,
    from_source: bool = False,
    find_links: Iterable[str] = (),
    choosing: Iterable[str] = (),
    target: Facts | None = None,
    on_note: Callable[[str], object] | None = None,
) -> Fetched:
    """Download the one file that pip chooses for `source` into `directory`, which is made if needed.

    With `from_source` it is an sdist. `choosing` are more options for pip, of a requirements file. `target` is the
    interpreter for which pip chooses, if it is not the one that runs this tool. Dependencies are not downloaded, and no
    code of the file is run. `on_note` is called with pip's warning
    about a yanked file. Raises `SourceError` with the end of pip's output.
    """
    os.makedirs(directory, exist_ok=True)
    before = set(os.listdir(directory))
    arguments = ["download", "--no-deps", "--dest", directory]
    if from_source and isinstance(source, Requirement):
        arguments += ["--no-binary", source.name]
    arguments += [f"--find-links={os.path.abspath(link)}" for link in find_links]
    arguments += _chosen_for(target) if target else []
    arguments += choosing  # the last ones: what a file forbids stays forbidden
    with _as_arguments(source) as named:
        failed, output = _pip([*arguments, *named])
    new = sorted(set(os.listdir(directory)) - before)
    if failed or len(new) != 1:
        advice = "read its output, and check the name and the index"
        if isinstance(source, Requirement) and os.path.isdir(source.text):
            advice = f"for the directory of that name, write ./{source.text}"
        raise SourceError(f"pip could not download {written(source)}", advice, _end_of(output))
    if on_note and (yanked := re.search(r"^WARNING: (.*\byanked version\b.*(?:\nReason.*)?)", output, re.MULTILINE)):
        on_note(" ".join(yanked[1].split()))
    path = os.path.join(os.path.abspath(directory), new[0])
    asked, subdirectory = source.asked, source.subdirectory if isinstance(source, RemoteFile) else ""
    if path.endswith(".whl") and subdirectory:
        raise SourceError(f"{written(source)} is a wheel, which has no subdirectory", "leave out subdirectory=")
    if isinstance(source, Requirement):
        asked = _as_named(new[0], asked)
    origin = written(source) if isinstance(source, RemoteFile) else f"{new[0]} (for {source.text})"
    if source.asked.hashes and not has_one_of(path, source.asked.hashes):  # to pip, that in the URL is one of them
        raise SourceError(f"{origin} has none of the hashes that were given for it", "correct the hashes, or the URL")
    file = WheelFile(path, asked) if path.endswith(".whl") else SdistFile(path, asked, subdirectory, origin)
    if isinstance(file, WheelFile):
        # pip has chosen the file for a requirement
        version = version_of_wheel(path) if isinstance(source, RemoteFile) else ""
        check_asked(source, project_of_file(path), version)
    return Fetched(file, _direct_url(source, path) if isinstance(source, RemoteFile) else None)


def _as_named(file: str, asked: Asked) -> Asked:
    """`asked` with the version in the name of the sdist `file`, because pip has chosen the file for that version."""
    from packaging.version import InvalidVersion, Version

    stem = sdist_stem(file)
    for at in [each.start() for each in re.finditer("-", stem)]:
        with contextlib.suppress(InvalidVersion):
            if canonical_name(stem[:at]) == canonical_name(asked.name):
                return asked._replace(specifier=f"=={Version(stem[at + 1 :])}")
    return asked


@contextlib.contextmanager
def _as_arguments(source: Requirement | RemoteFile) -> Iterator[list[str]]:
    """`source` for pip's command line; without extras, because the file is the same."""
    text = f"{source.name}{source.asked.specifier}"
    if isinstance(source, RemoteFile):
        text = requirement(source.name, source.url)
    if not source.asked.hashes:
        yield ["--", text]
        return
    import tempfile

    hashes = "".join(f" --hash={each.replace('=', ':')}" for each in source.asked.hashes)
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", suffix=".txt") as f:  # only there pip accepts hashes
        f.write(f"{text}{hashes}\n")
        f.flush()
        yield ["--requirement", f.name]


def _chosen_for(target: Facts) -> list[str]:
    """pip's options for choosing as the interpreter `target` would, without running it."""
    tags = [tag.split("-") for tag in target.tags]
    interpreter = tags[0][0]
    abis = dict.fromkeys(abi for python, abi, _ in tags if python == interpreter and abi not in ("abi3", "none"))
    platforms = dict.fromkeys(platform for _, _, platform in tags if platform != "any")
    version = re.match(r"\d+(?:\.\d+)*", target.full_version)
    assert version
    options = ["--python-version", version[0], "--implementation", re.sub(r"\d+$", "", interpreter)]
    return [*options, *(f"--abi={abi}" for abi in abis), *(f"--platform={each}" for each in platforms)]


def fetch_build_requirements(
    requirements: Iterable[str],
    directory: str,
    *,
    find_links: Iterable[str],
    python: str,
    alone: bool = False,
    leave_out: Iterable[str] = (),
) -> None:
    """Put wheels of `requirements`, and of all that these require, for the interpreter `python`, into `directory`.

    pip uses the wheelhouses `find_links`, too, and builds wheels that the index does not have. The wheels appear in
    `directory` by rename, but for files named `leave_out`. With `alone`, nothing that they require is fetched. Raises
    `BuildFailed` with the end of pip's output.
    """
    import tempfile

    requirements = sorted(requirements)
    caches.make_directory(directory)
    with trust.masked(caches.OTHERS), tempfile.TemporaryDirectory(dir=directory, prefix=".fetch-") as stage:
        listing = os.path.join(stage, "requirements.txt")
        with open(listing, "w", encoding="utf-8") as f:
            f.writelines(f"{line}\n" for line in requirements)
        links = [f"--find-links={os.path.abspath(link)}" for link in (*find_links, directory)]
        wheels = os.path.join(stage, "wheels")
        command = ["wheel", *(["--no-deps"] if alone else []), "--wheel-dir", wheels, *links, "--requirement", listing]
        failed, output = _pip(command if _is_ours(python) else ["--python", python, "--no-input", *command])
        if failed and not _is_ours(python) and _CRASHED.search(output):
            failed, more = _own_pip(python, os.path.join(stage, "own"), command)
            output = f"{output}\n{more}"
        if failed:
            raise BuildFailed(
                f"pip could not download the build requirements {', '.join(map(redaction.url, requirements))}",
                "read its output, and check the index",
                _end_of(output),
            )
        for name in set(os.listdir(wheels)).difference(leave_out):
            os.replace(os.path.join(wheels, name), os.path.join(directory, name))


def _own_pip(python: str, directory: str, arguments: list[str]) -> tuple[bool, str]:
    """As `_pip`, with the pip that `python` has for new virtual environments, in one at `directory`."""
    failed, output = _run([python, "-I", "-m", "venv", directory])
    return (failed, output) if failed else _pip(arguments, f"{directory}/bin/python")


def _pip(arguments: list[str], runner: str = "") -> tuple[bool, str]:
    """Run the pip of the interpreter `runner`, or our own; returns whether it failed, and its output."""
    import importlib.util

    processes.prepare()
    if not runner:
        runner = sys.executable if importlib.util.find_spec("pip") else interpreter.base_executable_here()
    loader, origin = __spec__.loader, os.path.join(os.path.dirname(__file__), "pip_download.py")
    program: bytes = loader.get_data(origin)  # type: ignore[union-attr]  # works from a directory and from a zip
    end = arguments.index("--") if "--" in arguments else len(arguments)
    return _run([runner, "-c", program.decode(), *arguments[:end], *_ALWAYS, *arguments[end:]])


def _run(command: list[str]) -> tuple[bool, str]:
    """Run `command` without input; returns whether it failed, and its output."""
    import subprocess

    result = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return result.returncode != 0, result.stdout.decode(errors="replace").rstrip()


def _end_of(output: str) -> str:
    """The last lines of pip's `output`, without passwords, which old versions of pip print.

    Of a traceback, which pip prints if it cannot reach a URL, only the errors are left.

    >>> _end_of("Looking\\nTraceback (most recent call last):\\n  File 'x'\\n    x()\\n\\nOSError: refused\\n")
    'Looking\\nOSError: refused'
    """
    plain = re.sub(r"(://[^\s/:@]*:)[^\s/@]+@", r"\1****@", output)
    before, _, after = plain.partition("Traceback (most recent call last):\n")
    errors = [line for line in after.splitlines() if re.match(r"(?!During |The above |Traceback )\S", line)]
    return "\n".join([*before.splitlines(), *errors][-_LAST_LINES:])


def _is_ours(executable: str) -> bool:
    return os.path.realpath(executable) == os.path.realpath(sys.executable)


def _direct_url(source: RemoteFile, path: str) -> DirectUrl:
    claimed = source.direct_url()
    if claimed["archive_info"]:
        return claimed  # pip has checked the hash that the URL claims
    return archive_direct_url(without_credentials(source.url).partition("#")[0], path, source.subdirectory)
