"""What `sage-wheels pip install` makes of a prefix, and says, is what plain pip does with the same command line."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from support.index import Index
from support.projects import make_tree
from support.run import names, tool
from support.trees import site_packages
from support.twins import Twins, assert_said_alike, lines
from support.wheels import make_wheel

NEW = ("app 2.0", "lib 2.1")


class Case(NamedTuple):
    """A command line after `install`, what is `there` after it, and what was there `before`.

    {index} is the URL of the index, {files} that of its files, {directory} their directory, {work} where there are
    requirements files and the source tree `hello`, {repository} a git repository, {proxy} the URL of a proxy.
    """

    line: str
    there: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    status: int = 0
    variables: dict[str, str] = {}  # noqa: RUF012  nobody changes it
    command: str = "install"
    is_listed: bool = True  # the index is in the environment


CASES = {
    "a name, and what it needs": Case("app", NEW),
    "constraints": Case("-c {work}/constraints.txt app", ("app 2.0", "lib 2.0")),
    "requirements": Case(
        "-r {work}/requirements.txt", ("app 1.0", "extra_lib 1.0", "lib 1.0", "plain 1.0"), ("lib 2.1",)
    ),
    "there is one already": Case("app", ("app 1.0", "lib 2.0"), ("app 1.0", "lib 2.0")),
    "upgrade": Case("-U --upgrade-strategy=only-if-needed app", ("app 2.0", "lib 2.0"), ("app 1.0", "lib 2.0")),
    "upgrade eagerly": Case("--upgrade --upgrade-strategy eager app", NEW, ("app 1.0", "lib 2.0")),
    "a pre-release": Case("-U --pre lib", ("lib 3.0rc1",), ("lib 2.1",)),
    "extras": Case("app[more]", ("app 2.0", "extra_lib 1.0", "lib 2.1")),
    "URLs": Case(
        "{files}/plain-1.0-py3-none-any.whl lib@file://{directory}/lib-2.0-py3-none-any.whl", ("lib 2.0", "plain 1.0")
    ),
    "a repository": Case("git+file://{repository}", ("hello 2.0",)),
    "an editable repository": Case("-e git+file://{repository}#egg=hello", ("hello 2.0",)),
    "paths": Case(
        "{directory}/plain-1.0-py3-none-any.whl {directory}/both-2.0.tar.gz {work}/hello",
        ("both 2.0", "hello 3.0", "plain 1.0"),
    ),
    "a relative path, and settings": Case("--config-settings colour=red ./hello", ("hello 3.0",)),
    "an editable source tree": Case("-e {work}/hello", ("hello 3.0",)),
    "again": Case("--force-reinstall app", NEW, NEW),
    "no wheel": Case("--no-binary both both==1.0 app", ("app 2.0", "both 1.0", "lib 2.1")),
    "only wheels": Case("--only-binary=:all: both", ("both 1.0",)),
    "two indexes": Case("-i {index}/nothing --extra-index-url={index} plain", ("plain 1.0",), is_listed=False),
    "a trusted host behind a proxy": Case(
        "--proxy {proxy} --trusted-host index.invalid -i http://index.invalid/simple plain",
        ("plain 1.0",),
        is_listed=False,
    ),
    "a host that is not trusted": Case(
        "--proxy {proxy} -i http://index.invalid/simple plain", status=1, is_listed=False
    ),
    "hashes": Case("--require-hashes -r {work}/hashes.txt", ("plain 1.0",)),
    "a dry run": Case("-U --dry-run app", ("app 1.0", "lib 1.0"), ("app 1.0", "lib 1.0")),
    "verbosely": Case("-U -v app", NEW, ("app 1.0", "lib 1.0")),
    "no dependencies, no byte-code": Case("--no-deps --no-compile app", ("app 2.0",)),
    "options before the command": Case("app", NEW, command="-q --no-color --timeout 99 --retries=1 install"),
    "isolated from the environment": Case(
        "--no-index -f {directory} app", NEW, command="--isolated install", variables={"PIP_NO_DEPS": "1"}
    ),
    "an option from the environment": Case("app", ("app 2.0",), variables={"PIP_NO_DEPS": "1"}),
    "a configuration file": Case(
        "--no-index app", ("app 2.0",), variables={"PIP_CONFIG_FILE": "{work}/pip.conf"}, is_listed=False
    ),
    "what follows two hyphens": Case("-- plain", ("plain 1.0",)),
    "a downgrade of several": Case("app==1.0 lib<2", ("app 1.0", "lib 1.0"), ("app 2.0", "lib 2.1")),
    "what breaks another": Case("lib==2.0", ("lib 2.0", "old_lib 1.0"), ("lib 1.0", "old-lib 1.0")),
    "nothing": Case("", status=1),
    "an option that is none": Case("--no-such-option plain", status=2),
    "no such project": Case("-q plain no-such-thing", status=1),
}


@pytest.fixture
def work(tmp_path: Path, files: Path, repository: Path) -> Path:
    """What the cases are about, and the directory that they run in."""
    work = tmp_path / "work"
    work.mkdir()
    (work / "constraints.txt").write_text("lib<2.1\n")
    (work / "more.txt").write_text("# more\nextra-lib\n")
    (work / "requirements.txt").write_text(
        "app==1.0 ; python_version > '3'\nlib<=1.0\n-r more.txt\nplain \\\n  ==1.0\n"
    )
    digest = hashlib.sha256((files / "plain-1.0-py3-none-any.whl").read_bytes()).hexdigest()
    (work / "hashes.txt").write_text(f"plain==1.0 --hash=sha256:{digest}\n")
    (work / "pip.conf").write_text(f"[global]\nfind-links = {files}\n[install]\nno-deps = true\n")
    (work / "tag.txt").write_text(f"git+file://{repository}@v1#egg=hello\n")
    make_tree(work / "hello", "hello", "3.0")
    return work


@pytest.mark.parametrize("name", CASES)
def test_as_plain_pip_does(
    name: str, twins: Twins, index: Index, repository: Path, work: Path, put: Callable[..., None]
) -> None:
    case = CASES[name]
    for each in twins.both:
        put(each, *case.before)
    words: dict[str, object] = {"{index}": index.url, "{files}": index.files, "{proxy}": index.address}
    words |= {"{directory}": index.directory, "{repository}": repository, "{work}": work}

    def filled(text: str) -> str:
        for word, instead in words.items():
            text = text.replace(word, str(instead))
        return text

    line = [*case.command.split(), *(filled(each) for each in case.line.split())]
    variables = {key: filled(value) for key, value in case.variables.items()}
    if case.is_listed:
        variables["PIP_INDEX_URL"] = index.url
    theirs, own = twins.run(*line, variables=variables, cwd=work)
    assert_said_alike(twins, theirs, own)
    assert own.returncode == case.status, own.stdout + own.stderr
    if "--proxy" in line and not case.status:
        assert all(each.startswith("http://index.invalid/") for each in index.asked)
    assert [each for each in names(twins.ours) if not each.startswith("pip ")] == list(case.there)
    twins.assert_alike()


def test_what_pip_writes_of_where_things_come_from(twins: Twins, index: Index, repository: Path, work: Path) -> None:
    """REQUESTED and direct_url.json, word for word; REQUESTED is where it was asked for, and nowhere else."""
    make_tree(work / "editable", "editable", "1.0")
    wheel = f"{index.files}/plain-1.0-py3-none-any.whl"
    line = ("install", "-i", index.url, "app", wheel, "-r", f"{work}/tag.txt", "-e", f"{work}/editable")
    theirs, own = twins.run(*line)
    assert (theirs.returncode, own.returncode) == (0, 0), own.stderr
    written = [what_is_written_in(site_packages(each)) for each in twins.both]
    assert written[0] == written[1]
    assert {name: (bool(origin), requested) for name, (origin, requested) in written[1].items()} == {
        "app-2.0": (False, True),
        "editable-1.0": (True, True),
        "hello-1.0": (True, True),
        "lib-2.1": (False, False),
        "plain-1.0": (True, True),
    }


def test_the_history_says_where_things_come_from(twins: Twins, index: Index) -> None:
    """The files that pip has downloaded are gone when it ends; URLs stay. Passwords in them are left out."""
    own = twins.run("install", "-i", index.url.replace("//", "//user:secret@"), "app")[1]
    assert own.returncode == 0, own.stderr
    (entry,) = json.loads(tool("history", "1", "--json", "--prefix", twins.ours).stdout)
    origins = {each["name"]: each["origin"] for each in entry["changes"]}
    assert origins == {
        name: f"{index.files}/{name}-{version}-py3-none-any.whl" for name, version in map(str.split, NEW)
    }


def what_is_written_in(library: Path) -> dict[str, tuple[bytes, bool]]:
    """The content of each direct_url.json, and whether there is a REQUESTED, but for pip."""
    written = {}
    for info in library.glob("*.dist-info"):
        if info.name.startswith("pip-"):
            continue
        origin = info / "direct_url.json"
        written[info.stem] = (origin.read_bytes() if origin.exists() else b"", (info / "REQUESTED").exists())
    return written


@pytest.mark.parametrize("options", [["--report", "report.json", "--dry-run"], ["--report", "-", "-q"]])
def test_reports(twins: Twins, index: Index, put: Callable[..., None], options: list[str]) -> None:
    for each in twins.both:
        put(each, "lib 1.0", "app 1.0")
    theirs, own = twins.run("install", *options, "-i", index.url, "-U", "app")
    assert (theirs.returncode, own.returncode) == (0, 0), own.stderr
    reports = []
    for done, prefix in zip((theirs, own), twins.both, strict=True):
        text = (prefix.parent / "report.json").read_text() if "report.json" in options else done.stdout
        report = json.loads(text[text.index("{\n") : text.rindex("\n}") + 2])
        reports.append(report)
    assert reports[0] == reports[1]
    assert [each["metadata"]["version"] for each in reports[1]["install"]] == ["2.0", "2.1"]
    assert lines(own.stdout, twins.ours) == lines(theirs.stdout, twins.pips)
    assert ("app 1.0" in names(twins.ours)) == ("--dry-run" in options)
    twins.assert_alike()


@pytest.mark.parametrize("spelled", ["foo-bar_baz", "Foo.Bar-baz"])
def test_headers_go_to_where_pip_puts_them(twins: Twins, tmp_path: Path, spelled: str) -> None:
    """Into a directory that is called as whoever asked for the wheel has spelt its name."""
    files = {"foo_bar.py": ""}
    make_wheel(tmp_path / "links", "Foo.Bar-baz", "1.0", files, data={"headers/h.h": "", "headers/sub/i.h": ""})
    for done in twins.run("install", "--no-index", "--find-links", str(tmp_path / "links"), spelled):
        assert done.returncode == 0, done.stderr
    twins.assert_alike()
