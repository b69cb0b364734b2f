"""Build a wheel of each SOURCE, and print the path of each wheel on standard output.

SOURCE is an sdist (.tar.gz, .zip, ...), a source tree, a URL, or a requirement ("six>=1.16"): then pip downloads the
sdist, and runs no code of it. What pip accepts is accepted here: './tree[extra]', 'NAME @ URL#subdirectory=DIR',
'git+URL@REVISION', and a marker after a semicolon. A source tree is copied, and the backend works in the copy. With
--in-place it works in the tree itself, in the build directory that '-C build-dir=DIR' names if the backend knows that
setting, one build at a time.

Isolation means the same as for pip: the backend can import the packages that pyproject.toml declares in
build-system.requires, those that the backend requires in addition, and nothing else that is installed. Unlike pip, this
command takes them only from the directories of wheels that --find-links names: without --index, none is downloaded. The
build environment is made of links to unpacked wheels, so it takes milliseconds.

If the same source was built before with the same settings, wheels, interpreter, variables and compilers, the wheel
comes from the store (--cache-dir, $SAGE_WHEELS_CACHE, else ~/.cache/sage-wheels), which may be deleted at any time.
'sage-wheels cache explain' says what differs from the last build. If a build depends on something that the store cannot
know, such as the network, give --rebuild to build again.

Of several sources, each is built as soon as those that it needs are built, -j of them at the same time; a wheel that
was just built is preferred to any other. At the end, a table says what was not built and why. After a failure, -k still
builds everything that does not need what failed. Under make, builds and compilers take their slots from make.

With --no-isolation, the backend can import what is installed in the prefix (see --prefix).

An editable wheel (--editable) can be used only on this machine, and as long as the source tree is not moved. Do not put
it into a wheelhouse. Install it with 'sage-wheels install --editable --built WHEEL SOURCE'. That builds nothing, and
another user can do it: build as yourself, install as root.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import time

from sage_wheels import environment
from sage_wheels.cli import build_options, common, done, source_arguments
from sage_wheels.errors import UsageError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sage_wheels.building import BuildOptions, BuiltWheel, Source
    from sage_wheels.cli.build_options import ManyOptions
    from sage_wheels.prefix import Prefix

EXAMPLES = """\
    sage-wheels build --index ./tree
    sage-wheels build --find-links wheels --wheel-dir wheels pexpect==4.9.0
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    common.add_prefix(parser)
    common.add_json(parser)
    parser.add_argument(
        "-w", "--wheel-dir", metavar="DIR", default=".", help="directory for the wheels (default: the current one)"
    )
    build_options.add_build_arguments(parser)
    build_options.add_many_arguments(parser)
    parser.add_argument(
        "-e", "--editable", action="store_true", help="build the editable wheels of source trees (PEP 660)"
    )
    parser.add_argument(
        "--verify-store", action="store_true", help="build once more at another path, and name the files that differ"
    )
    parser.add_argument("--show-log", action="store_true", help="also print the log of the build (--log FILE)")
    source_arguments.add_arguments(parser, "SOURCE")


def run(arguments: argparse.Namespace) -> int:
    from sage_wheels.cli.progress import shown_log

    if arguments.editable:
        _refuse_wheelhouse(arguments.wheel_dir, arguments.find_links)
    if arguments.show_log and (arguments.json or not arguments.log):
        raise UsageError(
            "--show-log needs --log FILE, and cannot be combined with --json", "add --log, or leave it out"
        )
    said = set[bytes]()
    options = build_options.options_from(arguments, prefix_if_named(arguments))._replace(on_note=_noting(said))
    sources, options = named_sources(arguments, options)
    choice = build_options.many_from(arguments)
    if len(sources) > 1 or choice.from_source or choice.report or choice.timings or choice.engine:
        return _build_many(sources, arguments, options, choice, said)
    with shown_log(arguments.log, said) if arguments.show_log else contextlib.nullcontext():
        built = [_build(source, arguments.wheel_dir, options, arguments.json) for source in sources]
    done.note("the wheels were built")
    if arguments.json:
        common.print_json([wheel._asdict() for wheel in built])
    return 0


def named_sources(arguments: argparse.Namespace, options: BuildOptions) -> tuple[list[Source], BuildOptions]:
    """The sources on the command line and in files, and `options` with what these files say."""
    from sage_wheels.building import markers_of, sources_of

    named = source_arguments.named(arguments, arguments.sources, "SOURCE", lambda: markers_of(options))
    told = named.told(options, lambda: markers_of(options))._replace(editables=())  # as `pip wheel` takes them
    return sources_of([*named.items, *named.editables], told), told


def _noting(said: set[bytes]) -> Callable[[str], None]:
    """A function that prints a note on standard error. It adds the line that the log has for it to `said`, so that this
    line is not shown, too."""
    from sage_wheels.building.log import noted

    def note(sentence: str) -> None:
        common.warn(sentence)
        said.add(noted(sentence).encode(errors="surrogateescape"))

    return note


def _build_many(
    sources: list[Source], arguments: argparse.Namespace, options: BuildOptions, choice: ManyOptions, said: set[bytes]
) -> int:
    from sage_wheels.building import check_constraints
    from sage_wheels.cli import many
    from sage_wheels.cli.progress import shown_log

    with shown_log(arguments.log, said) if arguments.show_log else contextlib.nullcontext():
        outcomes = many.build(sources, arguments.wheel_dir, options.of_builds(), choice)
    wheels = [outcome.result.wheel for outcome in outcomes if outcome.is_good and outcome.result]
    check_constraints(wheels, options)
    if arguments.json:
        from sage_wheels.graph.report import as_json

        common.print_json(as_json(outcomes))
    else:
        for wheel in wheels:
            print(wheel)
    done.note("wheels were built")
    if failure := many.failure(outcomes):
        raise failure
    return 0


def _build(source: Source, wheel_dir: str, options: BuildOptions, as_json: bool) -> BuiltWheel:
    from sage_wheels.building import build_wheel, check_constraints
    from sage_wheels.cli.progress import LiveLine
    from sage_wheels.requirements.sources import written

    with _timed(source) as phases, LiveLine(written(source)) as line:

        def on_phase(name: str) -> None:
            phases.append((name, time.time()))
            line.phase(name)

        built = build_wheel(source, wheel_dir=wheel_dir, options=options._replace(on_phase=on_phase))
        check_constraints([built.path], options)
    if not as_json:
        print(built.path, flush=True)
    return built


@contextlib.contextmanager
def _timed(source: Source) -> Iterator[list[tuple[str, float]]]:
    """A list for the phases of a build and their start times. At the end it is written to $SAGE_WHEELS_TIMINGS."""
    began, phases, status = time.time(), list[tuple[str, float]](), "failed"
    try:
        yield phases
        status = "built"
    finally:
        path = environment.get(environment.SAGE_WHEELS_TIMINGS)
        if path:
            from sage_wheels.cli import many
            from sage_wheels.graph.timings import entry_of_one
            from sage_wheels.requirements.sources import project_name

            many.collect(path, [entry_of_one(project_name(source), status, began, phases)])


def _refuse_wheelhouse(wheel_dir: str, find_links: list[str]) -> None:
    """Raise `UsageError` for a wheelhouse: an editable wheel in it would be used as the wheel of that version."""
    from sage_wheels.manifests import providers

    if os.path.realpath(wheel_dir) in map(os.path.realpath, [*find_links, *providers.wheelhouses()]):
        raise UsageError(f"{wheel_dir} is a wheelhouse, where editable wheels must not be", "name another --wheel-dir")


def prefix_if_named(arguments: argparse.Namespace) -> Prefix | None:
    """The prefix that an option or a variable names; None if none is named, because a wheel can be built without."""
    if arguments.prefix or environment.prefix():
        return common.prefix_of(arguments)
    return None
