"""The packages of a collection: kept if that is asked for, otherwise it is said what becomes of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from support.index import Index
from support.run import names, uninstall
from support.trees import site_packages, snapshot
from support.twins import Done, end, environment, our_command, start
from support.wheels import make_wheel

Put = Callable[..., None]
Run = Callable[..., Done]


@pytest.fixture
def run(prefix: Path, home: Path, index: Index, put: Put, wheel_of: Callable[[str], Path]) -> Run:
    """Run ours in a prefix in which lib 1.0 and app 1.0 are the collection's, and plain 1.0 is the user's."""
    put(prefix, "lib 1.0", "app 1.0", "plain 1.0")
    for package, *what in (("base", "lib 1.0"), ("application", "app 1.0", "extra-lib 1.0")):
        scripts = prefix / "var/lib/sage/scripts" / package
        scripts.mkdir(parents=True)
        lines = [f"{each.split()[0]} @ file://{wheel_of(each)}\n" for each in what]
        (scripts / "spkg-requirements.txt").write_text("".join(lines))
        (scripts / "spkg-piprm").touch()
    variables = environment(home, PIP_INDEX_URL=index.url)
    return lambda *arguments: end(start(our_command(prefix, *arguments), variables))


def others(prefix: Path) -> list[str]:
    return [each for each in names(prefix) if not each.startswith("pip ")]


def notes(done: Done) -> list[str]:
    lines = re.sub(r"--prefix [^ ']+", "--prefix P", done.stderr).splitlines()
    return [line.removeprefix("sage-wheels: note: ") for line in lines if "sage-wheels: note" in line]


LIB = "lib 1.0, which package base installed, would become 2.1; 'sage-wheels restore lib --prefix P' undoes that"
APP = "app 1.0, which package application installed, would become 2.0; 'sage-wheels restore app --prefix P' undoes that"


@pytest.mark.parametrize("options", [["install"], ["install", "--dry-run"], ["install", "--dry-run", "-q"]])
def test_it_is_said_what_would_change(prefix: Path, run: Run, options: list[str]) -> None:
    done = run(*options, "-U", "app", "plain")
    assert done.returncode == 0, done.stderr
    assert sorted(notes(done)) == [APP, LIB]
    kept = "--dry-run" in options
    assert others(prefix) == (["app 1.0", "lib 1.0", "plain 1.0"] if kept else ["app 2.0", "lib 2.1", "plain 1.0"])


def test_a_dry_run_with_a_report_of_the_users_own(prefix: Path, run: Run, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = run("install", "--dry-run", "--report", report, "-U", "lib")
    assert done.returncode == 0, done.stderr
    assert notes(done) == [LIB]
    assert '"version": "2.1"' in report.read_text()


def test_a_report_that_cannot_be_written(prefix: Path, run: Run, tmp_path: Path) -> None:
    before = snapshot(prefix)
    done = run("install", "--dry-run", "--report", tmp_path / "nowhere/report.json", "-U", "lib")
    assert done.returncode == 1, done.stderr
    [line] = [each for each in done.stderr.splitlines() if "nowhere/report.json" in each]
    assert line.startswith("ERROR: ")
    assert "Traceback" not in done.stderr
    assert snapshot(prefix) == before


def test_nothing_is_said_of_what_is_the_users(run: Run) -> None:
    done = run("install", "--force-reinstall", "plain")
    assert (done.returncode, notes(done)) == (0, []), done.stderr


def test_what_is_new_is_fitted_to_what_is_kept(prefix: Path, run: Run) -> None:
    """The newest app needs lib>=2, but lib 1.0 is kept, so an older app it is; without the option lib would follow."""
    uninstall(prefix, "app")
    done = run("--keep-packages", "install", "app")
    assert (done.returncode, notes(done)) == (0, []), done.stderr
    assert others(prefix) == ["app 1.0", "lib 1.0", "plain 1.0"]
    done = run("install", "-U", "app")
    assert (done.returncode, sorted(notes(done))) == (0, [APP, LIB]), done.stderr


@pytest.mark.parametrize(
    "line", ["install -U lib app", "install lib --upgrade", "install -U --upgrade-strategy eager app"]
)
def test_an_upgrade_of_what_is_kept_does_nothing(prefix: Path, run: Run, line: str) -> None:
    before = snapshot(prefix)
    done = run("--keep-packages", *line.split())
    assert done.returncode == 0, done.stderr
    assert snapshot(prefix) == before


@pytest.mark.parametrize("line", ["app==2.0", "lib>1", "plain lib==2.0"])
def test_what_cannot_be_with_it_is_refused(prefix: Path, run: Run, line: str) -> None:
    before = snapshot(prefix)
    done = run("--keep-packages", "install", *line.split())
    assert done.returncode == 1
    assert "ERROR: " in done.stderr
    assert notes(done) == ["what packages have installed stays as it is; --replace-packages lets pip replace it"]
    assert snapshot(prefix) == before


def test_a_conflict_without_the_distribution_says_nothing_of_it(run: Run) -> None:
    done = run("install", "app==2.0", "lib==1.0")
    assert (done.returncode, notes(done)) == (1, [])


@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
@pytest.mark.parametrize("kept", [["--keep-packages"], []])
def test_the_packages_own_wheel_may_be_installed_again(prefix: Path, run: Run, kept: list[str], dry: list[str]) -> None:
    """So it stays what the package has installed, and an edited file is mended."""
    source = site_packages(prefix) / "lib/__init__.py"
    before = source.read_text()
    source.write_text("edited")
    done = run(*kept, "install", *dry, "--force-reinstall", "--no-deps", "lib==1.0")
    assert (done.returncode, notes(done)) == (0, []), done.stderr
    assert source.read_text() == ("edited" if dry else before)
    assert others(prefix) == ["app 1.0", "lib 1.0", "plain 1.0"]


@pytest.mark.parametrize("what", ["another build", "wheel is gone", "wheel is empty"])
@pytest.mark.parametrize("dry", [[], ["--dry-run"]])
def test_another_build_is_a_change(prefix: Path, run: Run, tmp_path: Path, what: str, dry: list[str]) -> None:
    theirs = make_wheel(tmp_path / "house", "lib", "1.0", {"lib/__init__.py": "patched = True\n"})
    (prefix / "var/lib/sage/scripts/base/spkg-requirements.txt").write_text(f"lib @ file://{theirs}\n")
    if what == "wheel is gone":
        theirs.unlink()
    elif what == "wheel is empty":
        theirs.write_bytes(b"")
    before = snapshot(prefix)
    line = ["install", *dry, "--force-reinstall", "--no-deps", "lib==1.0"]
    done = run("--keep-packages", *line)
    assert done.returncode == 1, done.stderr
    assert "lib 1.0, which package base installed, would become another build of 1.0; give --repl" in done.stderr
    assert "Successfully" not in done.stdout
    assert snapshot(prefix) == before
    done = run("--replace-packages", *line)
    assert done.returncode == 0, done.stderr
    [note] = notes(done)
    assert note.startswith("lib 1.0, which package base installed, would become another build of 1.0; ")


@pytest.mark.parametrize(
    "line",
    [
        "--replace-packages --- install -U lib",
        "--- --replace-packages install -U lib",
        "--- install --replace-packages -U lib",
        "--- install -U lib --replace-packages",
        "--- install -U lib --replace-distribution",  # its older name
    ],
)
def test_the_word_of_the_user_counts_wherever_it_stands(prefix: Path, run: Run, line: str) -> None:
    """As in `sage-pip`, which puts --keep-packages before all."""
    words = [each for each in line.split() if each != "---"]
    done = run("--keep-packages", *words)
    assert (done.returncode, notes(done)) == (0, [LIB]), done.stderr
    assert others(prefix) == ["app 1.0", "lib 2.1", "plain 1.0"]


def test_the_word_of_the_user_to_keep_it(prefix: Path, run: Run) -> None:
    before = snapshot(prefix)
    assert run("install", "-U", "lib", "--keep-packages").returncode == 0
    assert snapshot(prefix) == before


def test_it_is_not_uninstalled_unless_that_is_said(prefix: Path, run: Run) -> None:
    before = snapshot(prefix)
    done = run("--keep-packages", "uninstall", "-y", "plain", "lib")
    assert done.returncode == 1
    assert "lib 1.0 belongs to package base" in done.stderr
    assert "--replace-packages" in done.stderr
    assert snapshot(prefix) == before
    done = run("--keep-packages", "uninstall", "-y", "plain")
    assert done.returncode == 0, done.stderr
    done = run("--keep-packages", "uninstall", "--replace-packages", "-y", "lib")
    assert done.returncode == 0, done.stderr
    assert len(notes(done)) == 1
    assert re.match(r"lib 1.0 belongs to package base", notes(done)[0])
    assert others(prefix) == ["app 1.0"]


@pytest.mark.parametrize("line", ["install -U lib", "uninstall -y lib"])
def test_what_cannot_be_restored_has_to_be_built_again(prefix: Path, run: Run, line: str) -> None:
    """Sage's own library, for example, which is installed from its source tree."""
    record = prefix / "var/lib/sage/scripts/base/spkg-requirements.txt"
    record.write_text(f"lib @ file://{prefix}/src/lib\n")
    done = run(*line.split())
    assert done.returncode == 0, done.stderr
    [note] = notes(done)
    assert "; 'make base-clean && make base' " in note


def test_what_was_uninstalled_is_constrained_no_more(prefix: Path, run: Run) -> None:
    """A record alone, of extra-lib here, keeps nothing."""
    done = run("--keep-packages", "install", "extra-lib==1.0")
    assert (done.returncode, notes(done)) == (0, []), done.stderr
    assert "extra_lib 1.0" in others(prefix)


def test_read_only_commands_take_the_options_too(run: Run) -> None:
    done = run("--keep-packages", "list", "--format=freeze", "--replace-packages")
    assert done.returncode == 0, done.stderr
    assert "lib==1.0" in done.stdout
