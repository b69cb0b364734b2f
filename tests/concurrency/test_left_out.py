"""What is left out of a change, because it seems to be so already, is so when the change is made.

That is decided without the lock: what was seen may be an unfinished change, or may change before the commit.

Promise 2.
"""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from types import ModuleType

import pytest

import sage_wheels
from sage_wheels.archive.strict_zip import WheelLimits
from sage_wheels.cli import main
from sage_wheels.errors import Outdated
from sage_wheels.manifests.entries import ManifestEntry
from sage_wheels.pip import uninstall as pip_uninstall
from sage_wheels.pip.decision import Decision, PipOptions
from sage_wheels.pip.uninstall import SearchResult, find
from sage_wheels.prefix import Prefix, find_prefix
from sage_wheels.transaction import install as installing
from sage_wheels.transaction import uninstall as uninstalling
from sage_wheels.transaction.commit import CommitOptions
from sage_wheels.transaction.history import HistoryBounds
from sage_wheels.transaction.install import InstallOptions
from sage_wheels.transaction.plan import Listing, look
from sage_wheels.transaction.report import Report
from sage_wheels.transaction.undo import UndoOptions, undo
from support import watched
from support.run import install, names, uninstall
from support.trees import STATE, leftovers, make_prefix
from support.wheels import make_wheel


def twins(directory: Path, version: str) -> list[Path]:
    """Wheels of two packages: with modules, they would share __pycache__, and no change of one would be irrelevant."""
    return [
        make_wheel(directory, name, version, {f"{name}/__init__.py": f"v = {version}\n"}) for name in ("one", "two")
    ]


@pytest.fixture
def prefix(tmp_path: Path) -> Path:
    prefix = make_prefix(tmp_path)
    install(prefix, *twins(tmp_path, "1"))
    return prefix


def commit_of(prefix: Path) -> str:
    return f"os.rename {prefix}/{STATE}/journal"


@contextmanager
def _seen_in_the_middle(
    monkeypatch: pytest.MonkeyPatch, prefix: Path, command: str, *items: str | Path, at: str
) -> Iterator[list[list[str]]]:
    """The first look at the prefix comes while another process is at that step of its commit; then it is killed.
    Yields what was seen."""
    seen: list[list[str]] = []

    def looking(where: Prefix) -> Listing:
        if seen:
            return look(where)
        with watched.stopped(command, "--prefix", prefix, *items, at=at) as other:
            listing = look(where)
            seen.append([str(each) for each in listing.distributions])
            other.send_signal(signal.SIGKILL)
        return listing

    with monkeypatch.context() as patch:
        for module in (installing, uninstalling):
            patch.setattr(module, "look", looking)
        yield seen


def test_half_of_an_unfinished_change(prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two is there in its new version, and is gone again when the other one is installed."""
    new = twins(tmp_path, "2")
    with _seen_in_the_middle(monkeypatch, prefix, "install", *new, at="two-1.dist-info") as seen:
        install(prefix, *new)
    assert seen == [["one 2", "two 1", "two 2"]]
    assert names(prefix) == ["one 2", "two 2"]
    sage_wheels.recover(prefix)
    assert leftovers(prefix) == []


def test_all_of_an_unfinished_change(prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There seems to be nothing to do."""
    new = twins(tmp_path, "2")
    with _seen_in_the_middle(monkeypatch, prefix, "install", *new, at=commit_of(prefix)) as seen:
        report = install(prefix, *new)
    assert seen == [["one 2", "two 2"]]
    assert [change.name for change in report.changes] == ["one", "two"]
    assert names(prefix) == ["one 2", "two 2"]
    sage_wheels.recover(prefix)
    assert leftovers(prefix) == []


def test_an_unfinished_change_of_something_else(prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is no reason to install anything again."""
    other = make_wheel(tmp_path, "other", "1", {"other.py": ""})
    with _seen_in_the_middle(monkeypatch, prefix, "install", other, at=commit_of(prefix)) as seen:
        report = install(prefix, *twins(tmp_path, "1"))
    assert seen == [["one 1", "other 1", "two 1"]]
    assert list(report.changes) == []
    assert names(prefix) == ["one 1", "two 1"]


def test_an_unfinished_removal(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There seems to be nothing to remove."""
    with _seen_in_the_middle(monkeypatch, prefix, "uninstall", "one", "two", at=commit_of(prefix)) as seen:
        report = uninstall(prefix, "one", "two")
    assert seen == [[]]
    assert [change.name for change in report.changes] == ["one", "two"]
    assert names(prefix) == []
    sage_wheels.recover(prefix)
    assert leftovers(prefix) == []


def test_an_unfinished_removal_and_pip_uninstall(
    prefix: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is the command line that looks what is there."""
    seen: list[list[str]] = []

    def finding(where: Prefix, wanted: Mapping[str, str], brought: Mapping[str, ManifestEntry]) -> SearchResult:
        if seen:
            return find(where, wanted, brought)
        with watched.stopped("uninstall", "--prefix", prefix, "one", at=commit_of(prefix)) as other:
            found = find(where, wanted, brought)
            seen.append(found.missing)
            other.send_signal(signal.SIGKILL)
        return found

    with monkeypatch.context() as patch:
        patch.setattr(pip_uninstall, "find", finding)
        assert main(["pip", "--prefix", str(prefix), "uninstall", "-y", "one"]) == 0
    assert seen == [["one"]]
    assert "not installed" not in capsys.readouterr().err
    assert names(prefix) == ["two 1"]
    assert leftovers(prefix) == []


def test_another_version_comes_before_the_removal(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It is not the one that was named: it stays."""

    def looking(where: Prefix) -> Listing:
        if "one 1" in names(prefix):
            install(prefix, *twins(tmp_path, "2"))
        return look(where)

    with monkeypatch.context() as patch:
        patch.setattr(uninstalling, "look", looking)
        assert main(["uninstall", "--prefix", str(prefix), "one==1", "two"]) == 1
    assert "one==1 is not installed in" in capsys.readouterr().err
    assert names(prefix) == ["one 2", "two 2"]
    assert leftovers(prefix) == []


@contextmanager
def _brought_back_while_we_wait(
    monkeypatch: pytest.MonkeyPatch, prefix: Path, module: ModuleType
) -> Iterator[CommitOptions]:
    """When `module` looks at the prefix, another process is about to commit the removal of one of two. A third process
    undoes that while we wait for the lock, as the options say that are yielded."""
    others: list[subprocess.Popen[str]] = []

    def looking(where: Prefix) -> Listing:
        if not others:
            others.append(watched.stopped("uninstall", "--prefix", prefix, "one", at=commit_of(prefix)))
        listing = look(where)
        assert [str(each) for each in listing.distributions] == ["two 1"]
        return listing

    def come_between(sentence: str) -> None:
        if "waiting for" in sentence:
            others[0].kill()
            others[0].communicate()
            assert sage_wheels.recover(prefix)

    with monkeypatch.context() as patch:
        patch.setattr(module, "look", looking)
        yield CommitOptions(say=come_between)


def test_half_of_an_unfinished_removal(prefix: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two seems to be gone."""
    with _brought_back_while_we_wait(monkeypatch, prefix, uninstalling) as commit_options:
        report = sage_wheels.uninstall(["one", "two"], prefix, commit_options)
    assert [change.name for change in report.changes] == ["one", "two"]
    assert report.unchanged == ()
    assert names(prefix) == []
    assert leftovers(prefix) == []


def test_what_goes_with_an_installation_seems_to_be_gone(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = make_wheel(tmp_path, "three", "1", {"three/__init__.py": ""})
    options = InstallOptions(also_remove=frozenset({"one", "two"}))
    with _brought_back_while_we_wait(monkeypatch, prefix, installing) as commit_options:
        report = sage_wheels.install([str(new)], prefix, options, commit_options)
    assert [change.name for change in report.changes] == ["three", "one", "two"]
    assert names(prefix) == ["three 1"]
    assert leftovers(prefix) == []


def test_an_undo_that_needs_wheels_sees_an_unfinished_change(prefix: Path, tmp_path: Path) -> None:
    """It seems that somebody has installed another version; but that is undone, so nothing is refused."""
    old, new, newest = (twins(tmp_path / version, version)[0] for version in "123")
    install(prefix, old, reinstall=True)
    sage_wheels.install([str(new)], prefix, InstallOptions(), CommitOptions(history=HistoryBounds(size=0)))
    others: list[subprocess.Popen[str]] = []

    def wheels(name: str, version: str, told: object) -> list[str]:
        if not others:
            others.append(watched.stopped("install", "--prefix", prefix, newest, at=commit_of(prefix)))
            assert names(prefix) == ["one 3", "two 1"]
        return [str(old)]

    def come_between(sentence: str) -> None:
        if "waiting for" in sentence:
            others[0].kill()
            others[0].communicate()

    commit_options = CommitOptions(say=come_between)
    undo(find_prefix(str(prefix)), UndoOptions(), commit_options, lambda: nullcontext(wheels))
    assert names(prefix) == ["one 1", "two 1"]
    assert leftovers(prefix) == []


@pytest.mark.parametrize("times", [1, 100])
def test_another_version_comes_before_the_rest(prefix: Path, tmp_path: Path, times: int) -> None:
    """Again and again, too: then nothing is left out any more."""
    old, new = twins(tmp_path, "1"), twins(tmp_path, "2")
    install(prefix, new[0])
    done: list[int] = []

    def come_between(*_: object) -> None:
        if len(done) < times:
            done.append(1)
            install(prefix, new[0], old[1], reinstall=True)  # as it is planned for
            install(prefix, *old, reinstall=True)

    sage_wheels.install(map(str, new), prefix, on_progress=come_between)
    assert done
    assert names(prefix) == ["one 2", "two 2"]
    assert leftovers(prefix) == []


def test_what_pip_has_chosen_comes_from_another_process(
    prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After it was decided what is installed: it is left out then, and pip need not decide again."""
    wheels = twins(tmp_path, "2")
    reports = _reports_of_pip(prefix, wheels, [lambda: install(prefix, wheels[0])], monkeypatch)
    assert [[change.name for change in report.changes] for report in reports] == [["two"]]
    assert names(prefix) == ["one 2", "two 2"]
    assert leftovers(prefix) == []


def test_what_pip_has_chosen_comes_and_goes(prefix: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then pip decides again. It is not installed all the same, over what another process may be putting there."""
    wheels = twins(tmp_path, "2")
    others = [lambda: install(prefix, wheels[0]), lambda: uninstall(prefix, "one")]
    with pytest.raises(Outdated, match="was changed meanwhile"):
        _reports_of_pip(prefix, wheels, others, monkeypatch)
    assert names(prefix) == []
    assert leftovers(prefix) == []


def _reports_of_pip(
    prefix: Path, wheels: Sequence[Path], others: list[Callable[[], Report]], monkeypatch: pytest.MonkeyPatch
) -> list[Report]:
    """What is reported when pip has chosen `wheels`; each of `others` is called after one look at what is there."""
    uninstall(prefix, "one", "two")
    found = find_prefix(str(prefix))
    reports: list[Report] = []
    decision = Decision(found, PipOptions(CommitOptions(), WheelLimits(), reports.append), {})

    def looking(where: Prefix) -> Listing:
        listing = look(where)
        if others:
            with monkeypatch.context() as meanwhile:
                meanwhile.setattr(installing, "look", look)
                others.pop(0)()
        return listing

    library = found.path(found.scheme.purelib)
    about = {"library": library, "headers": "", "origin": "", "direct_url": None, "requested": True, "compile": True}
    with monkeypatch.context() as patch:
        patch.setattr(installing, "look", looking)
        decision.carry_out([{"path": str(each), **about} for each in wheels], {})
    return reports
