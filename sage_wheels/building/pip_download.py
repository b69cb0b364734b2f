"""Run `pip download` without running code of the downloaded files. An interpreter that has pip runs this file (`-c`).

pip reads its options, variables and configuration, asks the indexes, chooses and downloads, as usual. Then it would
unpack an sdist, install its build requirements and let its backend prepare the metadata. Here it gets a METADATA that
has only the name and version from the file name, which pip compares with what it has chosen. For that, two internal
functions of pip are replaced, which pip 20.3 to 26.3 have:
`pip._internal.distributions.sdist.SourceDistribution.prepare_distribution_metadata` and
`pip._internal.operations.prepare.unpack_file`. A pip without them is not used. If a pip starts Python in another way,
it is stopped.

pip never asks for a user or password: `pip._internal.network.auth.ask_input` and
`pip._internal.network.auth.ask_password` are replaced, too. `--no-input` would also turn the keyring off.

The other commands of pip are left as they are. The standard library only. This file is never imported by the tool.
"""

from __future__ import annotations

import sys

if "" in sys.path:
    sys.path.remove("")  # `-c` puts it there, and nothing is imported from the current directory

import importlib
import importlib.util
import os
import re
import runpy
from typing import Any


def main() -> None:
    if importlib.util.find_spec("pip") is None:
        sys.exit(f"ERROR: {sys.executable} has no pip; install it, on Debian and Ubuntu with: apt install python3-pip")
    if sys.argv[1] == "download":
        run_nothing()
    ask_nothing()
    sys.argv[0] = "pip"
    runpy.run_module("pip", run_name="__main__", alter_sys=True)


def run_nothing() -> None:
    try:
        sdist: Any = importlib.import_module("pip._internal.distributions.sdist").SourceDistribution
        prepare: Any = importlib.import_module("pip._internal.operations.prepare")
        known = callable(sdist.prepare_distribution_metadata) and callable(prepare.unpack_file)
    except (ImportError, AttributeError):
        known = False
    if not known:
        sys.exit(f"ERROR: sage-wheels cannot use the pip of {sys.executable}; install another version of pip")
    sdist.prepare_distribution_metadata = write_metadata
    prepare.unpack_file = lambda *_, **__: None
    sys.addaudithook(refuse_python)


def refuse_python(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "subprocess.Popen" and sys.executable in list(arguments[1])[:1]:
        raise RuntimeError("this pip would run code that it downloads; install another version of pip")


def ask_nothing() -> None:
    """Whoever is asked for credentials has none. A pip that has no such functions, or is damaged, is left as it is."""
    try:
        auth: Any = importlib.import_module("pip._internal.network.auth")
    except ImportError:
        return
    auth.ask_input = auth.ask_password = lambda _: ""


def write_metadata(self: Any, *_: Any, **__: Any) -> None:
    """Replaces the method of pip that lets a backend prepare the metadata of an sdist."""
    from pip._vendor.packaging.utils import canonicalize_name
    from pip._vendor.packaging.version import InvalidVersion, Version

    name, stem = self.req.name, self.req.link.egg_fragment or self.req.link.splitext()[0]
    version = "0"  # an archive of any name, at a URL
    for at, character in enumerate(stem):
        if character == "-" and canonicalize_name(stem[:at]) == canonicalize_name(name):
            try:
                version = str(Version(stem[at + 1 :]))
            except InvalidVersion:
                continue
            break
    escaped = re.sub("[-_.]+", "_", name)  # pip reads the name up to the first dash
    directory = os.path.join(self.req.source_dir, f"{escaped}-{version}.dist-info")
    os.makedirs(directory)
    with open(os.path.join(directory, "METADATA"), "w", encoding="utf-8") as f:
        f.write(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    self.req.metadata_directory = directory


if __name__ == "__main__":
    main()
