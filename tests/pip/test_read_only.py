"""What only reads is pip unchanged, after what an interrupted command left behind has been cleared up."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.index import Index
from support.puppet import Command, Puppet
from support.run import names
from support.trees import STATE, leftovers, snapshot
from support.twins import Twins, end, environment, our_command, start

Put = Callable[..., None]

LINES = (
    *("list", "list --outdated --format=json", "freeze", "show -f app", "show no-such-thing", "check", "help install"),
    *("inspect", "index versions lib", "cache dir", "config list", "hash {directory}/plain-1.0-py3-none-any.whl"),
    *(
        "debug",
        "download app -d {destination}",
        "wheel {directory}/both-2.0.tar.gz -w {destination}",
        "no-such-command",
        "--version",
    ),
)


@pytest.fixture(scope="module")
def puppet() -> Iterator[Puppet]:
    with Puppet() as it:
        yield it


@pytest.mark.parametrize("line", [*LINES, ""])
def test_as_plain_pip_does(twins: Twins, index: Index, put: Put, line: str) -> None:
    for each in twins.both:
        put(each, "lib 1.0", "app 1.0", "plain 1.0")
    before = snapshot(twins.ours)
    words = [each.replace("{directory}", str(index.directory)) for each in line.split()]
    words = [each.replace("{destination}", "{prefix}/../destination") for each in words]
    theirs, own = twins.run(*words, variables={"PIP_INDEX_URL": index.url})
    assert own.returncode == theirs.returncode, own.stderr
    told = [
        [each.replace(str(prefix.parent), "HERE") for each in (done.stdout + done.stderr).splitlines() if steady(each)]
        for done, prefix in ((theirs, twins.pips), (own, twins.ours))
    ]
    assert told[0] == told[1]
    assert told[1] or line.startswith("hash")
    assert snapshot(twins.ours) == before
    destinations = [each.parent / "destination" for each in twins.both if (each.parent / "destination").exists()]
    assert (
        len(
            {
                tuple(sorted((path.name, path.read_bytes()) for path in destination.iterdir()))
                for destination in destinations
            }
        )
        < 2
    )
    assert len(destinations) == 2 * ("{destination}" in line)


def steady(line: str) -> bool:
    """Whether a line can be the same twice."""
    return not any(word in line for word in ("Stored in directory", "Temporary", '"rich_', "INSTALLER"))


@pytest.mark.parametrize("line", ["list", "check", "freeze --all"])
def test_what_was_left_is_cleared_up_first(
    prefix: Path, home: Path, put: Put, wheel_of: Callable[[str], Path], puppet: Puppet, line: str
) -> None:
    put(prefix, "lib 1.0", "app 1.0")
    before = snapshot(prefix)
    upgrade = Command("install", str(prefix), [str(wheel_of("app 2.0")), str(wheel_of("lib 2.0"))])
    copy = prefix.with_name("cpy")  # a path of the same length: the very same operations
    shutil.copytree(prefix, copy, symlinks=True)
    operations = puppet.run(upgrade._replace(prefix=str(copy))).operations
    begin = next(number for number, each in enumerate(operations, 1) if each.endswith(f" {copy}/{STATE}/journal"))
    assert puppet.run(upgrade.killed(begin + 3)).killed
    assert snapshot(prefix) != before
    done = end(start(our_command(prefix, *line.split()), environment(home)))
    assert done.returncode == 0, done.stderr
    assert snapshot(prefix) == before
    assert leftovers(prefix) == []
    if line != "check":
        assert "2.0" not in done.stdout
    assert names(prefix)[:2] == ["app 1.0", "lib 1.0"]
