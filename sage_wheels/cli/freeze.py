"""Print what is installed as requirements, one a line: NAME==VERSION, or where it came from if that was no index."""

from __future__ import annotations

import argparse
import os

from sage_wheels.cli import common

TYPE_CHECKING = False
if TYPE_CHECKING:
    from sage_wheels.installed import Distribution
    from sage_wheels.prefix import Prefix


EXAMPLES = """\
    sage-wheels freeze
    sage-wheels freeze --json
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)


def run(options: argparse.Namespace) -> int:
    from sage_wheels.installed import find_all
    from sage_wheels.installed.distributions import described

    prefix = common.prefix_of(options)
    common.note_pending(prefix)
    lines = [_line(prefix, described(prefix, each)) for each in find_all(prefix)]
    if options.json:
        common.print_json(lines)
    else:
        for line in lines:
            print(line)
    return 0


def _line(prefix: Prefix, distribution: Distribution) -> str:
    from sage_wheels import redaction
    from sage_wheels.installed.distributions import read_text
    from sage_wheels.requirements import direct_url, references

    if distribution.kind == ".egg-link":  # no version, but the paths of the library and the source tree
        library, *project = (read_text(prefix, distribution.path) or "/").splitlines()
        return f"-e {references.file_url(os.path.join(library, *project[:1]))}"
    text = read_text(prefix, f"{distribution.path}/{direct_url.FILE}") if distribution.kind == ".dist-info" else None
    origin = direct_url.parse(text) if text else None
    if origin is None:
        return f"{distribution.name}=={distribution.version}"
    url = origin._replace(url=redaction.url(origin.url)).pip_url
    if origin.is_editable:
        return f"-e {url}"
    return references.requirement(distribution.name, url, subdirectory=origin.subdirectory)
